"""Measuring a truth anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmark.mri.masks import make_mask
from benchmark.mri.measurement import measure, to_complex, unpack
from benchmark.seeds import Draws

if TYPE_CHECKING:
    from benchmark.mri.attacks.acquisition import Condition


def measured_anew(condition: Condition, packed: torch.Tensor, truth: torch.Tensor, generator: Draws) -> torch.Tensor:
    """Packed measurements of truths (N, 2, H, W) under a condition, through the coil maps of ``packed``."""
    maps = unpack(packed).maps
    samples, coils = truth, 1
    if maps is not None:
        images, coils = maps * to_complex(truth)[:, None], maps.shape[1]
        samples = torch.cat([images.real, images.imag, maps.real, maps.imag], dim=1)
    mask = torch.from_numpy(make_mask(condition.mask, (truth.shape[-2], truth.shape[-1])))
    normal = generator.normal((2 * coils, *truth.shape[-2:])) if condition.noise else None
    return measure(samples, mask.to(truth.device), level=condition.noise, normal=normal).pack()
