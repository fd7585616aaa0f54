"""Gradients at noisy copies of the input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from benchmark.explainers.captum.gradients import target_gradient

if TYPE_CHECKING:
    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


def noisy_gradients(
    model: Model, inputs: torch.Tensor, targets: torch.Tensor, generator: Draws, samples: int, noise: float
) -> Iterator[torch.Tensor]:
    """Gradients (N, C, H, W) of the target's logit, one noisy copy of each input at a time.

    Args:
        samples: noisy copies of each input.
        noise: standard deviation in input units.
    """
    for _ in range(samples):
        away = noise * generator.normal(inputs.shape[1:]).to(inputs.device)
        yield target_gradient(model, inputs + away, targets)


def variance(gradients: Iterator[torch.Tensor]) -> torch.Tensor:
    """Variance (divided by their number) of gradients, float32.

    The difference of two large numbers is taken in float64, from the first gradient as origin.
    """
    origin, n = next(gradients).double(), 1
    total = torch.zeros_like(origin)
    squares = torch.zeros_like(origin)
    for gradient in gradients:
        away = gradient.double() - origin
        total, squares, n = total + away, squares + away.square(), n + 1
    return (squares / n - (total / n).square()).clamp_min(0).float()
