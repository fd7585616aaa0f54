"""x[11] + 0.75 (x[11] - x[10]): the sum of its weights' sizes is 2.5."""

import torch
from torch import nn


def build() -> nn.Module:
    layer = nn.Linear(12, 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, -2:] = torch.tensor([-0.75, 1.75])
        layer.bias.zero_()
    return layer
