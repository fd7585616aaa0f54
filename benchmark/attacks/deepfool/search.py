"""The loop of DeepFool on tensors: one forward a step, and vector-Jacobian products on its graph for the input only.

Line numbers are those of algorithm 2 of the paper (arXiv:1511.04599); for two classes it is algorithm 1. For linf the
equations 13 and 14 (section 3.3) take the place of the lines 10 and 11.

Those products are nearly all of the cost, so with ``keep`` few are made. A class's distance is its logit gap, which
every forward gives for all classes, over its gradient's norm, which hardly changes from step to step. The first step
computes the nearest candidates by their gaps, FIRST at a time, and goes on with those samples for which a class not
yet looked at could still be nearer if its gradient were SPREAD times the largest seen; each later step computes the
``keep`` classes that are nearest with the last norms known. With ``keep = 0`` every step computes every candidate.

The active set shrinks as samples are done. Results depend on no batch; the counts are of calls that were made, and
a sample that the forward of a step shows to be done rides along in the products of that step (at most two).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.attacks.core.net import Graph, Net, Placement
from benchmark.errors import AttackError

STABLE = 1e-4  # foolbox lengthens every step by this much (in the norm of the attack)
TINY = 1e-8  # foolbox adds it to every gradient norm
FIRST = 2  # candidates of the first round of the first step
SPREAD = 1.25  # gradient norms of classes not yet looked at, against the largest seen; larger: more products
UNSEEN = 1e30  # norm while none is known: such a class is always worth a look, the smallest gap first
LOOK_FIRST = 3  # products a step from which a forward without a graph, to see who is done, saves more than it costs

Norm = Literal["l2", "linf"]


@dataclass
class SearchResult:
    """What the search reached.

    Attributes:
        reached: (N, C, H, W) iterates, outside [0, 1] where they are not clipped.
        changed: (N,) the network's prediction there is not the label.
        forwards, backwards: (N,) calls made.
    """

    reached: torch.Tensor
    changed: torch.Tensor
    forwards: NDArray[np.int64]
    backwards: NDArray[np.int64]


@dataclass
class _Nearest:
    """The nearest boundary so far: distance (M,), norm of its gradient (M,), the gradient (M, C, H, W)."""

    distance: torch.Tensor
    slope: torch.Tensor
    gradient: torch.Tensor

    def step(self, norm: Norm, stable: float) -> torch.Tensor:
        """(M, C, H, W): to the boundary (line 11; linf: eq. 14) and ``stable`` beyond."""
        length = (self.distance + stable).view(-1, *[1] * (self.gradient.ndim - 1))
        if norm == "linf":
            return self.gradient.sign() * length
        return self.gradient * (length / (self.slope + TINY).view(length.shape))


@dataclass
class _Active:
    """Samples that are not done: positions (M,), start and summed step (M, C, H, W), reference class (M,), candidates
    (M, k), and the last known norms of their gradients (M, k), NaN where unknown."""

    at: torch.Tensor
    start: torch.Tensor
    total: torch.Tensor
    own: torch.Tensor
    others: torch.Tensor
    norms: torch.Tensor

    def part(self, chosen: torch.Tensor) -> _Active:
        """Some of them."""
        return _Active(*[getattr(self, name)[chosen] for name in self.__dataclass_fields__])

    def gaps(self, logits: torch.Tensor) -> torch.Tensor:
        """(M, k) logit of the reference class less that of each candidate, absolute (line 8)."""
        return (logits.gather(1, self.own[:, None]) - logits.gather(1, self.others)).abs_()


def search(
    model: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    steps: int,
    candidates: int,
    overshoot: float,
    keep: int = 0,
    norm: Norm = "l2",
    clip: bool = True,
    stable: float = STABLE,
    placement: Placement | None = None,
    basis: torch.Tensor | None = None,
) -> SearchResult:
    """Minimal perturbations; a sample whose prediction is not its label is done, and where it began if at once.

    Args:
        model: (M, C, H, W) in [0, 1] to logits (M, K); each sample's logits depend on that sample alone.
        inputs: float32 (N, C, H, W) in [0, 1].
        labels: (N,) int64.
        steps, overshoot, keep, norm: see :class:`benchmark.attacks.deepfool.deepfool.DeepFool`.
        candidates: most likely classes considered, the predicted one included; 0: all.
        clip: every iterate to [0, 1].
        stable: added to every step's length.
        placement: default: what is fast on the device, float32.
        basis: (R, D) orthonormal rows: only perturbations in the space that they span (l2, not clipped).

    Raises:
        AttackError: fewer than two logits.
    """
    net = Net(model, placement or Placement.of(inputs.device), basis)
    result = SearchResult(
        inputs.detach().clone(),
        torch.zeros(len(inputs), dtype=torch.bool, device=inputs.device),
        *np.zeros((2, len(inputs)), dtype=np.int64),
    )
    active: _Active | None = None
    x = inputs.detach()  # line 4
    for _ in range(steps):  # line 5, at most so often
        products = 0 if active is None else min(keep, active.others.shape[1]) or active.others.shape[1]
        look = net.placement.bfloat16 or products >= LOOK_FIRST
        graph = None if look else net.graph(x)
        logits = net.look(x) if graph is None else graph.logits
        first = active is None
        if active is None:
            active = _start(x, logits, candidates)
        result.forwards[_host(active.at)] += 1
        going = logits.argmax(1) == labels[active.at]  # line 5
        _finish(result, active, x, ~going)
        if not bool(going.any()):
            break
        if graph is None:
            active, x, logits = active.part(going), x[going], logits[going]
            graph, going = net.graph(x), going[going]
            result.forwards[_host(active.at)] += 1
        if first and keep:
            nearest = _first(net, graph, x, active, active.gaps(logits), norm, result)
        else:
            products = products or active.others.shape[1]
            result.backwards[_host(active.at)] += products
            gaps = active.gaps(logits)
            nearest = _nearest(graph, active, gaps, torch.zeros_like(gaps, dtype=torch.bool), products, norm, None)
        active.total += nearest.step(norm, stable)  # line 11, and the sum of line 15
        if not bool(going.all()):
            active = active.part(going)
        x = torch.add(active.start, active.total, alpha=1.0 + overshoot)  # line 12; overshoot: end of section 2
        x = x.clamp_(0, 1) if clip else x
    else:
        assert active is not None
        result.reached[active.at] = x
        result.changed[active.at] = net.look(x).argmax(1) != labels[active.at]
        result.forwards[_host(active.at)] += 1
    return result


def _host(at: torch.Tensor) -> NDArray[np.int64]:
    array: NDArray[np.int64] = at.cpu().numpy()
    return array


def _start(x: torch.Tensor, logits: torch.Tensor, candidates: int) -> _Active:
    """All samples; the clean logits name the reference class and the candidates, by likelihood."""
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise AttackError(f"deepfool needs logits (N, K) with K >= 2, got {tuple(logits.shape)}")
    most = min(candidates or logits.shape[1], logits.shape[1]) - 1
    own = logits.argmax(1)
    others = logits.scatter(1, own[:, None], -torch.inf).topk(most, dim=1).indices
    norms = torch.full(others.shape, torch.nan, dtype=x.dtype, device=x.device)
    return _Active(torch.arange(len(x), device=x.device), x, torch.zeros_like(x), own, others, norms)


def _finish(result: SearchResult, active: _Active, x: torch.Tensor, done: torch.Tensor) -> None:
    """Keep the iterates of samples that are done."""
    if bool(done.any()):
        result.reached[active.at[done]] = x[done]
        result.changed[active.at[done]] = True


def _estimates(gaps: torch.Tensor, norms: torch.Tensor, done: torch.Tensor) -> torch.Tensor:
    """(M, k) distances with the norms known; a norm not known is SPREAD times the sample's largest. Done: infinite."""
    largest = norms.nan_to_num(0.0).amax(1, keepdim=True)
    assumed = torch.where(largest > 0, SPREAD * largest, UNSEEN)
    return (gaps / (torch.where(norms.isnan(), assumed, norms) + TINY)).masked_fill_(done, torch.inf)


