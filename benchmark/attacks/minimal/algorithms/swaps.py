"""Swaps in l0: always one element fewer than the least that was found, those that gain most at the edge of the box."""

from __future__ import annotations

import torch

from benchmark.attacks.core.losses import loss
from benchmark.attacks.core.projections import norms
from benchmark.attacks.core.search import Search
from benchmark.attacks.minimal.algorithms.common import TINY, scaled

MEMORY = 0.9  # of the average of the gradients


def swaps(search: Search, at: torch.Tensor, steps: int) -> None:
    """A run from what is kept of the samples ``at`` that are broken: ``steps`` forwards and one backward less.

    An element's gain is the averaged gradient times its way to the edge of the box where that points to; the elements
    of most gain are set there, all others are as in the clean input.
    """
    at = at[search.broken[at]]
    if not len(at):
        return
    clean, labels = search.inputs[at], search.labels[at]
    flat, x = clean.flatten(1), search.reached[at]
    mean = torch.zeros_like(flat)
    for k in range(steps):
        graph = search.graph(at, x)
        search.keep_smaller(at, x, search.wrong(at, graph.logits), "l0")
        if k == steps - 1:
            break
        gradient = search.gradient(at, graph, loss(graph.logits, labels, "margin")[1])
        gradient = scaled(gradient, 1 / norms(gradient, "linf").clamp_min(TINY)).flatten(1)
        mean = MEMORY * mean + (1 - MEMORY) * gradient
        edge = (mean > 0).to(flat.dtype)
        gain = mean * (edge - flat)
        count = (search.size[at].long() - 1).clamp_min(1)
        most = gain.topk(int(count.max()), dim=1).values
        chosen = (gain >= most.gather(1, count.unsqueeze(1) - 1)) & (gain > 0)
        x = torch.where(chosen, edge, flat).view_as(clean)
