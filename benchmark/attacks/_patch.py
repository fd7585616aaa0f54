"""Placing and optimising an adversarial patch (Brown et al. 2017). Needs torch; the geometry is kornia's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from kornia.geometry.transform import get_rotation_matrix2d, warp_affine
from numpy.typing import NDArray

from benchmark.attacks._physical import adversarial_loss
from benchmark.seeds import derive

if TYPE_CHECKING:
    from benchmark.attacks.patch import Patch, Placed
    from benchmark.models.wrap import Model

Params = Mapping[str, NDArray[Any]]


def outline(shape: str, side: int, like: torch.Tensor) -> torch.Tensor:
    """(1, 1, side, side), 1 inside the patch's outline."""
    if shape == "square":
        return torch.ones(1, 1, side, side, dtype=like.dtype, device=like.device)
    centre = torch.arange(side, dtype=like.dtype, device=like.device) - (side - 1) / 2
    inside = centre.square()[:, None] + centre.square()[None] <= (side / 2) ** 2
    return inside.to(like.dtype)[None, None]


def matrices(attack: Placed, params: Params, height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """(N, 2, 3) from pixels of the patch to pixels of the image: rotate and scale about its centre, then move."""
    side, n = attack.side(height, width), len(params["x"])
    centre = torch.full((n, 2), (side - 1) / 2, dtype=torch.float64)
    scale = torch.as_tensor(np.asarray(params["zoom"]) / attack.zoom)[:, None].expand(-1, 2).contiguous()
    matrix: torch.Tensor = get_rotation_matrix2d(
        centre, torch.as_tensor(np.asarray(params["rotation"], np.float64)), scale
    )
    half = side / 2 * scale[:, 0]
    for axis, (name, size) in enumerate((("x", width), ("y", height))):
        room = torch.clamp(size - 2 * half, min=0)
        place = half - 0.5 + torch.as_tensor(np.asarray(params[name], np.float64)) * room
        matrix[:, axis, 2] += place - centre[:, axis]
    return matrix.to(like)


def covered(attack: Placed, params: Params, inputs: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W) in [0, 1], how much of each pixel the patch covers."""
    height, width = inputs.shape[2:]
    shape = outline(attack.shape, attack.side(height, width), inputs).expand(len(inputs), -1, -1, -1)
    alpha: torch.Tensor = warp_affine(shape, matrices(attack, params, height, width, inputs), (height, width))
    return alpha.clamp(0, 1)


def place(attack: Placed, inputs: torch.Tensor, patch: torch.Tensor, params: Params) -> torch.Tensor:
    """Images with the patch laid over them; differentiable in the patch.

    Args:
        attack: outline, area, largest zoom.
        inputs: (N, C, H, W) in [0, 1].
        patch: (C, S, S), or one an image.
        params: ``x``, ``y``, ``zoom``, ``rotation``, each (N,).
    """
    height, width = inputs.shape[2:]
    matrix = matrices(attack, params, height, width, inputs)
    shape = outline(attack.shape, patch.shape[-1], inputs).expand(len(inputs), -1, -1, -1)
    full = patch.expand(len(inputs), *patch.shape[-3:]) * shape
    both: torch.Tensor = warp_affine(
        torch.cat([full, shape], 1), matrix, (height, width)
    )  # colours weighted by their cover
    return (inputs * (1 - both[:, -1:]) + both[:, :-1]).clamp(0, 1)


def optimise(
    attack: Patch, model: Model, inputs: torch.Tensor, labels: torch.Tensor, seed: int
) -> dict[str, NDArray[Any]]:
    """The patch after ``attack.steps`` steps of Adam from grey, with the loss of each step.

    Args:
        attack: the parameters.
        model: white box.
        inputs: (N, C, H, W) training samples; those of the target class are left out.
        labels: (N,).
        seed: everything random derives from it.
    """
    device, side = inputs.device, attack.side(*inputs.shape[2:])
    usable = np.flatnonzero((labels != (-1 if attack.target is None else attack.target)).cpu().numpy())
    draw = np.random.default_rng(derive(seed, "training placements"))
    chosen = draw.choice(usable, (attack.steps, attack.batch)) if len(usable) else np.zeros((0, attack.batch), int)
    patch = torch.full((inputs.shape[1], side, side), 0.5, device=device, requires_grad=True)
    optimiser = torch.optim.Adam([patch], lr=attack.lr)
    losses = []
    for rows in chosen:
        which = torch.as_tensor(rows, device=device)
        shown = place(attack, inputs[which], patch, attack.placements(draw.random((attack.batch, 4))))
        loss = adversarial_loss(model(shown), labels[which], attack.target)
        optimiser.zero_grad(set_to_none=True)
        (patch.grad,) = torch.autograd.grad(loss, patch)
        optimiser.step()
        with torch.no_grad():
            patch.clamp_(0, 1)
        losses.append(float(loss.detach()))
    return {"patch": patch.detach().cpu().numpy(), "loss": np.asarray(losses, dtype=np.float32)}
