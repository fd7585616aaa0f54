"""Convolutions whose strides are given: ``factory = "benchmark.models.strided:cnn"`` in entry.toml.

The source of a shared network enters the digest of every entry that names it, so this file stays apart from
``benchmark/models/small.py``: a change here moves no entry of that file.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import nn


def cnn(
    size: int = 8,
    classes: int = 10,
    channels: Sequence[int] = (16, 32, 32),
    strides: Sequence[int] = (1, 2, 1),
    hidden: int = 64,
) -> nn.Module:
    """3x3 convolutions with ReLU, then two linear layers; the strides take the place of pooling.

    (N, 1, size, size) to logits (N, classes); ``size`` is a multiple of the product of the strides.
    """
    layers: list[nn.Module] = []
    for (before, after), stride in zip(pairwise([1, *channels]), strides, strict=True):
        layers += [nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.ReLU()]
    side = size // prod(strides)
    layers += [nn.Flatten(), nn.Linear(channels[-1] * side * side, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
    return nn.Sequential(*layers)
