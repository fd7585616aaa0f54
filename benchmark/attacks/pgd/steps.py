"""Projected gradient descent on the samples that are left: Madry et al. 2018 (arXiv:1706.06083), section 2.1."""

from __future__ import annotations

import math

import torch

from benchmark.attacks.core.losses import LossName, loss
from benchmark.attacks.core.projections import NormName, project, unit, wide
from benchmark.attacks.core.rows import Rows, waves
from benchmark.attacks.core.search import Search
from benchmark.seeds import Draws


def pgd(
    search: Search,
    draws: Draws,
    *,
    norm: NormName,
    eps: float | torch.Tensor,
    steps: int,
    share: float,
    loss: LossName,
    restarts: int = 1,
) -> None:
    """PGD on the samples of a search that are not broken; what breaks one is kept there, and its runs end.

    Args:
        search: of the batch.
        draws: N streams; each run has its own.
        norm, eps: the ball, linf, l2 or l1; its radius, one or (N,).
        steps, loss: of each run.
        share: length of a step in budgets.
        restarts: runs from random starts.
    """
    budgets = torch.as_tensor(eps).to(search.inputs).expand(len(search.inputs))

    def run(rows: Rows, which: torch.Tensor) -> None:
        radius = budgets[rows.at]
        start = _start(rows, draws, which, norm, radius)
        _descend(rows, start, norm=norm, radius=radius, steps=steps, share=share, loss_name=loss)

    waves(search, restarts, run)


def _start(rows: Rows, draws: Draws, which: torch.Tensor, norm: NormName, radius: torch.Tensor) -> torch.Tensor:
    """(M, ...) of linf uniform in the cube; else a random direction, uniform in length, inside the ball and [0, 1]."""
    clean, noise = rows.search.inputs, rows.noise(draws, "pgd", which, norm)
    if norm == "linf":
        return (clean + wide(radius, clean) * noise).clamp(0, 1)
    own = draws.apart(rows.at.tolist(), [f"pgd-length:{number}" for number in which.tolist()])
    length = own.uniform((1,)).squeeze(1).to(clean)
    return project(wide(length * radius, clean) * unit(noise, norm), clean, radius, norm)


def _descend(
    rows: Rows,
    x: torch.Tensor,
    *,
    norm: NormName,
    radius: torch.Tensor,
    steps: int,
    share: float,
    loss_name: LossName,
) -> None:
    """Steps from ``x`` (M, ...); rows that are broken leave."""
    search = rows.search
    at = torch.arange(len(x), device=x.device)
    for step in range(steps + 1):
        last = step == steps
        if last:
            logits = search.look(at, x)
        else:
            graph = search.graph(at, x)
            logits = graph.logits
        search.keep(at, x, search.wrong(at, logits))
        going = rows.going(at)
        if last or not bool(going.any()):
            return
        _, cotangent = loss(logits, search.labels[at], loss_name)
        gradient = search.gradient(at, graph, cotangent)
        at, x, gradient = at[going], x[going], gradient[going]
        x = _stepped(x, gradient, search.inputs[at], norm, radius[at], share)


def _stepped(
    x: torch.Tensor, gradient: torch.Tensor, clean: torch.Tensor, norm: NormName, radius: torch.Tensor, share: float
) -> torch.Tensor:
    """x + share radius d, projected: d the gradient's sign, its unit vector (l2), or its steepest elements (l1)."""
    if norm == "linf":
        direction = gradient.sign()
    elif norm == "l2":
        direction = unit(gradient, "l2")
    else:  # the steepest percent of the elements (Tramer and Boneh 2019, arXiv:1904.13000, section 5.1)
        flat = gradient.flatten(1)
        few = max(1, math.ceil(0.01 * flat.shape[1]))
        least = flat.abs().topk(few, dim=1).values[:, -1:]
        direction = unit(torch.where(flat.abs() >= least, flat.sign(), 0.0).view(gradient.shape), "l1")
    return project(x + wide(share * radius, x) * direction - clean, clean, radius, norm)
