"""A node of a graph as operators see it, and the table of operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from benchmark.errors import EntryError


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        kind: operator, such as ``"Conv"``.
        name: of the node, else of its first output; unique.
        inputs: names of its inputs in order, ``""`` for one that is left out.
        outputs: names of its outputs.
        attributes: by name; tensors as torch tensors.
        constants: tensors that are known before anything runs, by the position of the input.
        opset: version of the operators.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[int, torch.Tensor] = field(default_factory=dict)
    opset: int = 17

    def get(self, key: str, default: Any = None) -> Any:
        """An attribute, or its default."""
        return self.attributes.get(key, default)

    def has(self, position: int) -> bool:
        """There is such an input."""
        return position < len(self.inputs) and bool(self.inputs[position])

    def integers(self, key: str, position: int) -> list[int] | None:
        """Whole numbers that older opsets give as an attribute, newer ones as a constant input; None: not given.

        Raises:
            EntryError: they are computed while the network runs.
        """
        if key in self.attributes:
            return [int(value) for value in self.attributes[key]]
        if not self.has(position):
            return None
        if position not in self.constants:
            raise self.refused(f"{key} is computed while the network runs, expected a constant")
        return [int(value) for value in self.constants[position].flatten().tolist()]

    def refused(self, reason: str) -> EntryError:
        """An error that names the operator and the node."""
        return EntryError(f"operator {self.kind} (node {self.name!r}): {reason}")


@dataclass(frozen=True)
class Step:
    """What computes a node.

    Attributes:
        module: called with the values of ``inputs``; returns a tensor, or as many as the node has outputs.
        inputs: names of the values that it is called with, ``""`` for None: constants may lie in the module.
    """

    module: nn.Module
    inputs: tuple[str, ...]


class Function(nn.Module):
    """A plain function of tensors as a module, so that hooks and printed networks name the operator."""

    def __init__(self, kind: str, function: Callable[..., Any]) -> None:
        super().__init__()
        self.kind, self.function = kind, function

    def forward(self, *values: torch.Tensor | None) -> Any:
        """Whatever the function returns."""
        return self.function(*values)

    def extra_repr(self) -> str:
        """The operator."""
        return self.kind


Maker = Callable[[Node], Step | nn.Module | Callable[..., Any]]
OPERATORS: dict[str, Maker] = {}
# Steps and codes: their derivative is zero or none wherever there is one, so that a gradient through them says nothing.
WITHOUT_GRADIENT = {"Round", "Floor", "Ceil", "Sign", "ArgMax", "ArgMin", "OneHot", "QuantizeLinear"}


def operator(*kinds: str) -> Callable[[Maker], Maker]:
    """Decorator: the function makes what computes nodes of these kinds."""

    def decorate(maker: Maker) -> Maker:
        OPERATORS.update(dict.fromkeys(kinds, maker))
        return maker

    return decorate


def step_of(node: Node) -> Step:
    """What computes a node.

    Raises:
        EntryError: no such operator, or a form of it that is not known.
    """
    made = OPERATORS[node.kind](node)
    if isinstance(made, Step):
        return made
    module = made if isinstance(made, nn.Module) else Function(node.kind, made)
    return Step(module, node.inputs)


def together(*values: torch.Tensor) -> Sequence[torch.Tensor]:
    """Values on one device: what is computed from shapes lies on the CPU, whatever the images are on."""
    device = next((value.device for value in values if value.device.type != "cpu"), None)
    return values if device is None else [value.to(device) for value in values]
