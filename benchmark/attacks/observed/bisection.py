"""The smallest budget at which a fixed-budget attack breaks a sample: doubling, then bisection, as in AttackBench."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.attacks.observed.model import ObservedModel
from benchmark.attacks.verify import allowed

Run = Callable[[NDArray[np.intp], Any], None]


def search(model: ObservedModel, run: Run, *, start: float, rounds: int, fixed: bool, apart: bool) -> None:
    """Run an attack until each sample's queries are spent; the model keeps what it was asked about.

    Args:
        model: observes.
        run: attacks the samples (M,) at a budget, a number or a tensor (M,); None of a minimal-norm attack.
        start: first budget.
        rounds: most budgets a sample.
        fixed: the attack has a budget; else it runs once.
        apart: it takes a budget a sample.
    """
    samples = np.arange(len(model.clean))
    if not fixed:
        with model.attending(samples):
            run(samples, None)
        return
    size = model.clean[0].numel()
    most = {"linf": 1.0, "l2": sqrt(size), "l1": float(size), "l0": float(size)}[model.norm]
    low, high, eps = np.zeros(len(samples)), np.full(len(samples), 2 * most), np.full(len(samples), start)
    for _ in range(rounds):
        going = np.flatnonzero(model.spent < model.queries)
        if not len(going):
            break
        for group in [going] if apart else [going[eps[going] == value] for value in np.unique(eps[going])]:
            budget = torch.as_tensor(eps[group], dtype=torch.float32, device=model.clean.device)
            with model.attending(group):
                run(group, budget if apart else float(eps[group[0]]))
        within = np.array([allowed(value, model.norm, size) for value in eps])
        low, high, eps = narrowed(low, high, eps, model.norms <= within, model.norms, 2 * most)


def narrowed(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    eps: NDArray[np.float64],
    broken: NDArray[np.bool_],
    norms: NDArray[np.float64],
    unknown: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The next interval and budget of each sample, (N,) each.

    Budgets stay on the grid of halves, so that samples share them. Those that a known point undercuts are passed over.

    Args:
        low, high: the largest budget that did not break a sample, the smallest that did (``unknown``: none did).
        eps: that was tried.
        broken: it broke the sample.
        norms: of the best points known.
        unknown: the value of ``high`` while there is none.
    """
    low, high = np.where(broken, low, eps), np.where(broken, eps, high)
    low = np.where(norms < low, norms / 2, low)  # another run was luckier at less
    for _ in range(64):
        found = high < unknown
        eps = np.where(found | (2 * low >= high), (low + high) / 2, 2 * low)
        under = found & (norms < eps)
        if not under.any():
            break
        high = np.where(under, eps, high)
    return low, high, eps
