"""AUTOMAP: k-space to image by fully connected layers, for one mask and one size."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmark.errors import NotApplicableError
from benchmark.mri.masks import MaskSpec, make_mask

ACTIVITY = 1e-4  # weight of the l1 norm of the second convolution's output in training (Zhu et al. 2018, Methods)


class AUTOMAP(nn.Module):
    """Zhu et al. 2018, "Image reconstruction by domain-transform manifold learning", doi:10.1038/nature25988.

    The m measured values as 2 m numbers, fully connected tanh, fully connected tanh to 2 x H x W, two convolutions 5x5
    with ReLU, a transposed convolution 7x7. The paper's network makes a magnitude; here both parts of a complex image
    come out, and the first layer has ``hidden`` units instead of twice as many as there are pixels.

    Args:
        size: (H, W) of the images.
        kind, fraction, seed: of the only mask (:class:`benchmark.mri.masks.MaskSpec`).
        hidden: units of the first fully connected layer.
        features: channels of the convolutions.
    """

    mask: torch.Tensor

    def __init__(
        self,
        size: tuple[int, int],
        kind: Any = "vd2d",
        fraction: float = 0.54,
        seed: int = 0,
        hidden: int = 1024,
        features: int = 64,
    ) -> None:
        super().__init__()
        self.size = (int(size[0]), int(size[1]))
        self.spec = MaskSpec(kind=kind, fraction=fraction, seed=seed)
        self.register_buffer("mask", torch.from_numpy(make_mask(self.spec, self.size)), persistent=False)
        pixels = self.size[0] * self.size[1]
        self.fc1 = nn.Linear(2 * int(self.mask.sum()), hidden)
        self.fc2 = nn.Linear(hidden, 2 * pixels)
        self.conv1 = nn.Conv2d(2, features, 5, padding=2)
        self.conv2 = nn.Conv2d(features, features, 5, padding=2)
        self.out = nn.ConvTranspose2d(features, 2, 7, padding=3)

    def refuses(self, physics: Any) -> str | None:
        """Why this network cannot take such a measurement: another size, coils or another mask."""
        height, width = self.size
        mine = (
            f"trained for one mask ({self.spec.kind}, {100 * self.spec.fraction:g} %, seed {self.spec.seed})"
            f" at {height}x{width}"
        )
        got = tuple(physics.mask.shape[-2:])
        if got != self.size:
            return f"{mine}: the measurement is {got[0]}x{got[1]}"
        if getattr(physics, "coil_maps", None) is not None:
            return f"{mine}, one coil: the measurement has {physics.coil_maps.shape[1]} coils"
        if not bool(((physics.mask != 0) == self.mask).all()):
            return f"{mine}: the measurement has another mask"
        return None

    def hidden(self, y: torch.Tensor) -> torch.Tensor:
        """K-space (N, 2, H, W) to the second convolution's output (N, features, H, W)."""
        values = y[:, :, self.mask].flatten(1)
        image = torch.tanh(self.fc2(torch.tanh(self.fc1(values)))).view(-1, 2, *self.size)
        return F.relu(self.conv2(F.relu(self.conv1(image))))

    def forward(self, y: torch.Tensor, physics: Any) -> torch.Tensor:
        """K-space (N, 2, H, W) to images (N, 2, H, W).

        Raises:
            NotApplicableError: a measurement of another size, mask or number of coils.
        """
        if reason := self.refuses(physics):
            raise NotApplicableError(reason)
        image: torch.Tensor = self.out(self.hidden(y))
        return image

    def penalised(self, y: torch.Tensor, physics: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Images, and what the paper adds to the loss: ``ACTIVITY`` times the mean magnitude of the last features."""
        features = self.hidden(y)
        return self.out(features), ACTIVITY * features.abs().mean()
