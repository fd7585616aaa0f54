"""What ``minimal`` runs, one after another; each sample keeps the smallest of all."""

from __future__ import annotations

import torch

from benchmark.attacks.core.projections import NormName
from benchmark.attacks.core.rows import targets
from benchmark.attacks.core.search import Search
from benchmark.attacks.minimal.algorithms.descent import Course, descend
from benchmark.attacks.minimal.algorithms.pdpgd import pdpgd
from benchmark.attacks.minimal.algorithms.sigma_zero import sigma_zero
from benchmark.attacks.minimal.algorithms.swaps import swaps
from benchmark.attacks.minimal.pdpgd import PDPGD

FEW = 40  # steps below which there is one run
UNTARGETED, TARGETED, PRIMAL_DUAL = 0.1, 0.05, 0.5  # shares of the steps, of one run each
PRIMAL_DUAL_STEP = 0.2
TARGETS = {"linf": 8, "l2": 8, "l1": 4}  # most runs towards a class
COUNT = (0.3, 0.15, 0.4, 0.14)  # l0: shares of sigma-zero, swaps, PDPGD, swaps
FINE = {"step_size": (0.3, 0.001), "factor": (0.03, 0.0001)}  # of the last run


def minimal(search: Search, norm: NormName, steps: int) -> None:
    """linf, l2, l1: short runs from the clean input, then one on from the smallest found.

    linf, l2: up the cross-entropy, up the difference of logits ratio, and towards each of the 8 most likely classes.
    l1: PDPGD with half of the steps, up the difference of logits ratio, towards the 4 most likely classes.
    The last run takes the steps that are left, smaller ones, towards the class that the smallest is taken for.
    """
    at = search.left()
    clean = search.inputs[at]
    if steps < FEW:
        descend(search, at, clean, norm, Course(steps))
        return
    before = int(search.forwards.max())
    run, short = int(UNTARGETED * steps), int(TARGETED * steps)
    if norm == "l1":
        _primal_dual(search, at, norm, int(PRIMAL_DUAL * steps))
    else:
        descend(search, at, clean, norm, Course(run), "ce")
    descend(search, at, clean, norm, Course(run), "dlr")
    likely = targets(search, TARGETS[norm])[at]
    for j in range(likely.shape[1]):
        descend(search, at, clean, norm, Course(short), targets=likely[:, j])
    rest = steps - (int(search.forwards[at].max()) - before)
    at = at[search.broken[at]]
    if len(at):
        x = search.reached[at]
        taken_for = search.look(at, x).argmax(1)
        descend(search, at, x, norm, Course(rest, **FINE), targets=taken_for)


def minimal_count(search: Search, steps: int) -> None:
    """l0: sigma-zero and PDPGD, and after each swaps of the elements kept."""
    at = search.left()
    if steps < FEW:
        sigma_zero(search, steps, step_size=(1.0, 0.1), smoothness=1e-3, threshold=0.3, rate=0.01)
        return
    rows = search.rows(at)
    sigma_zero(rows, int(COUNT[0] * steps), step_size=(1.0, 0.1), smoothness=1e-3, threshold=0.3, rate=0.01)
    search.take_smaller(at, rows)
    swaps(search, at, int(COUNT[1] * steps))
    _primal_dual(search, at, "l0", int(COUNT[2] * steps))
    swaps(search, at, int(COUNT[3] * steps))


def _primal_dual(search: Search, at: torch.Tensor, norm: NormName, steps: int) -> None:
    rows = search.rows(at)
    pdpgd(rows, **PDPGD(norm=norm, steps=steps, step_size=PRIMAL_DUAL_STEP).fields())
    search.take_smaller(at, rows)
