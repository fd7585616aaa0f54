"""Whose input is a row? Attacks drop samples that are done, repeat samples, or take one at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

FAR = 1e30  # squared distance of a row with NaN or infinity
NEARLY = 2.0  # rows in order may be this much farther, in squared distance, than each from its nearest sample


def attribution(rows: torch.Tensor, samples: torch.Tensor) -> NDArray[np.intp]:
    """(M,) the sample that each row came from.

    The nearest one, unless the rows can be had in the order of the samples, each at most once, and that agrees with
    the nearest in most rows or is not much farther off: an attack keeps the order of those that it goes on with, and
    a far perturbation may lie nearer to another sample than to its own.

    Args:
        rows: (M, ...) asked about.
        samples: (N, ...) clean inputs.
    """
    if len(samples) == 1:
        return np.zeros(len(rows), dtype=np.intp)
    x, y = rows.flatten(1).float(), samples.flatten(1).float()
    squared = x.square().sum(1, keepdim=True) - 2 * (x @ y.T) + y.square().sum(1)
    costs = squared.clamp_(min=0).nan_to_num_(FAR, posinf=FAR).clamp_(max=FAR).double().cpu().numpy()
    nearest: NDArray[np.intp] = costs.argmin(1)
    if len(rows) > len(samples) or bool((np.diff(nearest) > 0).all()):
        return nearest
    ordered, total = in_order(costs)
    alike = 2 * int((ordered == nearest).sum()) > len(rows)
    return ordered if alike or total <= NEARLY * costs.min(1).sum() + 1e-3 * len(rows) else nearest


def in_order(costs: NDArray[np.float64]) -> tuple[NDArray[np.intp], float]:
    """(M,) strictly increasing columns of the least summed cost, by dynamic programming; and that cost.

    Args:
        costs: (M, N) with M <= N.
    """
    m, n = costs.shape
    if m == n:
        return np.arange(n), float(np.trace(costs))
    back = np.zeros((m, n), dtype=np.intp)
    total = costs[0].copy()
    for i in range(1, m):
        least = np.minimum.accumulate(total)
        at = np.maximum.accumulate(np.where(total == least, np.arange(n), 0))
        back[i, 1:] = at[:-1]
        total = np.concatenate([[np.inf], least[:-1] + costs[i, 1:]])
    chosen = np.empty(m, dtype=np.intp)
    chosen[-1] = int(total.argmin())
    for i in range(m - 1, 0, -1):
        chosen[i - 1] = back[i, chosen[i]]
    return chosen, float(total.min())
