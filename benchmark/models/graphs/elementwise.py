"""Operators that work number by number: arithmetic, activations, comparisons, rounding."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmark.models.graphs.node import Node, operator, together

Binary = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _divided(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    whole = not (a.is_floating_point() or b.is_floating_point())
    return torch.div(a, b, rounding_mode="trunc" if whole else None)


def _power(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.pow(a, b.to(a.dtype))


BINARY: dict[str, Binary] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": _divided,
    "Pow": _power,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
}
UNARY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "Abs": torch.abs,
    "Neg": torch.neg,
    "Sqrt": torch.sqrt,
    "Exp": torch.exp,
    "Log": torch.log,
    "Reciprocal": torch.reciprocal,
    "Erf": torch.erf,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Not": torch.logical_not,
    "IsNaN": torch.isnan,
    "Sign": torch.sign,
    "Floor": torch.floor,
    "Ceil": torch.ceil,
    "Round": torch.round,  # halves to even, as ONNX says
}
MODULES: dict[str, Callable[[Node], nn.Module]] = {
    "Relu": lambda _: nn.ReLU(),
    "Sigmoid": lambda _: nn.Sigmoid(),
    "Tanh": lambda _: nn.Tanh(),
    "Softplus": lambda _: nn.Softplus(threshold=1e9),
    "Softsign": lambda _: nn.Softsign(),
    "Mish": lambda _: nn.Mish(),
    "HardSwish": lambda _: nn.Hardswish(),
    "LeakyRelu": lambda node: nn.LeakyReLU(node.get("alpha", 0.01)),
    "Elu": lambda node: nn.ELU(node.get("alpha", 1.0)),
    "Celu": lambda node: nn.CELU(node.get("alpha", 1.0)),
    "ThresholdedRelu": lambda node: nn.Threshold(node.get("alpha", 1.0), 0.0),
    "Gelu": lambda node: nn.GELU(approximate=node.get("approximate", "none")),
    "Identity": lambda _: nn.Identity(),
}
MANY: dict[str, Binary] = {"Max": torch.maximum, "Min": torch.minimum, "Sum": torch.add}


@operator(*BINARY)
def binary(node: Node) -> Any:
    """Of two tensors that broadcast."""
    function = BINARY[node.kind]
    return lambda a, b: function(*together(a, b))


@operator(*UNARY)
def unary(node: Node) -> Any:
    """Of one tensor."""
    return UNARY[node.kind]


@operator(*MODULES)
def activation(node: Node) -> nn.Module:
    """A module of torch's own."""
    return MODULES[node.kind](node)


@operator(*MANY)
def many(node: Node) -> Any:
    """Of any number of tensors that broadcast."""
    function = MANY[node.kind]
    return lambda *values: functools.reduce(function, together(*values))


@operator("Mean")
def mean(_: Node) -> Any:
    """Of any number of tensors that broadcast."""
    return lambda *values: functools.reduce(torch.add, together(*values)) / len(values)


@operator("Selu")
def selu(node: Node) -> Any:
    """gamma (max(0, x) + min(0, alpha (exp x - 1)))."""
    alpha, gamma = node.get("alpha", 1.6732632423543772), node.get("gamma", 1.0507009873554805)
    return lambda x: gamma * (x.clamp_min(0) + alpha * torch.expm1(x.clamp_max(0)))


@operator("PRelu")
def prelu(_: Node) -> Any:
    """A slope below 0 that broadcasts from the last axis."""
    return lambda x, slope: torch.where(x < 0, together(x, slope)[1] * x, x)


@operator("HardSigmoid")
def hard_sigmoid(node: Node) -> Any:
    """max(0, min(1, alpha x + beta))."""
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    return lambda x: (alpha * x + beta).clamp(0, 1)


@operator("Clip")
def clip(node: Node) -> Any:
    """Between two bounds, each of which may be left out."""
    low, high = node.get("min"), node.get("max")

    def clipped(x: torch.Tensor, least: torch.Tensor | None = None, most: torch.Tensor | None = None) -> torch.Tensor:
        bounds = [low if least is None else float(least), high if most is None else float(most)]
        return x if bounds == [None, None] else x.clamp(*bounds)

    return clipped


@operator("Softmax", "LogSoftmax")
def softmax(node: Node) -> Any:
    """Along an axis; before opset 13 over all axes from it on."""
    function: Any = F.softmax if node.kind == "Softmax" else F.log_softmax
    if node.opset >= 13:
        axis = node.get("axis", -1)
        return nn.Softmax(axis) if node.kind == "Softmax" else nn.LogSoftmax(axis)
    axis = node.get("axis", 1)

    def flat(x: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = function(x.flatten(axis % x.ndim), dim=-1)
        return rows.reshape(x.shape)

    return flat


@operator("Where")
def where(_: Node) -> Any:
    """One or the other, by a condition."""
    return lambda condition, a, b: torch.where(*together(condition, a, b))


@operator("Mod")
def mod(node: Node) -> Any:
    """Remainder: of the divisor's sign, or of the dividend's (``fmod``)."""
    function: Binary = torch.fmod if node.get("fmod", 0) else torch.remainder
    return lambda a, b: function(*together(a, b))


def _along(x: torch.Tensor, values: torch.Tensor, axis: int) -> torch.Tensor:
    """A scale for each tensor, or one for each index of an axis."""
    return values if values.ndim == 0 or values.numel() == 1 else values.view([-1, *[1] * (x.ndim - axis % x.ndim - 1)])


@operator("QuantizeLinear")
def quantise(node: Node) -> Any:
    """Round x / scale to whole numbers of 8 bits; its derivative is 0."""
    axis = node.get("axis", 1)

    def rounded(x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor | None = None) -> torch.Tensor:
        kind = torch.uint8 if zero is None else zero.dtype
        limits = torch.iinfo(kind)
        shift = 0.0 if zero is None else _along(x, zero.to(x.device).float(), axis)
        codes = torch.round(x / _along(x, scale, axis)) + shift
        return codes.clamp(limits.min, limits.max).to(kind)

    return rounded


@operator("DequantizeLinear")
def dequantise(node: Node) -> Any:
    """(x - zero) scale."""
    axis = node.get("axis", 1)

    def restored(x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor | None = None) -> torch.Tensor:
        shift = 0.0 if zero is None else _along(x, zero.to(scale.device).float(), axis)
        return (x.to(scale.device).float() - shift) * _along(x, scale, axis)

    return restored
