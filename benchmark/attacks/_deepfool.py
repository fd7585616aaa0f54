"""The loop of DeepFool on tensors: one forward a step, and one vector-Jacobian product a candidate on its graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmark.attacks.base import Perturbed
from benchmark.errors import AttackError

STABLE = 1e-4  # foolbox lengthens every step by this much (l2)
TINY = 1e-8  # foolbox adds it to every gradient norm


def deepfool(
    model: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    steps: int,
    candidates: int,
    overshoot: float,
) -> Perturbed:
    """Minimal l2 perturbations; only samples that are still classified as their label are computed on.

    Args:
        model: (M, C, H, W) in [0, 1] to logits (M, K); each sample's logits depend on that sample alone.
        inputs: float32 (N, C, H, W) in [0, 1].
        labels: (N,) int64; a sample is done when its prediction is another class.
        steps, candidates, overshoot: see :class:`benchmark.attacks.deepfool.DeepFool`.

    Returns:
        Perturbed inputs (the last iterate where no other class was reached) and exact calls a sample.

    Raises:
        AttackError: fewer than two logits.
    """
    result = inputs.detach().clone()
    forwards, backwards = np.zeros((2, len(inputs)), dtype=np.int64)
    active = torch.arange(len(inputs), device=inputs.device)
    x, x0, total = result, inputs.detach(), torch.zeros_like(result)
    classes: torch.Tensor | None = None
    for _ in range(steps):
        if not len(active):
            break
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(x)
        forwards[active.cpu().numpy()] += 1
        if classes is None:  # the clean logits choose the candidates and serve the first step too
            if logits.ndim != 2 or logits.shape[1] < 2:
                raise AttackError(f"deepfool needs logits (N, K) with K >= 2, got {tuple(logits.shape)}")
            classes = logits.detach().topk(min(candidates, logits.shape[1]), dim=1).indices
        going = logits.detach().argmax(1) == labels[active]
        result[active] = x.detach()
        if not going.any():
            break
        products = len(classes[0]) - 1
        # rows that are done get a zero cotangent; their graph dies with this step
        step = _step(logits, x, classes, going)
        backwards[active[going].cpu().numpy()] += products
        keep = going.nonzero().squeeze(1)
        active, classes, x0 = active[keep], classes[keep], x0[keep]
        total = total[keep] + step[keep]
        x = (x0 + (1.0 + overshoot) * total).clamp(0, 1)
    else:
        result[active] = x.detach()
    return Perturbed(result, forwards=forwards, backwards=backwards)


def _step(logits: torch.Tensor, x: torch.Tensor, classes: torch.Tensor, going: torch.Tensor) -> torch.Tensor:
    """Step to the nearest linearised boundary among the candidates (Alg. 2, lines 6 to 11), (M, C, H, W)."""
    rows, weight = torch.arange(len(x), device=x.device), going.to(logits.dtype)
    best_distance = torch.full_like(weight, torch.inf)
    best_gradient, best_norm = torch.zeros_like(x), torch.zeros_like(weight)
    for k in range(1, classes.shape[1]):
        cotangent = torch.zeros_like(logits)
        cotangent[rows, classes[:, k]] = weight
        cotangent[rows, classes[:, 0]] = -weight
        last = k == classes.shape[1] - 1
        (gradient,) = torch.autograd.grad(logits, x, cotangent, retain_graph=not last)
        norm = gradient.flatten(1).norm(dim=1)
        loss = logits.detach()[rows, classes[:, k]] - logits.detach()[rows, classes[:, 0]]
        distance = loss.abs() / (norm + TINY)
        closer = distance < best_distance
        best_distance = torch.where(closer, distance, best_distance)
        best_norm = torch.where(closer, norm, best_norm)
        best_gradient = torch.where(closer.view(-1, 1, 1, 1), gradient, best_gradient)
    length = (best_distance + STABLE) / (best_norm + TINY)
    return length.view(-1, 1, 1, 1) * best_gradient
