"""Three fully connected layers, 500-150-10, with ReLU between them."""

from torch import nn


def build(classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, 500),
        nn.ReLU(),
        nn.Linear(500, 150),
        nn.ReLU(),
        nn.Linear(150, classes),
    )
