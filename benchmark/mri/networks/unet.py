"""U-Net on the zero-filled image, without data consistency, for any mask, size and number of coils."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class UNet(nn.Module):
    """Jin et al. 2017 (FBPConvNet, doi:10.1109/TIP.2017.2713099) for MRI: deepinv's U-Net after the adjoint operator.

    It learns what to add to the zero-filled image; nothing holds its output to the measurement. No batch normalisation:
    with it an image would be scaled by others'.

    Args:
        channels: feature maps at each scale, from fine to coarse.
    """

    def __init__(self, channels: Sequence[int] = (32, 64, 128)) -> None:
        from deepinv.models import UNet as Network

        super().__init__()
        self.network = Network(2, 2, batch_norm=False, channels_per_scale=list(channels))

    def forward(self, y: torch.Tensor, physics: Any) -> torch.Tensor:
        """K-space (N, 2, H, W), with coils (N, 2, c, H, W), to images (N, 2, H, W)."""
        image: torch.Tensor = self.network(physics.A_adjoint(y))
        return image
