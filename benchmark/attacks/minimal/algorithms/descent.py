"""Runs of ``minimal``: steps on a sphere around the clean input that follows the boundary, aware of the box.

From FMN (arXiv:2102.12827, algorithm 1) are the radius that follows the boundary and the annealing; from DDN
(arXiv:1811.09600, algorithm 1, lines 6 and 12) the sphere in l2. What is our own: elements at the edge of the box that
would leave it do not count in the gradient (FMN's estimate of the boundary's distance is too short with them, and
where it stays on that radius it finds nothing); until a run is across, the radius never shrinks; steps are a share of
the radius, in linf along the sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.attacks.core.losses import LossName, loss
from benchmark.attacks.core.projections import NormName, dual, norms, wide
from benchmark.attacks.core.search import Search
from benchmark.attacks.minimal.algorithms.common import TINY, cosine, scaled
from benchmark.attacks.minimal.algorithms.fmn import inside

BEYOND = 1.01  # of the estimated distance of the boundary, so that the next point is across


@dataclass(frozen=True)
class Course:
    """Attributes:
    steps: forwards of a run.
    step_size: share of the radius that a step has, at the start and at the end.
    factor: by which the radius shrinks and grows, at the start and at the end.
    """

    steps: int
    step_size: tuple[float, float] = (1.0, 0.01)
    factor: tuple[float, float] = (0.05, 0.001)


def descend(
    search: Search,
    at: torch.Tensor,
    x: torch.Tensor,
    norm: NormName,
    course: Course,
    name: LossName = "margin",
    targets: torch.Tensor | None = None,
) -> None:
    """A run for the samples ``at`` from ``x``: ``steps`` forwards and one backward less.

    Args:
        search: keeps the smallest of each sample.
        at: (M,) positions.
        x: (M, ...) where it starts.
        norm: linf, l2 or l1.
        course: steps and their sizes.
        name: the loss that is raised, towards ``targets`` (M,) where given.
    """
    clean, labels = search.inputs[at], search.labels[at]
    widest = norms(torch.maximum(clean, 1 - clean), norm)
    radius = torch.zeros_like(widest)
    least = torch.full_like(widest, torch.inf)  # norm found by this run
    for k in range(course.steps):
        graph = search.graph(at, x)
        wrong = search.wrong(at, graph.logits)
        size = search.keep_smaller(at, x, wrong, norm)
        if k == course.steps - 1:
            break
        least = torch.where(wrong, torch.minimum(least, size), least)
        gradient = search.gradient(at, graph, loss(graph.logits, labels, name, targets)[1])
        gradient = movable(gradient, x)
        gap = loss(graph.logits, labels, name, targets)[0].abs()
        away = size + BEYOND * gap.to(size.dtype) / dual(gradient, norm).clamp_min(TINY)
        factor = cosine(*course.factor, k, course.steps)
        outside = torch.where(least.isinf(), torch.maximum(radius, away), radius * (1 + factor))
        radius = torch.where(wrong, torch.minimum(size * (1 - factor), least), outside)
        radius = torch.minimum(radius, widest)
        step = radius * cosine(*course.step_size, k, course.steps)
        x = (clean + onto(x - clean + _along(gradient, step, norm), radius, norm)).clamp_(0, 1)


def movable(gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Gradient (M, ...) with zeros where a step along it would leave [0, 1]."""
    return torch.where(((x <= 0) & (gradient < 0)) | ((x >= 1) & (gradient > 0)), 0, gradient)


def _along(gradient: torch.Tensor, step: torch.Tensor, norm: NormName) -> torch.Tensor:
    if norm == "linf":
        return gradient.sign() * wide(step, gradient)
    return scaled(gradient, step / norms(gradient, "l2").clamp_min(TINY))


def onto(delta: torch.Tensor, radius: torch.Tensor, norm: NormName) -> torch.Tensor:
    """(M, ...) on the sphere in l2, in the ball in linf and l1."""
    if norm == "l2":
        return scaled(delta, radius / norms(delta, "l2").clamp_min(TINY))
    return inside(delta, radius, norm)
