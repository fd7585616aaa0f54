"""Deep cascade: convolutions and data consistency in turns, for any mask, size and number of coils."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmark.mri.measurement import fft, ifft, to_channels, to_complex


class DeepCascade(nn.Module):
    """Schlemper et al. 2018, "A deep cascade of convolutional neural networks", doi:10.1109/TMI.2017.2760978.

    D5C5 by default: five cascades, each of five convolutions 3x3 (2-64-64-64-64-2) with ReLU between, a residual
    connection, and data consistency (the paper's eq. 9). One coil: measured k-space replaces the image's. Several: the
    same in coil space, then the coils are combined (the image then agrees with the measurement as far as maps allow).

    Args:
        cascades: number of cascades.
        depth: convolutions in each.
        features: channels between them.
        weight: the paper's lambda = q / sigma: measured k-space counts lambda times as much as the image's.
            None: infinite, a hard replacement, for measurements that are trusted.
    """

    def __init__(self, cascades: int = 5, depth: int = 5, features: int = 64, weight: float | None = None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_block(depth, features) for _ in range(cascades))
        self.share = 1.0 if weight is None else weight / (1 + weight)

    def forward(self, y: torch.Tensor, physics: Any) -> torch.Tensor:
        """K-space (N, 2, H, W), with coils (N, 2, c, H, W), to images (N, 2, H, W)."""
        image: torch.Tensor = physics.A_adjoint(y)
        for block in self.blocks:
            image = self.consistent(image + block(image), y, physics)
        return image

    def consistent(self, image: torch.Tensor, y: torch.Tensor, physics: Any) -> torch.Tensor:
        """The image with measured k-space put in place of its own (or mixed with it: ``weight``)."""
        maps = getattr(physics, "coil_maps", None)
        coils = to_complex(image)[:, None] * (1 if maps is None else maps)
        measured = to_complex(y) if maps is not None else to_complex(y)[:, None]
        mask = _locations(physics)
        own = fft(coils)
        mixed = ifft(own + self.share * mask * (measured - own))
        return to_channels(mixed[:, 0] if maps is None else (maps.conj() * mixed).sum(1))


def _locations(physics: Any) -> torch.Tensor:
    """The mask as (N or 1, 1, H, W) from deepinv's, which repeats it for both channels and maybe for coils."""
    mask: torch.Tensor = physics.mask[:, 0]
    return mask if mask.ndim == 4 else mask[:, None]


def _block(depth: int, features: int) -> nn.Sequential:
    """``depth`` convolutions 3x3 with ReLU between them, 2 channels in and out."""
    layers: list[nn.Module] = []
    for i in range(depth):
        first, last = i == 0, i == depth - 1
        layers += [nn.Conv2d(2 if first else features, 2 if last else features, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