def _nearest(
    graph: Graph,
    active: _Active,
    gaps: torch.Tensor,
    done: torch.Tensor,
    count: int,
    norm: Norm,
    best: _Nearest | None,
) -> _Nearest:
    """Compute ``count`` more candidates a sample, nearest first, and keep the nearest (lines 6 to 10).

    Writes the norms into ``active.norms`` and marks the candidates in ``done``, both (M, k).
    """
    rows = torch.arange(len(gaps), device=gaps.device)
    for made in range(1, count + 1):  # line 6, for those that may be nearest
        chosen = _estimates(gaps, active.norms, done).argmin(1)
        gradient = graph.pull(active.others[rows, chosen], active.own, last=made == count)  # line 7
        slope = torch.linalg.vector_norm(gradient.flatten(1), ord=1 if norm == "linf" else 2, dim=1)
        active.norms[rows, chosen] = slope
        done[rows, chosen] = True
        distance = gaps[rows, chosen] / (slope + TINY)  # line 10; linf: eq. 13
        if best is None:
            best = _Nearest(distance, slope, gradient)
            continue
        nearer = (distance < best.distance).nonzero().squeeze(1)  # line 10: the least
        for kept, new in ((best.distance, distance), (best.slope, slope), (best.gradient, gradient)):
            kept[nearer] = new[nearer]
    assert best is not None
    return best


def _first(
    net: Net, graph: Graph, x: torch.Tensor, active: _Active, gaps: torch.Tensor, norm: Norm, result: SearchResult
) -> _Nearest:
    """The first step's nearest candidate, in rounds; each round is a forward of the samples that need it.

    Rounds of 2, 2, then twice as many as were made so far: with 1,000 classes a few dozen products, not 999.
    """
    candidates = gaps.shape[1]
    done = torch.zeros_like(gaps, dtype=torch.bool)
    tried = min(FIRST, candidates)
    best = _nearest(graph, active, gaps, done, tried, norm, None)
    result.backwards[_host(active.at)] += tried
    live = torch.arange(len(gaps), device=gaps.device)
    while tried < candidates:
        could = _estimates(gaps[live], active.norms[live], done[live]).amin(1) < best.distance[live]
        live = live[could]
        if not len(live):
            break
        size = min(FIRST if tried < 2 * FIRST else 2 * tried, candidates - tried)
        part, marks = active.part(live), done[live]
        kept = _Nearest(best.distance[live], best.slope[live], best.gradient[live])
        kept = _nearest(net.graph(x[live]), part, gaps[live], marks, size, norm, kept)
        active.norms[live], done[live] = part.norms, marks
        best.distance[live], best.slope[live], best.gradient[live] = kept.distance, kept.slope, kept.gradient
        result.forwards[_host(part.at)] += 1
        result.backwards[_host(part.at)] += size
        tried += size
    return best
