"""Perturbations of MetaQuantus: inputs and model weights, minor and disruptive (Hedström et al. 2023)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from benchmark.seeds import Draws, derive

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model

INPUT_NOISE = {"minor": 0.001, "disruptive": 5.0}  # half-width of uniform noise, clipped to [0, 1] afterwards
WEIGHT_NOISE = {"minor": 0.001, "disruptive": 2.0}  # standard deviation of factors around 1


def noisy_inputs(inputs: torch.Tensor, strength: str, seed: int) -> torch.Tensor:
    """Inputs (N, C, H, W) with uniform noise, clipped to [0, 1]."""
    noise = Draws([derive(seed, i) for i in range(len(inputs))]).uniform(inputs.shape[1:], -1.0, 1.0)
    return (inputs + INPUT_NOISE[strength] * noise.to(inputs.device)).clamp(0, 1)


def noisy_model(model: Model, strength: str, seed: int) -> Model:
    """A copy whose parameters are multiplied by normal factors around 1; the model itself is left alone."""
    import torch

    noisy = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(derive("weights", seed) & 0x7FFFFFFF)
    with torch.no_grad():
        for parameter in noisy.network.parameters():
            factor = 1 + WEIGHT_NOISE[strength] * torch.randn(parameter.shape, generator=generator)
            parameter.mul_(factor.to(parameter))
    return noisy
