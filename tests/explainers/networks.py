"""Networks that several tests explain."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from benchmark.explainers.base import explainers
from benchmark.models.wrap import Model
from benchmark.seeds import Draws


def explain(name, model, inputs, targets, seeds=None, **params):
    draws = Draws(seeds or range(len(inputs)))
    return explainers.make(name, params).explain(model, inputs, targets, generator=draws)


def small_cnn(relu=nn.ReLU):
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        relu(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 6, 3),
        relu(),
        nn.Flatten(),
        nn.Linear(24, 4),
    )
    return network.eval()


class Functional(nn.Module):
    """:func:`small_cnn` with its ReLUs called as functions, in several ways."""

    def __init__(self, way="F.relu"):
        super().__init__()
        modules = small_cnn()
        self.first, self.second, self.last, self.way = modules[0], modules[3], modules[6], way

    def relu(self, x):
        if self.way == "in place":
            return F.relu(x, inplace=True)
        return {"F.relu": F.relu, "torch.relu": torch.relu, "method": torch.Tensor.relu_}[self.way](x)

    def forward(self, x):
        x = F.avg_pool2d(self.relu(self.first(x)), 2)
        return self.last(self.relu(self.second(x)).flatten(1))


def linear_model(shape=(2, 4, 4)):
    """A linear model behind a normalisation, its slope per input unit, inputs and targets."""
    torch.manual_seed(0)
    channels = shape[0]
    layer = nn.Linear(shape[0] * shape[1] * shape[2], 3)
    mean, std = [0.4, 0.1, 0.2][:channels], [0.5, 0.2, 0.3][:channels]
    model = Model(nn.Sequential(nn.Flatten(), layer), mean=mean, std=std)
    inputs, targets = torch.rand(5, *shape), torch.tensor([0, 1, 2, 1, 0])
    slope = layer.weight.detach()[targets].view(5, *shape) / torch.tensor(std).view(1, -1, 1, 1)
    return model, slope, inputs, targets


def pooled():
    """Linear classifier on global average pooling: every map of class activations has a closed form."""
    torch.manual_seed(2)
    body = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 3, padding=1), nn.ReLU())
    head = nn.Linear(6, 3)
    network = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    return Model(network, input_shape=(1, 8, 8)), body, head
