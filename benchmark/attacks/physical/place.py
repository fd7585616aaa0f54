"""Placing and optimising an adversarial patch (Brown et al. 2017). Needs torch; the geometry is kornia's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from kornia.geometry.transform import get_rotation_matrix2d, warp_affine
from numpy.typing import NDArray

from benchmark.attacks.physical.views import adversarial_loss
from benchmark.seeds import derive

if TYPE_CHECKING:
    from benchmark.models.wrap import Model

Params = Mapping[str, NDArray[Any]]


def outline(shape: str, side: int, like: torch.Tensor) -> torch.Tensor:
    """(1, 1, side, side), 1 inside the patch's outline."""
    if shape == "square":
        return torch.ones(1, 1, side, side, dtype=like.dtype, device=like.device)
    centre = torch.arange(side, dtype=like.dtype, device=like.device) - (side - 1) / 2
    inside = centre.square()[:, None] + centre.square()[None] <= (side / 2) ** 2
    return inside.to(like.dtype)[None, None]


@dataclass(frozen=True)
class Form:
    """What a patch is like before it is placed.

    Attributes:
        shape: ``"circle"`` or ``"square"``.
        side: in pixels at the largest zoom.
        zoom: the largest.
    """

    shape: str
    side: int
    zoom: float


def matrices(form: Form, params: Params, height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """(N, 2, 3) from pixels of the patch to pixels of the image: rotate and scale about its centre, then move."""
    side, n = form.side, len(params["x"])
    centre = torch.full((n, 2), (side - 1) / 2, dtype=torch.float64)
    scale = torch.as_tensor(np.asarray(params["zoom"]) / form.zoom)[:, None].expand(-1, 2).contiguous()
    matrix: torch.Tensor = get_rotation_matrix2d(
        centre, torch.as_tensor(np.asarray(params["rotation"], np.float64)), scale
    )
    half = side / 2 * scale[:, 0]
    for axis, (name, size) in enumerate((("x", width), ("y", height))):
        room = torch.clamp(size - 2 * half, min=0)
        place = half - 0.5 + torch.as_tensor(np.asarray(params[name], np.float64)) * room
        matrix[:, axis, 2] += place - centre[:, axis]
    return matrix.to(like)


def covered(form: Form, params: Params, inputs: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W) in [0, 1], how much of each pixel the patch covers."""
    height, width = inputs.shape[2:]
    shape = outline(form.shape, form.side, inputs).expand(len(inputs), -1, -1, -1)
    alpha: torch.Tensor = warp_affine(shape, matrices(form, params, height, width, inputs), (height, width))
    return alpha.clamp(0, 1)


def place(form: Form, inputs: torch.Tensor, patch: torch.Tensor, params: Params) -> torch.Tensor:
    """Images with the patch laid over them; differentiable in the patch.

    Args:
        form: outline, side, largest zoom.
        inputs: (N, C, H, W) in [0, 1].
        patch: (C, S, S), or one an image.
        params: ``x``, ``y``, ``zoom``, ``rotation``, each (N,).
    """
    height, width = inputs.shape[2:]
    matrix = matrices(form, params, height, width, inputs)
    shape = outline(form.shape, patch.shape[-1], inputs).expand(len(inputs), -1, -1, -1)
    full = patch.expand(len(inputs), *patch.shape[-3:]) * shape
    both: torch.Tensor = warp_affine(
        torch.cat([full, shape], 1), matrix, (height, width)
    )  # colours weighted by their cover
    return (inputs * (1 - both[:, -1:]) + both[:, :-1]).clamp(0, 1)


def optimise(
    model: Model,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    seed: int,
    *,
    form: Form,
    placements: Callable[[NDArray[np.float64]], Params],
    target: int | None,
    steps: int,
    batch: int,
    lr: float,
) -> dict[str, NDArray[Any]]:
    """The patch after ``steps`` steps of Adam from grey, with the loss of each step.

    Args:
        model: white box.
        inputs: (N, C, H, W) training samples; those of the target class are left out.
        labels: (N,).
        seed: everything random derives from it.
        form: outline, side, largest zoom.
        placements: (N, 4) uniform numbers to N placements.
        target, steps, batch, lr: fields of the attack.
    """
    device, side = inputs.device, form.side
    usable = np.flatnonzero((labels != (-1 if target is None else target)).cpu().numpy())
    draw = np.random.default_rng(derive(seed, "training placements"))
    chosen = draw.choice(usable, (steps, batch)) if len(usable) else np.zeros((0, batch), int)
    patch = torch.full((inputs.shape[1], side, side), 0.5, device=device, requires_grad=True)
    optimiser = torch.optim.Adam([patch], lr=lr)
    losses = []
    for rows in chosen:
        which = torch.as_tensor(rows, device=device)
        shown = place(form, inputs[which], patch, placements(draw.random((batch, 4))))
        loss = adversarial_loss(model(shown), labels[which], target)
        optimiser.zero_grad(set_to_none=True)
        (patch.grad,) = torch.autograd.grad(loss, patch)
        optimiser.step()
        with torch.no_grad():
            patch.clamp_(0, 1)
        losses.append(float(loss.detach()))
    return {"patch": patch.detach().cpu().numpy(), "loss": np.asarray(losses, dtype=np.float32)}
