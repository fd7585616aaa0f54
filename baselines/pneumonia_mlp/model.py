"""One hidden layer of 128 units, one logit."""

from torch import nn


def build(size: int = 64) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(size * size, 128),
        nn.ReLU(),
        nn.Linear(128, 1),
    )
