"""Networks written in ways that hooks and rules may not see; each takes (N, 3, 8, 8) and has three classes."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

WIDE = 4 * 6 * 6


class Written(nn.Module):
    """conv -> ``middle`` -> linear, with ``middle`` written in ``forward``; no biases unless asked for."""

    def __init__(self, middle, bias=False, **parts):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, bias=bias)
        self.middle = middle
        for name, part in parts.items():
            setattr(self, name, part)
        self.head = nn.Linear(WIDE, 3, bias=bias)

    def forward(self, x):
        return self.head(self.middle(self, self.first(x)).flatten(1))


class FirstIsLast(nn.Module):
    """Registers its layers in the reverse of the order in which it calls them."""

    def __init__(self):
        super().__init__()
        self.head, self.second = nn.Linear(WIDE, 3, bias=False), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.first = nn.Conv2d(3, 4, 3, bias=False)

    def forward(self, x):
        return self.head(F.relu(self.second(F.relu(self.first(x)))).flatten(1))


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised in each call."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5), self.bias, padding=1)


class InsideNormalised(nn.Module):
    """Normalises its input in its own ``forward``."""

    def __init__(self):
        super().__init__()
        self.inner = plain()

    def forward(self, x):
        return self.inner((x - 0.5) / 0.25)


def plain(relu=nn.ReLU, bias=False):
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), relu(), nn.Flatten(), nn.Linear(WIDE, 3, bias=bias))


def before(part):
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), part, nn.ReLU(), nn.Flatten(), nn.Linear(WIDE, 3, bias=False))


def shared_relu():
    relu = nn.ReLU()
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), relu, nn.Conv2d(4, 4, 3, padding=1, bias=False), relu,
        nn.Flatten(), nn.Linear(WIDE, 3, bias=False),
    )  # fmt: skip


def shared_convolution():
    again = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    return Written(lambda s, x: F.relu(s.again(F.relu(s.again(x)))), again=again)


def other():
    return nn.Conv2d(4, 4, 3, padding=1, bias=False)


# networks that the rules fit: without biases relevance sums to the logit
FITS = {
    "plain": plain,
    "functional relu": lambda: Written(lambda _, x: F.relu(x)),
    "relu in place": lambda: Written(lambda _, x: F.relu(x, inplace=True)),
    "shared relu": shared_relu,
    "leaky": lambda: plain(lambda: nn.LeakyReLU(0.2)),
    "functional max pool": lambda: Written(lambda _, x: F.interpolate(F.max_pool2d(F.relu(x), 2), scale_factor=2)),
    "average pool": lambda: before(nn.AvgPool2d(3, 1, 1)),
    "concatenation": lambda: Written(lambda s, x: F.relu(torch.cat([s.other(x)[:, :2], x[:, 2:]], 1)), other=other()),
    "dead branch": lambda: Written(lambda s, x: (s.other(x), F.relu(x))[1], other=other()),
    "dropout": lambda: before(nn.Dropout(0.5)),
}

# networks that they do not fit, and what the reason must name
UNFIT = {
    "sigmoid": (lambda: plain(nn.Sigmoid), "layer '1' \\(Sigmoid\\)"),
    "tanh": (lambda: plain(nn.Tanh), "layer '1' \\(Tanh\\)"),
    "silu": (lambda: plain(nn.SiLU), "layer '1' \\(SiLU\\)"),
    "gelu": (lambda: plain(nn.GELU), "layer '1' \\(GELU\\)"),
    "hardswish": (lambda: plain(nn.Hardswish), "layer '1' \\(Hardswish\\)"),
    "softmax": (lambda: nn.Sequential(plain(), nn.Softmax(1)), "layer '1' \\(Softmax\\)"),
    "functional sigmoid": (lambda: Written(lambda _, x: torch.sigmoid(x)), "network itself.*'sigmoid'"),
    "functional gelu": (lambda: Written(lambda _, x: F.gelu(x)), "network itself.*'gelu'"),
    "group norm": (lambda: before(nn.GroupNorm(2, 4)), "layer '1' \\(GroupNorm\\)"),
    "instance norm": (lambda: before(nn.InstanceNorm2d(4)), "layer '1' \\(InstanceNorm2d\\)"),
    "layer norm": (lambda: before(nn.LayerNorm([4, 6, 6])), "layer '1' \\(LayerNorm\\)"),
    "norm after relu": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(WIDE, 3)),
        "layer '2' \\(BatchNorm2d\\).*right before",
    ),
    "norm first": (lambda: nn.Sequential(nn.BatchNorm2d(3), plain()), "layer '0' \\(BatchNorm2d\\).*right before"),
    "norm without weight": (lambda: before(nn.BatchNorm2d(4, affine=False)), "layer '1' \\(BatchNorm2d\\).*no weight"),
    "norm without statistics": (
        lambda: before(nn.BatchNorm2d(4, track_running_stats=False)),
        "layer '1' \\(BatchNorm2d\\).*no running_mean",
    ),
    "residual sum": (lambda: Written(lambda s, x: F.relu(s.other(x) + x), other=other()), "network itself.*branches"),
    "residual in place": (lambda: Written(lambda s, x: F.relu(s.other(x).add_(x)), other=other()), "branches"),
    "gate": (lambda: Written(lambda s, x: F.relu(x) * s.other(x), other=other()), "'mul'"),
    "scaled": (lambda: Written(lambda _, x: 3 * F.relu(x)), "'mul'"),
    "normalised inside": (InsideNormalised, "network itself.*'sub'"),
    "functional average pool": (lambda: Written(lambda _, x: F.avg_pool2d(F.relu(x), 3, 1, 1)), "'avg_pool2d'"),
    "functional layer": (lambda: Written(lambda s, x: F.conv2d(x, s.other.weight, padding=1), other=other()), "convol"),
    "shared convolution": (shared_convolution, "layer 'again' \\(Conv2d\\) is called 2 times"),
    "reverse order": (FirstIsLast, "layer 'head'.*registered first"),
    "standardised": (lambda: before(Standardised(4, 4, 3)), "layer '1' \\(Standardised\\).*forward of its own"),
    "spectral norm": (lambda: before(parametrizations.spectral_norm(other())), "layer '1'.*parametrisation"),
    "old weight norm": (lambda: before(nn.utils.weight_norm(other())), "layer '1'.*parametrisation"),
    "recurrent": (lambda: Written(lambda s, x: s.gru(x.flatten(2))[0], gru=nn.GRU(36, 36, batch_first=True)), "gru"),
    "scripted": (lambda: torch.jit.script(plain()), "scripted"),
    "scripted part": (lambda: nn.Sequential(torch.jit.script(before(nn.Identity())), nn.Identity()), "module '0'"),
    "traced": (lambda: torch.jit.trace(plain().eval(), torch.rand(1, 3, 8, 8)), "scripted or traced"),
}  # fmt: skip


def draw(make, seed=0):
    """The network with statistics and affine parameters of its norms drawn, in eval mode."""
    torch.manual_seed(seed)
    network = make()
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.3, 1.5)
        if getattr(part, "affine", False) and part.weight is not None:
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
    return network.eval()
