"""What ``minimal`` runs, one after another; each sample keeps the smallest of all."""

from __future__ import annotations

import torch

from benchmark.attacks.core.projections import NormName
from benchmark.attacks.core.search import Search
from benchmark.attacks.minimal.algorithms.descent import Course, descend
from benchmark.attacks.minimal.algorithms.pdpgd import pdpgd
from benchmark.attacks.minimal.algorithms.sigma_zero import sigma_zero
from benchmark.attacks.minimal.algorithms.swaps import swaps
from benchmark.attacks.minimal.pdpgd import PDPGD

FEW = 40  # steps below which there is one run
SHARE, SHARE_TARGETED, TARGETS = 0.1, 0.05, 8  # of the steps, for each untargeted and each targeted run
FINE = {"step_size": (0.3, 0.001), "factor": (0.03, 0.0001)}


def minimal(search: Search, norm: NormName, steps: int) -> None:
    """linf, l2, l1: up the cross-entropy, up the difference of logits ratio, towards each of the most likely classes.

    All these from the clean input; then on from the smallest found, towards its class, with smaller steps.
    Of ``steps``: 10 %, 10 %, 5 % each and the rest (40 % with nine classes or more).
    """
    at = search.left()
    clean = search.inputs[at]
    if steps < FEW:
        descend(search, at, clean, norm, Course(steps))
        return
    run, short = int(SHARE * steps), int(SHARE_TARGETED * steps)
    descend(search, at, clean, norm, Course(run), "ce")
    descend(search, at, clean, norm, Course(run), "dlr")
    likely = _likely(search, at)
    for j in range(likely.shape[1]):
        descend(search, at, clean, norm, Course(short), targets=likely[:, j])
    at = at[search.broken[at]]
    if len(at):
        x = search.reached[at]
        taken_for = search.look(at, x).argmax(1)
        rest = steps - 2 * run - likely.shape[1] * short
        descend(search, at, x, norm, Course(rest, **FINE), targets=taken_for)


def minimal_count(search: Search, steps: int) -> None:
    """l0: sigma-zero and PDPGD with a third of the steps each, and after each swaps of the elements kept."""
    at = search.left()
    if steps < FEW:
        sigma_zero(search, steps, step_size=(1.0, 0.1), smoothness=1e-3, threshold=0.3, rate=0.01)
        return
    long, short = int(0.33 * steps), int(0.16 * steps)
    rows = search.rows(at)
    sigma_zero(rows, long, step_size=(1.0, 0.1), smoothness=1e-3, threshold=0.3, rate=0.01)
    take_smaller(search, at, rows)
    swaps(search, at, short)
    rows = search.rows(at)
    pdpgd(rows, PDPGD(norm="l0", steps=long))
    take_smaller(search, at, rows)
    swaps(search, at, short)


def take_smaller(search: Search, at: torch.Tensor, rows: Search) -> None:
    """Take over from a search of rows ``at``, none twice, what is smaller than what is kept, and its calls."""
    search.forwards[at] += rows.forwards
    search.backwards[at] += rows.backwards
    better = rows.size < search.size[at]
    search.size[at[better]] = rows.size[better]
    search.keep(at, rows.reached, better)


def _likely(search: Search, at: torch.Tensor) -> torch.Tensor:
    """(M, T) the most likely other classes, at most TARGETS."""
    logits = search.logits[at].scatter(1, search.labels[at].view(-1, 1), -torch.inf)
    return logits.topk(min(TARGETS, logits.shape[1] - 1), dim=1).indices
