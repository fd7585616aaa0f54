"""Faithfulness: does changing what the attribution calls relevant change the model's output?

Signs are kept: most relevant means most evidence **for** the target class. Features are ranked by a stable sort, of
equal ones the lowest index first. ``fill`` is what features are replaced by: ``"black"`` (0), ``"mean"`` (of the
sample, per channel), ``"blur"`` (the input, blurred) or a number. ``logits`` are the clean outputs (N, K), where they
are known. Every function returns float64 on the device of the inputs. A constant, all-zero or non-finite attribution
has no order: NaN.
"""

from __future__ import annotations

from benchmark.metrics.functional.flipping import (
    faithfulness_correlation,
    faithfulness_estimate,
    monotonicity_correlation,
    pixel_flipping,
    pixel_flipping_curve,
    sensitivity_n,
)
from benchmark.metrics.functional.perturbation import random_corners, random_subsets, squares
from benchmark.metrics.functional.regions import (
    infidelity,
    region_perturbation,
    region_perturbation_curve,
    selectivity,
)
from benchmark.metrics.functional.remove_debias import road, road_curve

__all__ = [
    "faithfulness_correlation",
    "faithfulness_estimate",
    "infidelity",
    "monotonicity_correlation",
    "pixel_flipping",
    "pixel_flipping_curve",
    "random_corners",
    "random_subsets",
    "region_perturbation",
    "region_perturbation_curve",
    "road",
    "road_curve",
    "selectivity",
    "sensitivity_n",
    "squares",
]
