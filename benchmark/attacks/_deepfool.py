"""The loop of DeepFool on tensors: one graph a step, and one vector-Jacobian product a candidate on it.

With more than a few classes those products are nearly all of the cost. A step then looks first, without a graph, who
is done, and builds the graph for the others alone. The rule does not depend on the batch, so neither do the counts.
Batching the products of all candidates (vmap, or copies of the input) is faster only below about 30 samples on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmark.attacks.base import Perturbed
from benchmark.errors import AttackError

STABLE = 1e-4  # foolbox lengthens every step by this much (l2)
TINY = 1e-8  # foolbox adds it to every gradient norm
LOOK_FIRST = 3  # products a step from which looking first is worth its forward


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
    x = x0 = inputs.detach()
    total = torch.zeros_like(x)
    classes: torch.Tensor | None = None
    for _ in range(steps):
        # on the first step nobody is done yet, and with few classes a second forward costs more than it saves
        look_first = classes is not None and classes.shape[1] - 1 >= LOOK_FIRST
        x = x.detach().requires_grad_(not look_first)
        with torch.set_grad_enabled(not look_first):
            logits = model(x)
        forwards[active.cpu().numpy()] += 1
        if classes is None:  # the clean logits choose the candidates and serve the first step too
            if logits.ndim != 2 or logits.shape[1] < 2:
                raise AttackError(f"deepfool needs logits (N, K) with K >= 2, got {tuple(logits.shape)}")
            classes = logits.detach().topk(min(candidates, logits.shape[1]), dim=1).indices
        going = logits.detach().argmax(1) == labels[active]
        keep: torch.Tensor | None = None
        if not bool(going.all()):
            result[active[~going]] = x.detach()[~going]
            keep = going.nonzero().squeeze(1)
            active, x0, total = active[keep], x0[keep], total[keep]
            if not len(active):
                break
        if look_first:
            x = (x if keep is None else x[keep]).requires_grad_()
            classes = classes if keep is None else classes[keep]
            with torch.enable_grad():
                logits = model(x)
            forwards[active.cpu().numpy()] += 1
            keep = None
        step = _step(logits, x, classes)
        if keep is not None:
            step, classes = step[keep], classes[keep]
        backwards[active.cpu().numpy()] += classes.shape[1] - 1
        total = total.add_(step)
        x = torch.add(x0, total, alpha=1.0 + overshoot).clamp_(0, 1)
    else:
        result[active] = x.detach()
    return Perturbed(result, forwards=forwards, backwards=backwards)


def _step(logits: torch.Tensor, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Step to the nearest linearised boundary among the candidates (Alg. 2, lines 6 to 11).

    Args:
        logits, x: (M, K) on the graph of (M, C, H, W).
        classes: (M, candidates), the reference class first.

    Returns:
        (M, C, H, W).
    """
    others, own = classes[:, 1:].t(), classes[:, 0]
    cotangents = torch.zeros((len(others), *logits.shape), dtype=logits.dtype, device=logits.device)
    cotangents.scatter_(2, others.unsqueeze(2), 1.0)
    cotangents.scatter_(2, own.expand_as(others).unsqueeze(2), -1.0)
    gradients = torch.empty((len(others), *x.shape), dtype=x.dtype, device=x.device)
    for k in range(len(others)):
        gradients[k] = torch.autograd.grad(logits, x, cotangents[k], retain_graph=k < len(others) - 1)[0]
    values = logits.detach()
    norms = torch.linalg.vector_norm(gradients.flatten(2), dim=2)
    losses = values.gather(1, classes[:, 1:]).t() - values.gather(1, classes[:, :1]).t()
    distances = losses.abs() / (norms + TINY)
    nearest = distances.argmin(0, keepdim=True)
    distance, norm = distances.gather(0, nearest)[0], norms.gather(0, nearest)[0]
    gradient = gradients[nearest[0], torch.arange(len(x), device=x.device)]
    length = (distance + STABLE) / (norm + TINY)
    return gradient.mul_(length.view(-1, *[1] * (x.ndim - 1)))
