"""Noisy linear imputation of pixels (Rong et al. 2022), by conjugate gradients on the inputs' device."""

from __future__ import annotations

import torch
from torch.nn import functional as F

RESIDUAL = {torch.float32: 1e-6, torch.float64: 1e-9}
CHECK = 8  # iterations between two looks at the residual: on a GPU each look waits for the device


def imputed(inputs: torch.Tensor, masks: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Inputs with masked pixels replaced by the weighted mean of their neighbours, and noise on them.

    The mean is over the neighbours inside the image, weights 1/6 (direct) and 1/12 (diagonal), and holds for all masked
    pixels at once: a linear system with one equation a masked pixel, solved until no residual is above a part of the
    input's largest value (:data:`RESIDUAL`). Where 90 % of 224x224 pixels are masked, pixels are then right within 1e-4
    in float32 and 1e-7 in float64; the paper's noise is 1e-2.

    Args:
        inputs: (n, 1 or s, C, H, W).
        masks: bool (n, s, 1, H, W), True where a pixel is replaced; at least one pixel of an image must stay.
        noise: (n, 1 or s, C, H, W), added to replaced pixels.

    Returns:
        (n, s, C, H, W) of the inputs' dtype.
    """
    n, s = masks.shape[:2]
    shape = (n, s, *inputs.shape[2:])
    known = inputs.expand(shape).flatten(0, 1)
    if known.dtype not in RESIDUAL:
        known = known.float()
    solved = _solve(known, masks.flatten(0, 1).to(known.dtype)).view(shape).to(inputs.dtype)
    return torch.where(masks, solved + noise, inputs)


def _solve(known: torch.Tensor, unknown: torch.Tensor) -> torch.Tensor:
    """Conjugate gradients with Jacobi's preconditioner; the matrix is symmetric and positive definite.

    Args:
        known: (M, C, H, W).
        unknown: (M, 1, H, W), 1 where a pixel is to be found, else 0.
    """
    share = _neighbours(torch.ones_like(known[:1, :1]))  # 1, less at the border
    inverse = unknown / share
    wanted = RESIDUAL[known.dtype] * known.abs().amax((1, 2, 3), keepdim=True)
    known = known * (1 - unknown)
    x = known + _coarse(known, 1 - unknown) * unknown
    residual = (_neighbours(x) - share * x).mul_(unknown)
    z = inverse * residual
    direction, energy = z.clone(), _dot(residual, z)
    for step in range(8 * known[0, 0].numel()):  # ends long before: steps grow with the side, not with the area
        if step % CHECK == 0 and not bool((residual.abs() > wanted).any()):
            break
        moved = (share * direction).sub_(_neighbours(direction)).mul_(unknown)
        length = _ratio(energy, _dot(direction, moved))
        x.addcmul_(direction, length)
        residual.addcmul_(moved, -length)
        torch.mul(inverse, residual, out=z)
        before, energy = energy, _dot(residual, z)
        direction.mul_(_ratio(energy, before)).add_(z)
    return x


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum((2, 3), keepdim=True)


def _ratio(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a / b, and 0 once a channel is solved exactly."""
    return torch.where(b > 0, a / b, torch.zeros_like(a))


def _neighbours(x: torch.Tensor) -> torch.Tensor:
    """Weighted sum of the neighbours inside the image: (1 2 1)' (1 2 1) / 12 without its middle."""
    rows = 2 * x
    rows[:, :, 1:] += x[:, :, :-1]
    rows[:, :, :-1] += x[:, :, 1:]
    both = 2 * rows
    both[..., 1:] += rows[..., :-1]
    both[..., :-1] += rows[..., 1:]
    return (both - 4 * x) / 12


def _coarse(known: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A first guess: means of known pixels on ever coarser grids, the finest that knows anything."""
    guess = known
    total, share, levels = known, weight, []
    while max(total.shape[2:]) > 1:
        total = F.avg_pool2d(total, 2, ceil_mode=True, count_include_pad=False)
        share = F.avg_pool2d(share, 2, ceil_mode=True, count_include_pad=False)
        levels.append((total, share))
    for total, share in reversed(levels):
        mean = total / share.clamp(min=1e-12)
        if guess is known:
            guess = mean
            continue
        larger = F.interpolate(guess, size=total.shape[2:], mode="bilinear", align_corners=False)
        guess = torch.where(share > 0, mean, larger)
    return F.interpolate(guess, size=known.shape[2:], mode="bilinear", align_corners=False) if levels else guess
