"""Optimising a sticker over simulated views (Eykholt et al. 2018, eq. 3). Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.attacks.physical.masks import Rectangle, palette, sticker_mask
from benchmark.attacks.physical.views import (
    UNITS,
    adversarial_loss,
    background,
    non_printability,
    paste,
    seen,
    views_of,
)
from benchmark.seeds import derive

if TYPE_CHECKING:
    from benchmark.models.wrap import Model


def training_views(
    distances: Sequence[float], angles: Sequence[float], seed: int, count: int
) -> dict[str, NDArray[Any]]:
    """Views of the fit: distance log-uniform and angle uniform within the judged ranges, the rest as judged.

    Args:
        distances, angles: those that are judged, in metres and degrees.
        seed: of the fit; the judged views have seeds of their own.
        count: how many views.
    """
    unit = np.random.default_rng(derive(seed, "training views")).random((count, UNITS + 2))
    low, high = np.log(min(distances)), np.log(max(distances))
    distance = np.exp(low + unit[:, UNITS] * (high - low))
    angle = min(angles) + unit[:, UNITS + 1] * (max(angles) - min(angles))
    return views_of(unit[:, :UNITS], distance, angle)


def optimise(
    model: Model,
    photos: torch.Tensor,
    labels: torch.Tensor,
    seed: int,
    *,
    where: str | tuple[Rectangle, ...],
    target: int | None,
    distances: Sequence[float],
    angles: Sequence[float],
    steps: int,
    batch: int,
    lr: float,
    size: float,
    p: int,
    nps: float,
) -> dict[str, NDArray[Any]]:
    """The sticker after ``steps`` steps of Adam, with its mask, the mean photo and the loss of each step.

    Args:
        model: white box.
        photos: (N, C, H, W) training photos.
        labels: (N,) their classes.
        seed: everything random derives from it.
        where: the sticker's mask, by name or rectangles.
        target, distances, angles, steps, batch, lr, size, p, nps: fields of the attack.
    """
    device, n = photos.device, steps * batch
    colours = torch.as_tensor(palette(photos.shape[1]), dtype=photos.dtype, device=device)
    mask = torch.as_tensor(sticker_mask(where, *photos.shape[2:]), device=device)
    beneath, fill = photos.mean(0), background(photos)
    chosen = np.random.default_rng(derive(seed, "training photos")).integers(0, len(photos), n)
    views, losses = training_views(distances, angles, seed, n), []
    sticker = beneath.clone().requires_grad_()
    optimiser = torch.optim.Adam([sticker], lr=lr)
    for step in range(steps):
        at = slice(step * batch, (step + 1) * batch)
        which = torch.as_tensor(chosen[at], device=device)
        shown = paste(photos[which], sticker, mask)
        logits = model(seen(shown, {name: values[at] for name, values in views.items()}, fill[which]))
        inside = sticker[:, mask]
        # eq. 3, from here on: the size of the masked sticker, the loss over the views, non-printability
        length = torch.linalg.vector_norm(inside - beneath[:, mask] + 1e-12, ord=p)  # no slope at 0
        loss = adversarial_loss(logits, labels[which], target) + size * length
        loss = loss + nps * non_printability(inside.T, colours).sum()
        optimiser.zero_grad(set_to_none=True)
        (gradient,) = torch.autograd.grad(loss, sticker)
        sticker.grad = gradient * mask  # masked before Adam normalises it
        optimiser.step()
        with torch.no_grad():
            sticker.clamp_(0, 1)
        losses.append(float(loss.detach()))
    return {
        "sticker": sticker.detach().cpu().numpy(),
        "mask": mask.cpu().numpy(),
        "photo": beneath.cpu().numpy(),
        "loss": np.asarray(losses, dtype=np.float32),
    }
