"""Tables and pictures of reconstructions. Needs no torch: images come from what the cells kept."""

from __future__ import annotations

from benchmark.mri.masks import MaskSpec
from benchmark.reported import Extras, TaskResults
from benchmark.tasks._reconstruction_curves import curves
from benchmark.tasks._reconstruction_masks import masks
from benchmark.tasks._reconstruction_worst import worst_cases


def extras(mask: MaskSpec, against: str, results: TaskResults) -> Extras:
    """Everything that the task adds to a report."""
    found = Extras()
    if results.eps:
        curves(against, results, found)
        worst_cases(against, results, found)
    masks(mask, results, found)
    return found
