"""Consistency of a metric under perturbation, as MetaQuantus defines it (Hedström et al. 2023, section 4).

Scores are (L, N): L explanation methods, N samples. A **minor** perturbation must leave them (noise resilience), a
**disruptive** one must move them (adversary reactivity). Intra-consistency looks at one method's scores, inter-
consistency at the order of methods.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def intra_consistency(before: Scores, after: Scores, *, disruptive: bool) -> float:
    """IAC: p of Wilcoxon's signed-rank test between the scores before and after, 1 - p where disruptive.

    Args:
        before, after: (N,) scores of one method; pairs with a NaN are left out.
        disruptive: the scores should differ.

    Returns:
        In [0, 1]; NaN where fewer than two pairs are left.

    Source: Hedström et al. 2023, eq. 6 and 7 (MetaQuantus: ``zero_method="zsplit"``, two-sided).
    """
    from scipy.stats import wilcoxon

    both = np.isfinite(before) & np.isfinite(after)
    if both.sum() < 2:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few samples or ties: the normal approximation is meant
        p = float(wilcoxon(before[both], after[both], zero_method="zsplit", method="approx").pvalue)
    p = 1.0 if np.isnan(p) else p  # no difference at all
    return 1.0 - p if disruptive else p


def inter_consistency(before: Scores, after: Scores, *, disruptive: bool, higher_is_better: bool) -> float:
    """IEC: share of (sample, method) places at which the order stays; where disruptive, at which the score worsens.

    Args:
        before, after: (L, N); samples with a NaN are left out.
        disruptive: the scores should become worse than before.
        higher_is_better: direction of the metric.

    Returns:
        In [0, 1]; NaN where no sample is left.

    Source: Hedström et al. 2023, eq. 8 to 10.
    """
    both = np.isfinite(before).all(0) & np.isfinite(after).all(0)
    if not both.any():
        return float("nan")
    before, after = before[:, both], after[:, both]
    if disruptive:
        worse = before > after if higher_is_better else before < after
        return float(worse.mean())
    order = [np.argsort(scores, axis=0, kind="stable") for scores in (before, after)]
    return float((order[0] == order[1]).mean())


def meta_consistency(values: dict[str, float]) -> float:
    """MC: mean of the four consistencies of a space of perturbation (Hedström et al. 2023, eq. 11)."""
    return float(np.mean(list(values.values())))
