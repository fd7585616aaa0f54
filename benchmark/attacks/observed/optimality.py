"""How near an attack comes to the best known: the optimality of AttackBench (arXiv:2404.19460, section 3.3).

The robust accuracy of a network against a budget, for one attack, is a curve that falls at each sample's norm. The
area under it up to the largest norm of the reference is the mean of the norms, those beyond and those that were not
found counted as that largest one. AttackBench's code joins the points of the curve by straight lines instead of steps,
by which an attack that finds nothing has an optimality above one half; here it has 0, as the definition says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def reference(distances: Floats) -> Floats:
    """(N,) each sample's smallest norm over all attacks.

    Args:
        distances: (A, N) norms: 0 of samples that are wrong without an attack, inf where an attack found nothing.
    """
    best: Floats = np.min(distances, axis=0)
    return best


def area(distances: Floats, most: float) -> float:
    """Area under robust accuracy against the budget, from 0 to ``most``.

    Args:
        distances: (N,) as in :func:`reference`.
        most: end of the budgets.
    """
    return float(np.minimum(distances, most).mean())


def optimality(distances: Floats, best: Floats) -> float:
    """1 - (A - A*) / (clean accuracy * d_max - A*): 1 of the reference, 0 of an attack that finds nothing.

    Args:
        distances: (N,) of the attack.
        best: (N,) of the reference, A*; its largest finite norm is d_max.

    Returns:
        NaN where the reference leaves nothing to be measured: it breaks no sample, or every one at d_max.
    """
    found = best[np.isfinite(best) & (best > 0)]
    if not len(found):
        return float("nan")
    most, clean = float(found.max()), float((best > 0).mean())
    least = area(best, most)
    if clean * most <= least:
        return float("nan")
    return 1.0 - (area(distances, most) - least) / (clean * most - least)


def curve(distances: Floats, most: float) -> tuple[Floats, Floats]:
    """Budgets (B,) from 0 to ``most``, and the robust accuracy (B,) from each on: the corners of the step curve.

    Args:
        distances: (N,) as in :func:`reference`.
        most: end of the budgets.
    """
    falls = np.unique(distances[(distances > 0) & (distances <= most)])
    budgets = np.unique(np.concatenate([[0.0], falls, [most]]))
    left = np.array([(distances > eps).mean() for eps in budgets])
    return budgets, left
