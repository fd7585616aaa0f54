"""A copy of a model with parameters drawn anew."""

from __future__ import annotations

import copy

import torch

from benchmark.errors import ExplainerError
from benchmark.models.wrap import Model
from benchmark.seeds import global_seed


def untrained_copy(model: Model, seed: int) -> Model:
    """A copy with every parameter drawn anew from ``seed`` on the CPU, in eval mode, parameters frozen.

    Raises:
        ExplainerError: the network has no parameters.
    """
    if not any(True for _ in model.network.parameters()):
        raise ExplainerError("untrained: the network has no parameters to draw anew; leave this control out")
    fresh = copy.deepcopy(model).cpu()
    with global_seed(seed), torch.no_grad():
        for module in fresh.modules():
            reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            if callable(reset):
                reset()
                continue
            for parameter in module.parameters(recurse=False):
                scale = float(parameter.std(correction=0)) or float(parameter.abs().max())
                parameter.normal_(0, scale)
    return fresh.to(model.device).eval().requires_grad_(False)
