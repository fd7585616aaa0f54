"""x[11]: the sum of its weights' sizes is 1."""

import torch
from torch import nn


def build() -> nn.Module:
    layer = nn.Linear(12, 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, -1] = 1
        layer.bias.zero_()
    return layer
