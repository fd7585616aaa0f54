"""Operators that reduce axes: sums, means, norms, extremes, cumulative sums, the largest k."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmark.models.graphs.node import Node, operator
from benchmark.models.graphs.shapes import numbers

Reduction = Callable[[torch.Tensor, tuple[int, ...], bool], torch.Tensor]


def _product(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


REDUCTIONS: dict[str, Reduction] = {
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keepdim=keep),
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keepdim=keep),
    "ReduceMax": lambda x, axes, keep: x.amax(axes, keepdim=keep),
    "ReduceMin": lambda x, axes, keep: x.amin(axes, keepdim=keep),
    "ReduceProd": _product,
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keepdim=keep),
    "ReduceL2": lambda x, axes, keep: torch.linalg.vector_norm(x, dim=axes, keepdim=keep),
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keepdim=keep),
    "ReduceLogSum": lambda x, axes, keep: x.sum(axes, keepdim=keep).log(),
    "ReduceLogSumExp": lambda x, axes, keep: x.logsumexp(axes, keepdim=keep),
}


@operator(*REDUCTIONS)
def reduction(node: Node) -> Any:
    """Over these axes; over all where none is given, unless that means none (``noop_with_empty_axes``)."""
    function, keep = REDUCTIONS[node.kind], bool(node.get("keepdims", 1))
    fixed, nothing = node.get("axes"), bool(node.get("noop_with_empty_axes", 0))

    def reduced(x: torch.Tensor, given: torch.Tensor | None = None) -> torch.Tensor:
        axes = tuple(numbers(given)) if given is not None else tuple(fixed or ())
        if not axes and nothing:
            return x
        return function(x, axes or tuple(range(x.ndim)), keep)

    return reduced


@operator("CumSum")
def cumulative(node: Node) -> Any:
    """Sums up to each index of an axis."""
    if node.get("exclusive", 0) or node.get("reverse", 0):
        raise node.refused("exclusive or reversed sums are not known")
    return lambda x, axis: x.cumsum(int(axis))


@operator("TopK")
def largest(node: Node) -> Any:
    """The k largest (or smallest) along an axis, and their indices."""
    axis, most = node.get("axis", -1), bool(node.get("largest", 1))
    return lambda x, k: tuple(x.topk(int(k), axis, most))
