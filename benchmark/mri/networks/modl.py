"""MoDL: one denoiser used again and again, and a proximal step on the data between."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class MoDL(nn.Module):
    """Aggarwal, Mani, Jacob 2019, "MoDL", doi:10.1109/TMI.2018.2865356, as ``deepinv.models.MoDL`` unrolls it.

    Half-quadratic splitting of ``iterations`` turns; the denoiser (DnCNN, residual) shares its weights between them.
    The proximal steps have trainable sizes, so measured k-space is weighed, never replaced; the last step is the
    denoiser's. Sizes start at 1 / lambda with the paper's lambda = 0.05, where deepinv starts at 1: measured k-space
    then counts no more than the denoiser's, and training hardly moves that. With coils deepinv solves the step by
    conjugate gradients, which stop for the whole batch at once.

    Args:
        iterations: turns.
        depth: convolutions 3x3 of the denoiser.
        features: channels between them.
        step: where the step sizes start: measured k-space counts ``step`` times as much as the denoiser's.
    """

    def __init__(self, iterations: int = 5, depth: int = 5, features: int = 64, step: float = 20.0) -> None:
        from deepinv.models import DnCNN
        from deepinv.models import MoDL as Network

        super().__init__()
        denoiser = DnCNN(2, 2, depth=depth, nf=features, pretrained=None)
        self.network = Network(denoiser, num_iter=iterations)
        for size in self.network.params_algo["stepsize"]:
            nn.init.constant_(size, step)

    def forward(self, y: torch.Tensor, physics: Any) -> torch.Tensor:
        """K-space (N, 2, H, W), with coils (N, 2, c, H, W), to images (N, 2, H, W)."""
        image: torch.Tensor = self.network(y, physics)
        self.network.params_algo.train(self.training)  # deepinv makes this container anew in every call
        return image
