"""The loop of FMN; line numbers are those of algorithm 1 of arXiv:2102.12827."""

from __future__ import annotations

import torch

from benchmark.attacks.core.losses import loss
from benchmark.attacks.core.projections import NormName, dual, movable, norms, wide
from benchmark.attacks.core.search import Search
from benchmark.attacks.minimal.algorithms.common import TINY, cosine, last_look, scaled, threshold

BEYOND = 1.0001  # of the estimate of the boundary's distance: on it there would be a tie, which is no success


def fmn(
    search: Search,
    norm: NormName,
    steps: int,
    *,
    step_size: tuple[float, float],
    factor: tuple[float, float],
    box: bool,
) -> None:
    """Args:
    search: the samples left are attacked.
    norm, steps, box: see :class:`benchmark.attacks.minimal.fmn.FMN`.
    step_size, factor: alpha and gamma, at the start and at the end.
    """
    at = search.left()
    clean, labels = search.inputs[at], search.labels[at]
    widest = norms(torch.maximum(clean, 1 - clean), norm)
    radius = torch.full_like(widest, 1.0 if norm == "l0" else torch.inf)
    x = clean.clone()  # line 1
    for k in range(steps):  # line 2
        graph = search.graph(at, x)
        values, cotangent = loss(graph.logits, labels, "margin")
        wrong = search.wrong(at, graph.logits)
        size = search.keep_smaller(at, x, wrong, norm)  # lines 8 and 9
        gradient = search.gradient(at, graph, cotangent)  # line 3
        gamma = cosine(*factor, k, steps)  # line 4
        if norm == "l0":
            radius = _count(radius, wrong, search.size[at], gamma)
        else:
            away = size + BEYOND * values.abs() / dual(gradient, norm).clamp_min(TINY)
            outside = torch.where(search.broken[at], radius * (1 + gamma), away)  # lines 5 and 6
            radius = torch.where(wrong, torch.minimum(radius * (1 - gamma), search.size[at]), outside)  # line 10
        radius = torch.minimum(radius, widest)
        if box:
            gradient = gradient * movable(x, gradient)
        length = norms(gradient, "l2").clamp_min(TINY)
        delta = x - clean + scaled(gradient, cosine(*step_size, k, steps) / length)  # lines 11 and 12
        x = (clean + inside(delta, radius, norm)).clamp_(0, 1)  # lines 13 and 14
    last_look(search, at, x, norm)


def _count(radius: torch.Tensor, wrong: torch.Tensor, least: torch.Tensor, gamma: float) -> torch.Tensor:
    """The radius in l0: a whole number that changes by one at least (section 2.1)."""
    smaller = torch.minimum(torch.minimum(radius - 1, (radius * (1 - gamma)).floor()), least)
    return torch.where(wrong, smaller, torch.maximum(radius + 1, (radius * (1 + gamma)).floor())).clamp_min(0)


def inside(delta: torch.Tensor, radius: torch.Tensor, norm: NormName) -> torch.Tensor:
    """(M, ...) projected on the ball of ``radius`` (M,), without regard to the box; in l0 elements as large as the
    last one that is kept are kept too."""
    if norm == "linf":
        room = wide(radius, delta)
        return delta.clamp(-room, room)
    flat = delta.flatten(1)
    size = flat.abs()
    if norm == "l2":
        return scaled(delta, (radius / norms(delta, "l2").clamp_min(TINY)).clamp_max(1.0))
    if norm == "l1":
        t = threshold(size, radius)
        return torch.where(t.unsqueeze(1) > 0, (size - t.unsqueeze(1)).clamp_min(0) * flat.sign(), flat).view_as(delta)
    most = size.topk(max(int(radius.max()), 1), dim=1).values
    least = most.gather(1, (radius.long() - 1).clamp_min(0).unsqueeze(1))
    return torch.where((size >= least) & (radius > 0).unsqueeze(1), flat, 0).view_as(delta)
