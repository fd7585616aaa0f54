"""The mean of an image, exactly."""

import torch
from torch import nn


def build() -> nn.Module:
    layer = nn.Linear(36, 1)
    with torch.no_grad():
        layer.weight.fill_(1 / 36)
        layer.bias.zero_()
    return nn.Sequential(nn.Flatten(), layer)
