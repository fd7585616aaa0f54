"""Tables and pictures of reconstructions. Needs no torch: images come from what the cells kept."""

from __future__ import annotations

from benchmark.attacks.base import Extras
from benchmark.mri.masks import MaskSpec
from benchmark.tasks._reconstruction_curves import curves
from benchmark.tasks._reconstruction_masks import masks
from benchmark.tasks._reconstruction_worst import worst_cases
from benchmark.tasks.base import TaskResults


def extras(mask: MaskSpec, against: str, results: TaskResults) -> Extras:
    """Everything that the task adds to a report."""
    extra = Extras()
    if results.eps:
        curves(against, results, extra)
        worst_cases(against, results, extra)
    masks(mask, results, extra)
    return extra
