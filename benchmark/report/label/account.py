"""Who speaks of a task on a label: chosen here, and nowhere else."""

from __future__ import annotations

from benchmark.accounts import Account
from benchmark.report.label.answers import Answers
from benchmark.report.label.numbers import Numbers
from benchmark.tasks.base import Task


def account_of(task: Task) -> Account:
    """The task's own, else the label's of right answers, or of numbers."""
    return task.account() or (Answers if task.verdicts else Numbers)(task.words)
