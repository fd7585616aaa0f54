"""The loop of SuperDeepFool; line numbers are those of algorithm 2 of arXiv:2303.12481."""

from __future__ import annotations

import torch

from benchmark.attacks.core.losses import loss
from benchmark.attacks.core.projections import norms, wide
from benchmark.attacks.core.search import Search
from benchmark.attacks.deepfool.search import search as deepfool
from benchmark.attacks.minimal.algorithms.common import TINY, scaled

GAIN = 0.999  # a sample whose round made the norm no smaller than this share is done: it would repeat itself


def superdeepfool(
    search: Search,
    *,
    steps: int,
    deepfool_steps: int,
    candidates: int,
    keep: int,
    overshoot: float,
    bisections: int,
) -> None:
    """The samples left are attacked.

    Args:
        search: of the batch; the smallest points are kept there.
        steps, deepfool_steps, candidates, keep, overshoot, bisections: see
            :class:`benchmark.attacks.minimal.superdeepfool.SuperDeepFool`.
    """
    at = search.left()
    x = search.inputs[at]  # line 1
    for _ in range(steps):  # line 2
        found = deepfool(  # line 3
            search.net.model,
            x,
            search.labels[at],
            steps=deepfool_steps,
            candidates=candidates,
            overshoot=overshoot,
            keep=keep,
            placement=search.net.placement,
        )
        for calls, more in ((search.forwards, found.forwards), (search.backwards, found.backwards)):
            calls[at] += torch.as_tensor(more, device=at.device)
        before = search.size[at]
        stuck = (found.reached == x).flatten(1).all(1)
        x, done = _project(search, at, found.reached)
        going = ~(done | stuck) & ~(search.size[at] > GAIN * before)
        at, x = at[going], x[going]
        if not len(at):
            break
    to_boundary(search, bisections)


def _project(search: Search, at: torch.Tensor, reached: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lines 4 and 5; the new points and whether they are misclassified (line 2)."""
    clean = search.inputs[at]
    graph = search.graph(at, reached)
    search.keep_smaller(at, reached, search.wrong(at, graph.logits), "l2")
    normal = search.gradient(at, graph, loss(graph.logits, search.labels[at], "margin")[1])
    normal = scaled(normal, 1 / norms(normal, "l2").clamp_min(TINY))  # line 4
    along = ((reached - clean) * normal).flatten(1).sum(1)
    x = (clean + scaled(normal, along)).clamp_(0, 1)  # line 5
    wrong = search.wrong(at, search.look(at, x))
    search.keep_smaller(at, x, wrong, "l2")
    return x, wrong


def to_boundary(search: Search, rounds: int) -> None:
    """Bisect the line between the clean input and what is kept, a forward each round."""
    at = (search.broken & (search.size > 0)).nonzero().squeeze(1)
    if not len(at):
        return
    clean = search.inputs[at]
    delta = search.reached[at] - clean
    low, high = torch.zeros_like(search.size[at]), torch.ones_like(search.size[at])
    for _ in range(rounds):
        middle = (low + high) / 2
        x = (clean + delta * wide(middle, delta)).clamp_(0, 1)
        wrong = search.wrong(at, search.look(at, x))
        search.keep_smaller(at, x, wrong, "l2")
        low, high = torch.where(wrong, low, middle), torch.where(wrong, middle, high)
