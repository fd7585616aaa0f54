"""Norms of perturbations, projections on balls and on hyperplanes inside the box [0, 1], per sample.

Everything is (M, D) or (M, ...) with a number (M,) a sample. Piecewise linear equations in one unknown are solved by
Newton's method where they are concave (a few passes, no sort), else along sorted breakpoints; both are exact.
"""

from __future__ import annotations

from typing import Literal

import torch

NormName = Literal["linf", "l2", "l1", "l0"]

TINY = 1e-12
PASSES = 100  # Newton's method ends by itself after the number of linear pieces; about 5 in practice


def wide(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(M,) as (M, 1, ...), to be multiplied with ``like`` (M, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def norms(delta: torch.Tensor, norm: NormName) -> torch.Tensor:
    """Norms (M,) of (M, ...), in its dtype; l0 counts elements that are not zero."""
    flat = delta.flatten(1)
    if norm == "linf":
        return flat.abs().amax(1)
    if norm == "l0":
        return (flat != 0).sum(1).to(delta.dtype)
    lengths: torch.Tensor = torch.linalg.vector_norm(flat, ord=2 if norm == "l2" else 1, dim=1)
    return lengths


def dual(gradient: torch.Tensor, norm: NormName) -> torch.Tensor:
    """Norms (M,) of gradients in the norm dual to a perturbation's: l1 for linf, l2 for l2, linf for l1."""
    return norms(gradient, {"linf": "l1", "l2": "l2", "l1": "linf", "l0": "linf"}[norm])  # type: ignore[arg-type]


def unit(direction: torch.Tensor, norm: NormName) -> torch.Tensor:
    """(M, ...) scaled to norm 1 (zero stays zero)."""
    return direction / wide(norms(direction, norm), direction).clamp_min(TINY)


def movable(x: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """(M, ...) where a step along ``direction`` does not leave [0, 1]: elements that are not at that edge."""
    return torch.where(direction > 0, x < 1, x > 0)


def project(delta: torch.Tensor, clean: torch.Tensor, radius: torch.Tensor, norm: NormName) -> torch.Tensor:
    """Perturbed inputs (M, ...) in the ball of ``radius`` (M,) around ``clean`` and in [0, 1].

    linf and l1: the nearest such point (l1: Croce and Hein 2021, arXiv:2103.01208, proposition 3.1). l2: scaled to the
    ball, then clipped. l0: the largest elements of the clipped perturbation.
    """
    if norm == "linf":
        room = wide(radius, delta)
        return (clean + delta.clamp(-room, room)).clamp(0, 1)
    if norm == "l2":
        factor = (radius / norms(delta, "l2").clamp_min(TINY)).clamp_max(1.0)
        return (clean + delta * wide(factor, delta)).clamp(0, 1)
    if norm == "l0":
        return clean + largest((clean + delta).clamp(0, 1) - clean, radius)
    return project_l1(delta, clean, radius)


def largest(delta: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """(M, ...) with all but the ``count`` (M,) elements largest in magnitude set to zero (ties: the first ones)."""
    flat = delta.flatten(1)
    rank = flat.abs().argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return torch.where(rank + 1 <= count.view(-1, 1), flat, 0).view(delta.shape)


def project_l1(delta: torch.Tensor, clean: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """The point of the l1 ball around ``clean`` and of [0, 1] that is nearest to ``clean + delta``.

    Each element is min(max(|delta| - t, 0), room) with its sign, and t >= 0 the least that fits: it is found along the
    sorted places where an element begins to shrink (|delta| - room) and where it reaches zero (|delta|).
    """
    flat, x = delta.flatten(1), clean.flatten(1)
    room = torch.where(flat > 0, 1 - x, x).clamp_min(0)
    size = flat.abs()
    begins = (size - room).clamp_min(0)
    excess = torch.minimum(size, room).sum(1) - radius
    places, order = torch.cat([begins, size], 1).sort(1)
    slope = torch.where(order < size.shape[1], 1.0, -1.0).to(flat.dtype).cumsum(1)  # elements that shrink after a place
    fallen = torch.zeros_like(places)
    fallen[:, 1:] = (slope[:, :-1] * places.diff(dim=1)).cumsum(1)
    piece = ((fallen < excess.unsqueeze(1)).sum(1) - 1).clamp_min(0).unsqueeze(1)
    rest = (excess.unsqueeze(1) - fallen.gather(1, piece)).clamp_min(0)
    threshold = places.gather(1, piece) + rest / slope.gather(1, piece).clamp_min(1.0)
    threshold = torch.where(excess.unsqueeze(1) > 0, threshold, 0)
    moved = torch.minimum((size - threshold).clamp_min(0), room) * flat.sign()
    return (x + moved).clamp(0, 1).view(delta.shape)


def to_hyperplane(x: torch.Tensor, gradient: torch.Tensor, gap: torch.Tensor, norm: NormName) -> torch.Tensor:
    """Smallest steps d (M, ...) with <gradient, d> = gap and x + d in [0, 1]; where there is none, the farthest.

    Croce and Hein 2020 (arXiv:1907.02044), eq. 6 and section 3.1.

    Args:
        x: (M, ...) in [0, 1].
        gradient: (M, ...) normal of the hyperplane.
        gap: (M,) how much <gradient, .> is to change, of any sign.
        norm: linf, l2 or l1.
    """
    sign = torch.where(gap < 0, -1.0, 1.0).to(x.dtype)
    w = (gradient * wide(sign, gradient)).flatten(1)
    flat, need = x.flatten(1), gap.abs()
    room = torch.where(w > 0, 1 - flat, flat).clamp_min(0)
    slope = w.abs()
    if norm == "l1":
        size = _spend(slope, room, need)
    else:
        rate = torch.ones_like(slope) if norm == "linf" else slope
        size = _grow(slope, rate, room, need)
    return (size * w.sign()).view(x.shape)


def _grow(slope: torch.Tensor, rate: torch.Tensor, room: torch.Tensor, need: torch.Tensor) -> torch.Tensor:
    """Sizes min(t rate, room) with t so that their sum, weighted with ``slope``, is ``need``: Newton from t = 0.

    The sum is concave in t, so Newton's steps never pass the root; they end on its linear piece.
    """
    weight = slope * rate
    t, least = torch.zeros_like(need), 4 * torch.finfo(need.dtype).eps
    for _ in range(PASSES):
        size = torch.minimum(t.unsqueeze(1) * rate, room)
        rest = need - (slope * size).sum(1)
        growing = torch.where(t.unsqueeze(1) * rate < room, weight, 0).sum(1)
        going = (rest > least * need) & (growing > 0)
        if not bool(going.any()):
            break
        t = torch.where(going, t + rest / growing.clamp_min(1e-38), t)
    full = (growing <= 0) & (rest > 0)
    return torch.where(full.unsqueeze(1), torch.where(slope > 0, room, 0), torch.where(slope > 0, size, 0))


def _spend(slope: torch.Tensor, room: torch.Tensor, need: torch.Tensor) -> torch.Tensor:
    """Sizes that take the whole room of the steepest elements first, the last one in part."""
    order = slope.argsort(dim=1, descending=True, stable=True)
    gain = (slope * room).gather(1, order)
    before = gain.cumsum(1) - gain
    part = ((need.unsqueeze(1) - before) / slope.gather(1, order).clamp_min(1e-38)).clamp_min(0)
    size = torch.minimum(part, room.gather(1, order))
    return torch.zeros_like(size).scatter_(1, order, size)
