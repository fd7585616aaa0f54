"""The judgement of a task: chosen here, and nowhere else."""

from __future__ import annotations

from benchmark.report.judgement.base import Judgement
from benchmark.report.judgement.numbers import ByNumbers
from benchmark.report.judgement.verdicts import ByVerdicts
from benchmark.tasks.base import Task

BY_VERDICTS, BY_NUMBERS = ByVerdicts(), ByNumbers()


def judgement_of(task: Task) -> Judgement:
    """By verdicts where a sample is right or broken, else by numbers."""
    return BY_VERDICTS if task.verdicts else BY_NUMBERS
