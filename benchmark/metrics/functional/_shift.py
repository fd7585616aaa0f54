"""A network that undoes a constant shift of its input in its first layer (Kindermans et al. 2019)."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmark.errors import NotApplicableError
from benchmark.metrics.functional._layers import copied
from benchmark.models.watch import eager_mode


class ShiftedPad(nn.Module):
    """Padding with each channel's value instead of zero: what zero is after the shift.

    Args:
        pad: (left, right, top, bottom).
        value: (C,) of each channel.
    """

    value: torch.Tensor

    def __init__(self, pad: list[int], value: torch.Tensor) -> None:
        super().__init__()
        self.pad = pad
        self.register_buffer("value", value.view(1, -1, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) padded."""
        return F.pad(x - self.value, self.pad) + self.value


def compensated(model: nn.Module, inputs: torch.Tensor, shift: float) -> nn.Module:
    """A copy of ``model`` that gives for ``inputs + shift`` what the model gives for ``inputs``.

    The first convolution or linear layer gets the bias b - w * shift, shift in the units that the layer sees (after
    preprocessing). Zeros that a convolution pads with are shifted too, or borders would differ.

    Raises:
        NotApplicableError: there is no such layer, it does not see the input alone, or the outputs differ.
    """
    twin = copied(model)
    first, difference = _first_layer(twin, inputs[:1], shift)
    fresh = _linear(first, difference) if isinstance(first, nn.Linear) else _convolution(first, difference)
    replaced = [
        (parent, name) for parent in twin.modules() for name, child in parent._modules.items() if child is first
    ]
    if not replaced:  # the model is the layer
        twin = fresh
    for parent, name in replaced:
        setattr(parent, name, fresh)
    with torch.no_grad():
        other = 1 - inputs[:1]  # not the input from which the compensation was taken
        wanted, actual = model(other), twin(other + shift)
    if not torch.allclose(actual, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max())):
        raise NotApplicableError(
            "input-invariance: the network with a compensated first layer differs from the original"
            f" by {float((actual - wanted).abs().max()):.3g}; its first layer must see the normalised input"
        )
    return twin


def _first_layer(model: nn.Module, inputs: torch.Tensor, shift: float) -> tuple[Any, torch.Tensor]:
    """The first convolution or linear layer that is called, and how the shift changes what it sees."""
    seen: list[tuple[nn.Module, torch.Tensor]] = []

    def hook(module: nn.Module, given: tuple[Any, ...]) -> None:
        seen.append((module, given[0].detach().clone()))
        raise _Enough

    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    handles = [module.register_forward_pre_hook(hook) for module in layers]
    try:
        for x in (inputs, inputs + shift):
            with torch.no_grad(), eager_mode(), contextlib.suppress(_Enough):
                model(x)
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise NotApplicableError("input-invariance needs a convolution or linear layer; this network has none")
    (first, before), (_, after) = seen
    return first, after - before


class _Enough(Exception):  # noqa: N818
    """The first layer has been reached: no need to go on."""


def _linear(layer: nn.Linear, difference: torch.Tensor) -> Any:
    return _with_bias(layer, _bias(layer) - layer.weight @ difference.flatten(0, -2)[0])


def _convolution(layer: nn.Conv2d, difference: torch.Tensor) -> Any:
    shift = difference.mean((0, 2, 3))
    each = shift.view(layer.groups, 1, -1, 1, 1)
    response = (layer.weight.view(layer.groups, -1, *layer.weight.shape[1:]) * each).sum((2, 3, 4)).flatten()
    fresh = _with_bias(layer, _bias(layer) - response)
    pad = layer._reversed_padding_repeated_twice
    if layer.padding_mode != "zeros" or not any(pad):
        return fresh
    fresh.padding = (0, 0)
    fresh._reversed_padding_repeated_twice = [0, 0, 0, 0]
    return nn.Sequential(ShiftedPad(pad, shift), fresh).eval()


def _with_bias(layer: nn.Module, bias: torch.Tensor) -> Any:
    """A copy with that bias (a new layer would draw its weights from the global generator)."""
    fresh = copy.deepcopy(layer)
    fresh.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return fresh


def _bias(layer: Any) -> torch.Tensor:
    bias: torch.Tensor = layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias
    return bias


__all__ = ["ShiftedPad", "compensated"]
