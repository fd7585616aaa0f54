"""Measuring a truth anew."""

from __future__ import annotations

import torch

from benchmark.mri.masks import MaskSpec, make_mask
from benchmark.mri.measurement import measure, to_complex, unpack
from benchmark.seeds import Draws


def measured_anew(
    mask: MaskSpec, noise: float, packed: torch.Tensor, truth: torch.Tensor, generator: Draws
) -> torch.Tensor:
    """Packed measurements of truths (N, 2, H, W) at another mask and noise, through the coil maps of ``packed``."""
    maps = unpack(packed).maps
    samples, coils = truth, 1
    if maps is not None:
        images, coils = maps * to_complex(truth)[:, None], maps.shape[1]
        samples = torch.cat([images.real, images.imag, maps.real, maps.imag], dim=1)
    sampled = torch.from_numpy(make_mask(mask, (truth.shape[-2], truth.shape[-1])))
    normal = generator.normal((2 * coils, *truth.shape[-2:])) if noise else None
    return measure(samples, sampled.to(truth.device), level=noise, normal=normal).pack()
