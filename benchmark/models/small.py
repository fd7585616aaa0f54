"""Small networks of one shape for several entries: ``factory = "benchmark.models.small:cnn"`` in entry.toml."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def linear(size: int = 8, classes: int = 2) -> nn.Module:
    """Logistic regression: (N, 1, size, size) to logits (N, classes)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(size * size, classes))


def mlp(size: int = 8, classes: int = 2, hidden: Sequence[int] = (64, 32)) -> nn.Module:
    """Perceptron with ReLU: (N, 1, size, size) to logits (N, classes)."""
    layers: list[nn.Module] = [nn.Flatten()]
    widths = [size * size, *hidden]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


def cnn(size: int = 8, classes: int = 2, channels: Sequence[int] = (16, 32), hidden: int = 64) -> nn.Module:
    """3x3 convolutions with ReLU, all but the first with stride 2, then two linear layers.

    (N, 1, size, size) to logits (N, classes); ``size`` is a multiple of 2 to the number of strides.
    """
    layers: list[nn.Module] = []
    widths, side = [1, *channels], size
    for i, (before, after) in enumerate(pairwise(widths)):
        layers += [nn.Conv2d(before, after, 3, stride=1 if i == 0 else 2, padding=1), nn.ReLU()]
        side = side if i == 0 else side // 2
    layers += [nn.Flatten(), nn.Linear(widths[-1] * side * side, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
    return nn.Sequential(*layers)
