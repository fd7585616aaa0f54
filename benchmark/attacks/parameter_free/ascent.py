"""APGD: projected gradient ascent whose steps are halved where it stalls.

Croce and Hein 2020 (arXiv:2003.01690), algorithm 1, for linf and l2; 2021 (arXiv:2103.01208), algorithm 1, for l1.
Line numbers are those of the former. A sample that is broken leaves at once, which the paper's does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import partial

import torch

from benchmark.attacks.core.losses import LossName, loss
from benchmark.attacks.core.net import Graph
from benchmark.attacks.core.projections import NormName, movable, norms, project, unit, wide
from benchmark.attacks.core.rows import Rows, targets, waves
from benchmark.attacks.core.search import Search
from benchmark.seeds import Draws

MOMENTUM = 0.75  # alpha of line 7
RISES = 0.75  # rho of condition 1
FIRST, SHRINK, SHORTEST = 0.22, 0.03, 0.06  # checkpoints, as shares of the steps (section 3.3)
L1_EVERY, L1_SHRINK, L1_SMALLEST = (
    0.04,
    1.5,
    10.0,
)  # of the l1 version (section 4.2 there): checkpoints, step, its floor
L1_SPARSER = 0.95  # fewer elements moved than this share of before: the step begins anew
L1_BALLS = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))  # radii in budgets and their shares of the steps (section 4.3 there)


@dataclass
class _State:
    """Rows that go on: which (R,), clean, present and former inputs and gradients (R, ...), and numbers (R,).

    Attributes:
        best, best_gradient, best_value: where the loss was largest.
        value: present loss.
        rises: steps since the last checkpoint at which the loss grew.
        step: step size.
        checked: best loss at the last checkpoint.
        halved: the step was halved there.
        share, sparsity: of l1: share of the elements that move, elements moved at the last checkpoint.
    """

    rows: torch.Tensor
    clean: torch.Tensor
    x: torch.Tensor
    former: torch.Tensor
    gradient: torch.Tensor
    best: torch.Tensor
    best_gradient: torch.Tensor
    best_value: torch.Tensor
    value: torch.Tensor
    rises: torch.Tensor
    step: torch.Tensor
    checked: torch.Tensor
    halved: torch.Tensor
    share: torch.Tensor
    sparsity: torch.Tensor

    def part(self, chosen: torch.Tensor) -> _State:
        """Some of them."""
        return _State(*[getattr(self, field.name)[chosen] for field in fields(self)])


def checkpoints(steps: int) -> set[int]:
    """Steps after which the step size is looked at (section 3.3): 22, 41, 57, 70, 80, 87, 93, 99 of 100."""
    at, length, places = 0, max(int(FIRST * steps), 1), set()
    while at + length <= steps:
        at += length
        places.add(at)
        length = max(length - max(int(SHRINK * steps), 1), int(SHORTEST * steps), 1)
    return places


@dataclass
class Ascent:
    """APGD on the rows of a search.

    Attributes:
        rows: what is searched; broken rows are kept there.
        norm, radius: the ball; its radius (M,).
        steps: of each row.
        loss: which is raised.
        targets: (M,) a class for each row, or None.
        repeats: evaluations a step, averaged, for networks that draw.
        decides: a point that is misclassified ends its row; False where the ball is larger than the budget.
    """

    rows: Rows
    norm: NormName
    radius: torch.Tensor
    steps: int
    loss: LossName
    targets: torch.Tensor | None = None
    repeats: int = 1
    decides: bool = True

    def run(self, start: torch.Tensor) -> torch.Tensor:
        """Ascend from ``start`` (M, ...), in the ball and in [0, 1]; returns where the loss was largest (M, ...)."""
        search = self.rows.search
        best = start.clone()
        rows = torch.arange(len(start), device=start.device)
        state = self._begin(rows[~search.broken], start[~search.broken], search.inputs)
        at_checkpoint, since = self._checkpoints(), 0
        for step in range(self.steps + 1):  # lines 3 to 19; the first round evaluates the start
            if step:
                self._move(state, MOMENTUM if step > 1 else 1.0)
            state = self._evaluate(state, first=step == 0)
            if not len(state.rows):
                break
            since += 1
            if step in at_checkpoint:
                (self._check_l1 if self.norm == "l1" else self._check)(state, since)
                since = 0
        best[state.rows] = state.best
        return best

    def _checkpoints(self) -> set[int]:
        if self.norm != "l1":
            return checkpoints(self.steps)
        every = max(int(L1_EVERY * self.steps), 1)
        return set(range(every, self.steps + 1, every))

    def _begin(self, rows: torch.Tensor, x: torch.Tensor, inputs: torch.Tensor) -> _State:
        clean = inputs[rows]
        number = torch.zeros(len(rows), dtype=x.dtype, device=x.device)
        moved = norms(x - clean, "l0") if self.norm == "l1" else number
        numel = math.prod(x.shape[1:])
        first = 1.0 if self.norm == "l1" else 2.0
        return _State(
            rows=rows, clean=clean, x=x, former=x, gradient=x, best=x, best_gradient=x,
            best_value=number - torch.inf, value=number + torch.inf, rises=number.clone(),
            step=first * self.radius[rows], checked=number - torch.inf, halved=number.bool() | True,
            share=moved / numel / L1_SHRINK if self.norm == "l1" else number, sparsity=moved,
        )  # fmt: skip

    def _evaluate(self, state: _State, first: bool) -> _State:
        """Loss and gradient of the present inputs; rows that are broken leave (lines 9 to 12)."""
        search = self.rows.search
        graph = search.graph(state.rows, state.x)
        logits = graph.logits
        others = [search.graph(state.rows, state.x) for _ in range(self.repeats - 1)]
        if others:
            logits = torch.stack([logits, *[other.logits for other in others]]).mean(0)
        if self.decides:
            search.keep(state.rows, state.x, search.wrong(state.rows, logits))
            going = self.rows.going(state.rows)
            if not bool(going.any()):
                return state.part(going)
        labels = search.labels[state.rows]
        targets = None if self.targets is None else self.targets[state.rows]
        value, gradient = self._loss(state.rows, graph, logits, labels, targets)
        for other in others:
            gradient = gradient + self._loss(state.rows, other, other.logits, labels, targets)[1]
        state.rises += value > state.value
        state.value, state.gradient = value, gradient
        if self.decides and not bool(going.all()):
            state = state.part(going)
        if first:
            state.best, state.best_gradient, state.best_value = state.x, state.gradient, state.value
            state.checked = state.value
            return state
        better = state.value > state.best_value
        chosen = wide(better, state.x)
        state.best = torch.where(chosen, state.x, state.best)
        state.best_gradient = torch.where(chosen, state.gradient, state.best_gradient)
        state.best_value = torch.where(better, state.value, state.best_value)
        return state

    def _loss(
        self,
        rows: torch.Tensor,
        graph: Graph,
        logits: torch.Tensor,
        labels: torch.Tensor,
        targets: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        value, cotangent = loss(logits, labels, self.loss, targets)
        if (
            self.loss == "ce" and self.repeats > 1
        ):  # an average needs the gradient's length: d log(1 + e^v) = sigmoid(v)
            cotangent = cotangent * value.sigmoid().unsqueeze(1)
        return value, self.rows.search.gradient(rows, graph, cotangent)

    def _move(self, state: _State, momentum: float) -> None:
        """The next inputs (lines 6 and 7); of l1 the step of section 4.1 there."""
        x, former, radius = state.x, state.former, self.radius[state.rows]
        state.former = x
        if self.norm == "linf":
            room = wide(radius, x)
            low, high = (state.clean - room).clamp_min_(0), (state.clean + room).clamp_max_(1)
            moved = torch.clamp(x + wide(state.step, x) * state.gradient.sign(), low, high)
            if momentum < 1:
                moved = torch.clamp(x + momentum * (moved - x) + (1 - momentum) * (x - former), low, high)
            state.x = moved
            return
        if self.norm == "l2":
            moved = x + wide(state.step, x) * unit(state.gradient, "l2")
            moved = project(moved - state.clean, state.clean, radius, "l2")
            if momentum < 1:
                moved = x + momentum * (moved - x) + (1 - momentum) * (x - former)
                moved = project(moved - state.clean, state.clean, radius, "l2")
            state.x = moved
            return
        free = movable(x, state.gradient)  # a saturated element would spend the step in vain
        sign = _steepest(state.gradient * free, state.share).sign()
        moved = x + wide(state.step, x) * unit(sign, "l1")
        state.x = project(moved - state.clean, state.clean, radius, "l1")

    def _check(self, state: _State, since: int) -> None:
        """Halve the step where few steps rose, or nothing came of the last one, and go back to the best (13 to 17)."""
        stalled = state.rises <= RISES * since  # condition 1
        stalled |= ~state.halved & (state.checked >= state.best_value)  # condition 2
        state.step = torch.where(stalled, state.step / 2, state.step)
        self._return(state, stalled)
        state.halved, state.checked = stalled, state.best_value
        state.rises = torch.zeros_like(state.rises)

    def _check_l1(self, state: _State, since: int) -> None:
        """Steps begin anew where the best point got sparser, else they shrink (section 4.2 of the l1 paper)."""
        moved = norms(state.best - state.clean, "l0")
        sparser = moved < L1_SPARSER * state.sparsity
        state.share = moved / math.prod(state.x.shape[1:]) / L1_SHRINK
        radius = self.radius[state.rows]
        shrunk = torch.maximum(state.step / L1_SHRINK, radius / L1_SMALLEST)
        state.step = torch.where(sparser, radius, shrunk)
        state.sparsity = moved
        self._return(state, sparser)

    def _return(self, state: _State, chosen: torch.Tensor) -> None:
        """Go back to the best point."""
        picked = wide(chosen, state.x)
        state.x = torch.where(picked, state.best, state.x)
        state.gradient = torch.where(picked, state.best_gradient, state.gradient)


def apgd(
    search: Search,
    draws: Draws,
    *,
    norm: NormName,
    eps: float | torch.Tensor,
    steps: int,
    loss: LossName,
    restarts: int = 1,
    classes: int = 0,
    repeats: int = 1,
    name: str = "apgd",
) -> None:
    """APGD on the samples of a search that are not broken; what breaks one is kept there.

    Args:
        search: of the batch.
        draws: N streams; each run has its own, by its name.
        norm, eps: the ball, linf, l2 or l1; its radius, one or (N,).
        steps, loss, repeats: see :class:`Ascent`.
        restarts: runs from random starts, towards each target.
        classes: most likely other classes that are targets, one after another; 0: any class.
        name: of the runs' random streams.
    """
    aims = targets(search, classes) if classes else None
    count = restarts * (aims.shape[1] if aims is not None else 1)
    budgets = torch.as_tensor(eps).to(search.inputs).expand(len(search.inputs))

    def run(rows: Rows, which: torch.Tensor) -> None:
        part = rows.search
        at_class = None if aims is None else aims[rows.at, which // restarts]
        ascent = partial(Ascent, rows, norm, loss=loss, targets=at_class, repeats=repeats)
        noise = rows.noise(draws, name, which, norm)
        budget = budgets[rows.at]
        if norm != "l1":
            start = part.inputs + wide(budget, part.inputs) * unit(noise, norm)
            ascent(radius=budget, steps=steps).run(start.clamp(0, 1))
            return
        x = part.inputs + noise
        lengths = [math.ceil(share * steps) for _, share in L1_BALLS[:-1]]
        for (ball, _), length in zip(L1_BALLS, [*lengths, max(steps - sum(lengths), 1)], strict=True):
            x = project(x - part.inputs, part.inputs, ball * budget, "l1")
            x = ascent(radius=ball * budget, steps=length, decides=ball == 1).run(x)

    waves(search, count, run)


def _steepest(gradient: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """(R, ...) with the elements of smaller magnitude than the steepest ``share`` (R,) set to zero."""
    flat = gradient.flatten(1).abs()
    place = ((1 - share) * flat.shape[1]).long().clamp(0, flat.shape[1] - 1)
    least = flat.sort(1).values.gather(1, place.view(-1, 1))
    return torch.where(flat >= least, gradient.flatten(1), 0).view(gradient.shape)
