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

SURE = 64  # units of rounding of the largest logit: a margin below is no success, the verifier's batch may undo it


class Search:
    """Args:
        net: calls the network.
        inputs: (N, ...) clean, in [0, 1], float32 or float64.
        labels: (N,) int64.
        logits: (N, K) of the clean inputs.

    Attributes:
        reached: (N, ...) the input kept for each sample; the clean one until there is another.
        broken: (N,) ``reached`` is not classified as the label.
        size: (N,) norm of what :meth:`keep_smaller` kept, else inf; 0 where the clean prediction is wrong.
        forwards, backwards: (N,) calls made, those for ``logits`` left out.
    """

    def __init__(self, net: Net, inputs: torch.Tensor, labels: torch.Tensor, logits: torch.Tensor) -> None:
        self.net, self.inputs, self.labels, self.logits = net, inputs, labels, logits
        self.reached = inputs.clone()
        self.broken = margins(logits, labels) < 0
        self.size = torch.where(self.broken, 0.0, torch.inf).to(inputs.dtype)
        self.forwards, self.backwards = torch.zeros((2, len(inputs)), dtype=torch.int64, device=inputs.device)

    @classmethod
    def of(cls, model: Network, inputs: torch.Tensor, labels: torch.Tensor) -> Search:
        """A search that begins with a prediction of the clean inputs: one forward a sample.

        Args:
            model: (M, ...) inputs to logits (M, K); ``least_batch``, where it has that attribute, stands for LEAST.
            inputs, labels: see the class.

        Raises:
            AttackError: fewer than two logits.
        """
        net = Net(model, Placement.of(inputs.device, least=int(getattr(model, "least_batch", LEAST))))
        inputs = inputs.detach()
        logits = net.look(inputs)
        if logits.ndim != 2 or logits.shape[1] < 2:
            raise AttackError(f"the attack needs logits (N, K) with K >= 2, got {tuple(logits.shape)}")
        search = cls(net, inputs, labels, logits)
        search.forwards += 1
        return search

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

    def margins(self, at: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """(M,) the label's logit less the best other, and as much more as a batch of another size could turn (SURE)."""
        return margins(logits, self.labels[at]) + SURE * torch.finfo(logits.dtype).eps * logits.abs().amax(1)

    def wrong(self, at: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """(M,) the prediction is surely not the label; a tie is no success."""
        return self.margins(at, logits) < 0

    def keep(self, at: torch.Tensor, x: torch.Tensor, broken: torch.Tensor) -> None:
        """Keep the inputs that break their sample, whatever was kept before.

        Args:
            at: (M,) positions, none twice.
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

    def rows(self, at: torch.Tensor) -> Search:
        """A search of its own whose rows are these samples, of which some may stand there several times."""
        part = Search(self.net, self.inputs[at], self.labels[at], self.logits[at])
        part.broken[:], part.size[:] = False, torch.inf
        return part

    def take(self, at: torch.Tensor, part: Search) -> None:
        """Take over what a search of rows ``at`` reached: of a sample's rows the first that is broken.

        Its calls are counted as well, of all its rows.
        """
        self.forwards.index_add_(0, at, part.forwards)
        self.backwards.index_add_(0, at, part.backwards)
        first = first_broken(at, part.broken, len(self.inputs))
        chosen = (part.broken & (first[at] == torch.arange(len(at), device=at.device))).nonzero().squeeze(1)
        self.reached[at[chosen]] = part.reached[chosen]
        self.size[at[chosen]] = part.size[chosen]
        self.broken[at[chosen]] = True

    def take_smaller(self, at: torch.Tensor, part: Search) -> None:
        """Take over from a search of rows ``at``, none twice, what is smaller than what is kept, and its calls."""
        self.forwards[at] += part.forwards
        self.backwards[at] += part.backwards
        better = part.size < self.size[at]
        self.size[at[better]] = part.size[better]
        self.keep(at, part.reached, better)

    def perturbed(self) -> Perturbed:
        """What an attack returns."""
        return Perturbed(self.reached, forwards=self.forwards.cpu().numpy(), backwards=self.backwards.cpu().numpy())


def first_broken(at: torch.Tensor, broken: torch.Tensor, n: int) -> torch.Tensor:
    """(n,) for each sample the first of its rows that is broken, or the number of rows.

    Args:
        at: (M,) the sample of each row.
        broken: (M,).
        n: samples.
    """
    rows = torch.arange(len(at), device=at.device)
    first = torch.full((n,), len(at), dtype=torch.int64, device=at.device)
    return first.scatter_reduce_(0, at, torch.where(broken, rows, len(at)), "amin")
