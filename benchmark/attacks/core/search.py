"""The state of a search over a batch: which samples are left, the best input of each, and the calls that it took.

A sample that is done leaves: it is not computed again. Every call of the network goes through here and is counted for
the samples that it was made for. In float64 nothing depends on the batch; in float32 logits differ by about 1e-6
between batches.
"""

from __future__ import annotations

import torch

from benchmark.attacks.base import Perturbed
from benchmark.attacks.controls import margins
from benchmark.attacks.core.net import LEAST, Graph, Net, Network, Placement
from benchmark.attacks.core.projections import NormName, norms
from benchmark.errors import AttackError


class Search:
    """Args:
        model: (M, ...) inputs to logits (M, K); ``least_batch``, where it has that attribute, stands for LEAST.
        inputs: (N, ...) clean, in [0, 1], float32 or float64.
        labels: (N,) int64.

    Attributes:
        reached: (N, ...) the input kept for each sample; the clean one until there is another.
        broken: (N,) ``reached`` is not classified as the label.
        size: (N,) norm of what is kept of those that are broken, else inf; 0 where the clean prediction is wrong.
        forwards, backwards: (N,) calls made.
        logits: (N, K) of the clean inputs.

    Raises:
        AttackError: fewer than two logits.
    """

    def __init__(self, model: Network, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        least = int(getattr(model, "least_batch", LEAST))
        self.net = Net(model, Placement.of(inputs.device, least=least))
        self.inputs, self.labels = inputs.detach(), labels
        self.reached = self.inputs.clone()
        self.size = torch.full((len(inputs),), torch.inf, dtype=inputs.dtype, device=inputs.device)
        self.forwards, self.backwards = torch.zeros((2, len(inputs)), dtype=torch.int64, device=inputs.device)
        every = torch.arange(len(inputs), device=inputs.device)
        self.logits = self.look(every, self.inputs)
        if self.logits.ndim != 2 or self.logits.shape[1] < 2:
            raise AttackError(f"the attack needs logits (N, K) with K >= 2, got {tuple(self.logits.shape)}")
        self.broken = self.wrong(every, self.logits)
        self.size[self.broken] = 0.0

    def left(self) -> torch.Tensor:
        """Positions (M,) of the samples that nothing has broken."""
        return (~self.broken).nonzero().squeeze(1)

    def look(self, at: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Logits (M, K) of inputs ``x`` of the samples ``at``: a forward each."""
        self.forwards[at] += 1
        return self.net.look(x)

    def graph(self, at: torch.Tensor, x: torch.Tensor) -> Graph:
        """Logits with their graph: a forward each."""
        self.forwards[at] += 1
        return self.net.graph(x)

    def gradient(self, at: torch.Tensor, graph: Graph, cotangent: torch.Tensor, *, last: bool = True) -> torch.Tensor:
        """Gradients (M, ...) of the logits weighted with ``cotangent`` (M, K): a backward each."""
        self.backwards[at] += 1
        return graph.gradient(cotangent, last=last)

    def wrong(self, at: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """(M,) the prediction is not the label; a tie is no success."""
        return margins(logits, self.labels[at]) < 0

    def keep(self, at: torch.Tensor, x: torch.Tensor, broken: torch.Tensor) -> None:
        """Keep the inputs that break their sample, whatever was kept before.

        Args:
            at: (M,) positions.
            x: (M, ...) inputs.
            broken: (M,) which of them are misclassified.
        """
        self.reached[at[broken]] = x[broken]
        self.broken[at[broken]] = True

    def keep_smaller(self, at: torch.Tensor, x: torch.Tensor, broken: torch.Tensor, norm: NormName) -> torch.Tensor:
        """Keep the inputs that break their sample with less than what was kept before; returns their norms (M,)."""
        size = norms(x - self.inputs[at], norm)
        better = broken & (size < self.size[at])
        self.size[at[better]] = size[better]
        self.keep(at, x, better)
        return size

    def perturbed(self) -> Perturbed:
        """What an attack returns."""
        return Perturbed(self.reached, forwards=self.forwards.cpu().numpy(), backwards=self.backwards.cpu().numpy())
