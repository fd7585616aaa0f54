"""Three 3x3 convolutions (128, 64, 32), the first two with stride 2, one logit."""

from torch import nn


def build(size: int = 64) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 128, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(128, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (size // 4) ** 2, 1),
    )
