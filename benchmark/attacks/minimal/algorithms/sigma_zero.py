"""The loop of sigma-zero; line numbers are those of algorithm 1 of arXiv:2402.01879."""

from __future__ import annotations

import torch

from benchmark.attacks.core.projections import norms, wide
from benchmark.attacks.core.search import Search
from benchmark.attacks.minimal.algorithms.common import TINY, Adam, cosine, hinge, last_look, scaled


def sigma_zero(
    search: Search, steps: int, *, step_size: tuple[float, float], smoothness: float, threshold: float, rate: float
) -> None:
    """The samples left are attacked; see :class:`benchmark.attacks.minimal.sigma_zero.SigmaZero`."""
    at = search.left()
    clean, labels = search.inputs[at], search.labels[at]
    tau = torch.full((len(at),), threshold, dtype=clean.dtype, device=clean.device)
    x = clean.clone()  # line 1
    adam, count = Adam(clean), clean[0].numel()
    for k in range(steps):  # line 2
        graph = search.graph(at, x)
        wrong = search.wrong(at, graph.logits)
        search.keep_smaller(at, x, wrong, "l0")  # lines 10 and 11
        gradient = search.gradient(at, graph, hinge(graph.logits, labels)[1])
        delta = x - clean
        below = delta.square().add_(smoothness)
        gradient = gradient + delta.mul(2 * smoothness / count).div_(below.square_())  # line 3, with eq. 4
        gradient = scaled(gradient, 1 / norms(gradient, "linf").clamp_min(TINY))  # line 4
        eta = cosine(step_size[0], step_size[1], max(k - 1, 0), steps)  # line 7, as in the authors' code
        x = (x - eta * adam.step(gradient)).clamp_(0, 1)  # line 5
        eta = cosine(step_size[0], step_size[1], k, steps)
        tau = (tau + torch.where(wrong, rate * eta, -rate * eta)).clamp_(0, 1)  # lines 8 and 9
        x = torch.where((x - clean).abs() < wide(tau, x), clean, x)  # line 6
    last_look(search, at, x, "l0")
