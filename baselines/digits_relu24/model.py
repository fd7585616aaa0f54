"""Perceptron with one small hidden layer: small enough for an exact verifier."""

from torch import nn


def build(hidden: int = 24, classes: int = 10) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, classes))
