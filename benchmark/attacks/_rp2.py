"""Optimising a sticker over simulated views (Eykholt et al. 2018, eq. 3). Needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.attacks._physical import UNITS, adversarial_loss, background, non_printability, paste, seen, views_of
from benchmark.attacks._sticker import palette, sticker_mask
from benchmark.seeds import derive

if TYPE_CHECKING:
    from benchmark.attacks.physical import RP2
    from benchmark.models.wrap import Model


def training_views(attack: RP2, seed: int, count: int) -> dict[str, NDArray[Any]]:
    """Views of the fit: distance log-uniform and angle uniform within the judged ranges, the rest as judged.

    Args:
        attack: its distances and angles.
        seed: of the fit; the judged views have seeds of their own.
        count: how many views.
    """
    unit = np.random.default_rng(derive(seed, "training views")).random((count, UNITS + 2))
    low, high = np.log(min(attack.distances)), np.log(max(attack.distances))
    distance = np.exp(low + unit[:, UNITS] * (high - low))
    angle = min(attack.angles) + unit[:, UNITS + 1] * (max(attack.angles) - min(attack.angles))
    return views_of(unit[:, :UNITS], distance, angle)


def optimise(
    attack: RP2, model: Model, photos: torch.Tensor, labels: torch.Tensor, seed: int
) -> dict[str, NDArray[Any]]:
    """The sticker after ``attack.steps`` steps of Adam, with its mask, the mean photo and the loss of each step.

    Args:
        attack: the parameters.
        model: white box.
        photos: (N, C, H, W) training photos.
        labels: (N,) their classes.
        seed: everything random derives from it.
    """
    device, n = photos.device, attack.steps * attack.batch
    colours = torch.as_tensor(palette(photos.shape[1]), dtype=photos.dtype, device=device)
    mask = torch.as_tensor(sticker_mask(attack.mask, *photos.shape[2:]), device=device)
    beneath, fill = photos.mean(0), background(photos)
    chosen = np.random.default_rng(derive(seed, "training photos")).integers(0, len(photos), n)
    views, losses = training_views(attack, seed, n), []
    sticker = beneath.clone().requires_grad_()
    optimiser = torch.optim.Adam([sticker], lr=attack.lr)
    for step in range(attack.steps):
        at = slice(step * attack.batch, (step + 1) * attack.batch)
        which = torch.as_tensor(chosen[at], device=device)
        shown = paste(photos[which], sticker, mask)
        logits = model(seen(shown, {name: values[at] for name, values in views.items()}, fill[which]))
        inside = sticker[:, mask]
        # eq. 3, from here on: the size of the masked sticker, the loss over the views, non-printability
        size = torch.linalg.vector_norm(inside - beneath[:, mask] + 1e-12, ord=attack.p)  # no slope at 0
        loss = adversarial_loss(logits, labels[which], attack.target) + attack.size * size
        loss = loss + attack.nps * non_printability(inside.T, colours).sum()
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
