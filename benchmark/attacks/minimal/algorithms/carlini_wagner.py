"""The loops of Carlini and Wagner's l2 attack (arXiv:1608.04644, sections V-B and VI-A)."""

from __future__ import annotations

import torch

from benchmark.attacks.core.search import Search
from benchmark.attacks.minimal.algorithms.common import Adam, hinge, last_look, scaled

INSIDE = 1 - 1e-6  # of the range, so that the inverse of tanh is finite
CHECKS = 10  # in a round, of whether the loss still falls
FALL = 0.9999


def carlini_wagner(search: Search, steps: int, *, rounds: int, step_size: float, constant: float, abort: bool) -> None:
    """The samples left are attacked; see :class:`benchmark.attacks.minimal.carlini_wagner.CarliniWagner`."""
    at = search.left()
    c = torch.full((len(at),), constant, dtype=search.inputs.dtype, device=at.device)
    low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
    for _ in range(rounds):
        won = _round(search, at, c, steps, step_size, abort)
        high, low = torch.where(won, c, high), torch.where(won, low, c)
        c = torch.where(high.isinf(), 10 * c, (low + high) / 2)


def _round(
    search: Search, at: torch.Tensor, c: torch.Tensor, steps: int, step_size: float, abort: bool
) -> torch.Tensor:
    """(M,) whether this c found a misclassified input."""
    won = torch.zeros(len(at), dtype=torch.bool, device=at.device)
    live = torch.arange(len(at), device=at.device)
    clean, labels = search.inputs[at], search.labels[at]
    w = ((2 * clean - 1) * INSIDE).atanh()
    adam, before = Adam(w), torch.full_like(c, torch.inf)
    for k in range(steps):
        tanh = w.tanh()
        x = (tanh + 1) / 2  # section V-B, change of variables
        graph = search.graph(at[live], x)
        wrong = search.wrong(at[live], graph.logits)
        search.keep_smaller(at[live], x, wrong, "l2")
        won[live] |= wrong
        margin, cotangent = hinge(graph.logits, labels[live])  # f6 with kappa = 0
        loss = (x - clean[live]).flatten(1).square().sum(1) + c[live] * margin.to(c.dtype)
        if abort and k % max(steps // CHECKS, 1) == 0:
            going = loss <= FALL * before[live]
            before[live] = loss
        else:
            going = torch.ones_like(wrong)
        gradient = search.gradient(at[live], graph, cotangent)
        whole = 2 * (x - clean[live]) + scaled(gradient, c[live])
        w = w - step_size * adam.step(whole * (1 - tanh.square()) / 2)
        if not bool(going.all()):
            w, live = w[going], live[going]
            adam.keep(going)
            if not len(live):
                return won
    x = (w.tanh() + 1) / 2
    last_look(search, at[live], x, "l2")
    return won
