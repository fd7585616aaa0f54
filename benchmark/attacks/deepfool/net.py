"""How DeepFool's loop calls the network: where it pads, in which layout and precision, and pulls gradients back.

On a GPU the set of active samples is padded to the next power of two, so that compiled graphs and cuDNN's plans are
made for a few batch sizes only, and images are handed over channels-last. Both can be switched on anywhere (the tests
do so on the CPU); neither changes a result beyond rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

Network = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Placement:
    """Attributes:
    pad: fill a batch up to the next power of two (with zeros, whose logits are dropped).
    channels_last: memory layout of 4-D inputs.
    bfloat16: gradients under autocast to bfloat16; predictions and logit gaps stay float32.
    """

    pad: bool = False
    channels_last: bool = False
    bfloat16: bool = False

    @classmethod
    def of(cls, device: torch.device, search: str = "float32") -> Placement:
        """What is fast on a device; ``search`` is ``"float32"`` or ``"bfloat16"``."""
        gpu = device.type == "cuda"
        return cls(pad=gpu, channels_last=gpu, bfloat16=search == "bfloat16")


class Graph:
    """One forward with its graph.

    Args:
        leaf: (P, ...) inputs that require gradients, padded.
        output: (P, K) logits on the graph of ``leaf``.
        n: samples, the first rows of both.
        basis: (R, D) orthonormal rows; gradients are projected on the space that they span.

    Attributes:
        logits: (n, K), float32, without a graph.
    """

    def __init__(self, leaf: torch.Tensor, output: torch.Tensor, n: int, basis: torch.Tensor | None = None) -> None:
        self.leaf, self.output, self.n, self.basis = leaf, output, n, basis
        self.logits = output.detach()[:n].float()

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
        gradient = torch.autograd.grad(self.output, self.leaf, cotangent, retain_graph=not last)[0][: self.n]
        if self.basis is None:
            return gradient
        return ((gradient.flatten(1) @ self.basis.T) @ self.basis).view(gradient.shape)


class Net:
    """A network under a :class:`Placement`.

    Args:
        model: (M, C, H, W) in [0, 1] to logits (M, K).
        placement: how it is called.
        basis: see :class:`Graph`.
    """

    def __init__(self, model: Network, placement: Placement, basis: torch.Tensor | None = None) -> None:
        self.model, self.placement, self.basis = model, placement, basis

    def look(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, K) in float32, without a graph."""
        with torch.no_grad():
            return self.model(self._laid_out(x))[: len(x)]

    def graph(self, x: torch.Tensor) -> Graph:
        """Logits with their graph, in the placement's precision."""
        leaf = self._laid_out(x.detach()).detach().requires_grad_()
        with torch.enable_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=self.placement.bfloat16):
            return Graph(leaf, self.model(leaf), len(x), self.basis)

    def _laid_out(self, x: torch.Tensor) -> torch.Tensor:
        if self.placement.pad and len(x) & (len(x) - 1):
            fill = (1 << len(x).bit_length()) - len(x)
            x = F.pad(x, (*[0] * (2 * (x.ndim - 1)), 0, fill))
        if self.placement.channels_last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return x
