"""Tables and pictures of reconstructions. Needs no torch: images come from what the cells kept."""

from __future__ import annotations

from benchmark.attacks.base import Extras
from benchmark.mri.masks import MaskSpec
from benchmark.tasks.base import TaskResults


def extras(mask: MaskSpec, against: str, results: TaskResults) -> Extras:  # noqa: ARG001
    """Everything that the task adds to a report."""
    return Extras()
