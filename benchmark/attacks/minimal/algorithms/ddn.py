"""The loop of DDN; line numbers are those of algorithm 1 of arXiv:1811.09600."""

from __future__ import annotations

import torch

from benchmark.attacks.core.losses import loss
from benchmark.attacks.core.projections import norms
from benchmark.attacks.core.search import Search
from benchmark.attacks.minimal.algorithms.common import TINY, cosine, last_look, scaled


def ddn(
    search: Search, steps: int, *, step_size: tuple[float, float], factor: float, radius: float, levels: int
) -> None:
    """The samples left are attacked; see :class:`benchmark.attacks.minimal.ddn.DDN`.

    The gradient is normalised, so that the closed form of its direction serves (no underflow where a network is sure
    of itself); where it is zero the direction stays.
    """
    at = search.left()
    clean, labels = search.inputs[at], search.labels[at]
    widest = norms(torch.maximum(clean, 1 - clean), "l2")
    sphere = torch.full_like(widest, radius)
    x = clean.clone()  # line 1
    for k in range(steps):  # line 3
        graph = search.graph(at, x)
        wrong = search.wrong(at, graph.logits)
        search.keep_smaller(at, x, wrong, "l2")  # line 15
        gradient = search.gradient(at, graph, loss(graph.logits, labels, "ce")[1])  # line 4
        alpha = cosine(step_size[0], step_size[1], k, steps)
        delta = x - clean + scaled(gradient, alpha / norms(gradient, "l2").clamp_min(TINY))  # lines 5 and 6
        sphere = torch.where(wrong, sphere * (1 - factor), sphere * (1 + factor))  # lines 7 to 11
        sphere = torch.minimum(sphere, widest)
        x = (clean + scaled(delta, sphere / norms(delta, "l2").clamp_min(TINY))).clamp_(0, 1)  # lines 12 and 13
        if levels:
            x = x.mul_(levels - 1).round_().div_(levels - 1)
    last_look(search, at, x, "l2")
