"""How an iterative attack calls the network: where it pads, in which layout and precision, and pulls gradients back.

On a GPU the set of active samples is padded to the next power of two, so that compiled graphs and cuDNN's plans are
made for a few batch sizes only, and images are handed over channels-last. Both can be switched on anywhere (the tests
do so on the CPU); neither changes a result beyond rounding. A batch of fewer than LEAST samples is padded as well:
libraries of linear algebra take other kernels there, whose sums differ (in float64 results then do not depend on the
batch at all).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch.nn import functional as F

Network = Callable[[torch.Tensor], torch.Tensor]

LEAST = 4  # from here on float64 logits and gradients are the same in every batch (MKL and oneDNN on x86)


@dataclass(frozen=True)
class Placement:
    """Attributes:
    pad: fill a batch up to the next power of two (with zeros, whose logits are dropped).
    channels_last: memory layout of 4-D inputs.
    bfloat16: gradients under autocast to bfloat16; predictions and logit gaps stay float32.
    least: smallest batch that the network is called with.
    """

    pad: bool = False
    channels_last: bool = False
    bfloat16: bool = False
    least: int = 1

    @classmethod
    def of(cls, device: torch.device, search: str = "float32", least: int = 1) -> Placement:
        """What is fast on a device; ``search`` is ``"float32"`` or ``"bfloat16"``."""
        gpu = device.type == "cuda"
        return cls(pad=gpu, channels_last=gpu, bfloat16=search == "bfloat16", least=least)


class Graph:
    """One forward with its graph.

    Args:
        leaf: (P, ...) inputs that require gradients, padded.
        output: (P, K) logits on the graph of ``leaf``.
        n: samples, the first rows of both.
        basis: (R, D) orthonormal rows; gradients are projected on the space that they span.

    Attributes:
        logits: (n, K), float32 or float64, without a graph.
    """

    def __init__(self, leaf: torch.Tensor, output: torch.Tensor, n: int, basis: torch.Tensor | None = None) -> None:
        self.leaf, self.output, self.n, self.basis = leaf, output, n, basis
        logits = output.detach()[:n]
        self.logits = logits if logits.dtype == torch.float64 else logits.float()

    def pull(self, up: torch.Tensor, down: torch.Tensor, *, last: bool) -> torch.Tensor:
        """Gradients (n, ...) of logit ``up`` less logit ``down``, both (n,) classes: one vector-Jacobian product.

        Args:
            up, down: one class a sample.
            last: the graph is not needed any more.
        """
        cotangent = torch.zeros_like(self.output)
        rows = torch.arange(self.n, device=up.device)
        cotangent[rows, up] = 1.0
        cotangent[rows, down] = -1.0
        return self._product(cotangent, last)

    def gradient(self, cotangent: torch.Tensor, *, last: bool = True) -> torch.Tensor:
        """Gradients (n, ...) of the logits weighted with ``cotangent`` (n, K): one vector-Jacobian product."""
        cotangent = cotangent.to(self.output.dtype)
        if len(self.output) > self.n:
            cotangent = torch.cat([cotangent, cotangent.new_zeros(len(self.output) - self.n, cotangent.shape[1])])
        return self._product(cotangent, last)

    def _product(self, cotangent: torch.Tensor, last: bool) -> torch.Tensor:
        with (
            torch.enable_grad()
        ):  # a weighted sum: torch imports sympy, a second, to check a cotangent that it is given
            weighted = (self.output * cotangent).sum()
        gradient = torch.autograd.grad(weighted, self.leaf, retain_graph=not last)[0][: self.n]
        if self.basis is None:
            return gradient
        return ((gradient.flatten(1) @ self.basis.T) @ self.basis).view(gradient.shape)


def as_precise(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Logits of float64 on float32 inputs as float32: norms, steps and inputs are computed in one precision."""
    return logits.to(x.dtype) if logits.dtype == torch.float64 != x.dtype else logits


class Net:
    """A network under a :class:`Placement`.

    Args:
        model: (M, ...) inputs to logits (M, K).
        placement: how it is called.
        basis: see :class:`Graph`.
    """

    def __init__(self, model: Network, placement: Placement, basis: torch.Tensor | None = None) -> None:
        self.model, self.placement, self.basis = model, placement, basis

    def look(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, K) without a graph."""
        with torch.no_grad():
            return as_precise(self.model(self._laid_out(x)), x)[: len(x)]

    def graph(self, x: torch.Tensor) -> Graph:
        """Logits with their graph, in the placement's precision."""
        leaf = self._laid_out(x.detach()).detach().requires_grad_()
        low = torch.autocast(x.device.type, torch.bfloat16) if self.placement.bfloat16 else nullcontext()
        with torch.enable_grad(), low:
            return Graph(leaf, as_precise(self.model(leaf), x), len(x), self.basis)

    def _laid_out(self, x: torch.Tensor) -> torch.Tensor:
        size = max(len(x), self.placement.least)
        if self.placement.pad and size & (size - 1):
            size = 1 << size.bit_length()
        if size > len(x):
            x = F.pad(x, (*[0] * (2 * (x.ndim - 1)), 0, size - len(x)))
        if self.placement.channels_last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return x
