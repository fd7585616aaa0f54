"""The loop of DeepFool on tensors: one graph a step, and one vector-Jacobian product a candidate on it.

With more than a few classes those products are nearly all of the cost. A step then looks first, without a graph, who
is done, and builds the graph for the others alone. The rule does not depend on the batch, so neither do the counts.
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
    x, x0, total = inputs.detach(), inputs.detach(), torch.zeros_like(result)
    classes: torch.Tensor | None = None
    for _ in range(steps):
        x = x.detach().requires_grad_()
        # on the first step nobody is done yet, and with few classes a second forward costs more than it saves
        look_first = classes is not None and classes.shape[1] - 1 >= LOOK_FIRST
        with torch.set_grad_enabled(not look_first):
            logits = model(x)
        forwards[active.cpu().numpy()] += 1
        if classes is None:  # the clean logits choose the candidates and serve the first step too
            if logits.ndim != 2 or logits.shape[1] < 2:
                raise AttackError(f"deepfool needs logits (N, K) with K >= 2, got {tuple(logits.shape)}")
            classes = logits.detach().topk(min(candidates, logits.shape[1]), dim=1).indices
        result[active] = x.detach()
        keep = (logits.detach().argmax(1) == labels[active]).nonzero().squeeze(1)
        active, classes, x0, total = active[keep], classes[keep], x0[keep], total[keep]
        if not len(active):
            break
        if look_first:
            x = x.detach()[keep].requires_grad_()
            with torch.enable_grad():
                logits = model(x)
            forwards[active.cpu().numpy()] += 1
            keep = torch.arange(len(active), device=inputs.device)
        total = total + _step(logits, x, classes, keep)
        backwards[active.cpu().numpy()] += classes.shape[1] - 1
        x = (x0 + (1.0 + overshoot) * total).clamp(0, 1)
    else:
        result[active] = x.detach()
    return Perturbed(result, forwards=forwards, backwards=backwards)


def _step(logits: torch.Tensor, x: torch.Tensor, classes: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Step to the nearest linearised boundary among the candidates (Alg. 2, lines 6 to 11).

    Args:
        logits, x: (M, K) on the graph of (M, C, H, W).
        classes: (R, candidates) of the rows that go on, the reference class first.
        keep: (R,) which rows of ``logits`` those are.

    Returns:
        (R, C, H, W).
    """
    values = logits.detach()[keep]
    best: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
    for k in range(1, classes.shape[1]):
        cotangent = torch.zeros_like(logits)
        cotangent[keep, classes[:, k]] = 1.0
        cotangent[keep, classes[:, 0]] = -1.0
        last = k == classes.shape[1] - 1
        gradient = torch.autograd.grad(logits, x, cotangent, retain_graph=not last)[0][keep]
        norm = gradient.flatten(1).norm(dim=1)
        loss = values.gather(1, classes[:, k : k + 1]) - values.gather(1, classes[:, :1])
        distance = loss.squeeze(1).abs() / (norm + TINY)
        if best is None:
            best = (distance, norm, gradient)
            continue
        closer = distance < best[0]
        shown = closer.view(-1, *[1] * (x.ndim - 1))
        best = (
            torch.where(closer, distance, best[0]),
            torch.where(closer, norm, best[1]),
            torch.where(shown, gradient, best[2]),
        )
    assert best is not None
    distance, norm, gradient = best
    length: torch.Tensor = (distance + STABLE) / (norm + TINY)
    return length.view(-1, *[1] * (x.ndim - 1)) * gradient
