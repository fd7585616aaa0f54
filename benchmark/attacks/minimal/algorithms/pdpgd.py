"""The loop of PDPGD (arXiv:2106.01538, section III) and the proximal operators of norms."""

from __future__ import annotations

import math

import torch

from benchmark.attacks.core.losses import loss
from benchmark.attacks.core.projections import NormName, norms, wide
from benchmark.attacks.core.search import Search
from benchmark.attacks.minimal.algorithms.common import TINY, Adam, last_look, scaled, threshold


def pdpgd(
    search: Search,
    *,
    norm: NormName,
    steps: int,
    step_size: float,
    step_size_decay: float,
    ratio: float,
    ratio_least: float,
    dual_step_size: float,
    dual_step_size_decay: float,
    dual_average: float,
    proximal_steps: int,
    proximal_tolerance: float,
) -> None:
    """The samples left are attacked; the loss is log(1 + exp(label's margin)), its sign that of the constraint.

    Args:
        search: of the batch; the smallest points are kept there.
        norm, steps, step_size, step_size_decay, ratio, ratio_least, dual_step_size, dual_step_size_decay, dual_average,
            proximal_steps, proximal_tolerance: see :class:`benchmark.attacks.minimal.pdpgd.PDPGD`.
    """
    at = search.left()
    clean, labels = search.inputs[at], search.labels[at]
    x, adam = clean.clone(), Adam(clean)
    limit = -math.log(ratio_least)
    dual = torch.full((len(at),), -math.log(ratio), dtype=clean.dtype, device=clean.device)
    weight = dual.sigmoid()  # of the loss; the norm's is 1 less this
    for k in range(steps):
        graph = search.graph(at, x)
        values, cotangent = loss(graph.logits, labels, "margin")
        search.keep_smaller(at, x, search.wrong(at, graph.logits), norm)
        pull = (-values).sigmoid().unsqueeze(1)
        gradient = search.gradient(at, graph, -pull.to(cotangent.dtype) * cotangent)
        # primal: Adam on the loss, then the norm's proximal operator in Adam's metric (Melchior et al. 2019)
        size = step_size * step_size_decay ** (k / steps)
        x = (x - size * adam.step(gradient)).clamp_(0, 1)
        largest = norms(adam.scale, "linf")
        strength = size / largest * (1 - weight) / weight
        metric = scaled(adam.scale, 1 / largest)
        x = _proximal(x, clean, metric, strength, norm, proximal_steps, proximal_tolerance)
        # dual: up the sign of the constraint, then the average of the multipliers
        left = (steps - 1 - k) / max(steps - 1, 1)
        dual_size = dual_step_size * (left * (1 - dual_step_size_decay) + dual_step_size_decay)
        dual = (dual - dual_size * values.to(dual.dtype).sign()).clamp_(-limit, limit)
        weight = dual_average * weight + (1 - dual_average) * dual.sigmoid()
    last_look(search, at, x, norm)


def _proximal(
    x: torch.Tensor,
    clean: torch.Tensor,
    metric: torch.Tensor,
    strength: torch.Tensor,
    norm: NormName,
    steps: int,
    tolerance: float,
) -> torch.Tensor:
    """Proximal gradient steps to the proximal operator in a diagonal metric (M, ...), at most 1, in the box."""
    start = x - clean
    delta = start
    going = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for _ in range(steps):
        new = proximal(delta - metric * (delta - start), strength, norm)
        new = (clean + new).clamp_(0, 1).sub_(clean)
        change = norms(new - delta, "l2")
        delta = torch.where(wide(going, new), new, delta)
        going = going & (change > tolerance * norms(new, "l2"))
        if not bool(going.any()):
            break
    return (clean + delta).clamp_(0, 1)


def proximal(delta: torch.Tensor, strength: torch.Tensor, norm: NormName) -> torch.Tensor:
    """argmin over z of |z - delta|^2 / 2 + strength |z|, (M, ...) with (M,); in l0 with the l2/3 norm."""
    if norm == "l2":
        return scaled(delta, (1 - strength / norms(delta, "l2").clamp_min(TINY)).clamp_min(0))
    flat = delta.flatten(1)
    size = flat.abs()
    if norm == "l1":
        return ((size - strength.unsqueeze(1)).clamp_min(0) * flat.sign()).view_as(delta)
    if norm == "linf":  # the projection on the l1 ball is what is taken off (Moreau)
        level = torch.where(size.sum(1) > strength, threshold(size, strength), 0)
        return delta.clamp(-wide(level, delta), wide(level, delta))
    return (_two_thirds(size, strength.unsqueeze(1)) * flat.sign()).view_as(delta)


def _two_thirds(size: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """The proximal operator of the sum of |z|^(2/3), in closed form: zero up to a size."""
    inner = size.pow(4) / 256 - 8 * strength.pow(3) / 729
    root = inner.clamp_min(0).sqrt()
    half = size.square() / 16
    other = 8 * strength.pow(3) / 729 / (half + root).clamp_min(TINY)  # half - root, without cancellation
    a = 2 * ((half + root).pow(1 / 3) + other.pow(1 / 3))
    side = a.clamp_min(TINY).sqrt()
    found = ((side + (2 * size / side - a).clamp_min(0).sqrt()) / 2).pow(3)
    return torch.where(size.pow(4) > 128 / 27 * strength.pow(3), found, 0)
