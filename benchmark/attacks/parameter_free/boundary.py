"""FAB: steps to the linearised boundary inside the box, pulled towards the clean input.

Croce and Hein 2020 (arXiv:1907.02044), algorithm 1; line numbers are its. Without a radius it looks for the smallest
perturbation; with one a sample is done at the first point that breaks it inside the ball.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.attacks.core.losses import loss, others
from benchmark.attacks.core.net import Graph
from benchmark.attacks.core.projections import NormName, dual, norms, to_hyperplane, unit, wide
from benchmark.attacks.core.rows import Rows, every, targets, waves
from benchmark.attacks.core.search import Search
from benchmark.seeds import Draws

BIAS = 0.1  # alpha_max
OVERSHOOT = 1.05  # eta
BACK = 0.9  # beta
TINY = 1e-8
FEW = 0.25  # share of points that break their sample up to which a check is made with a graph, for the next gradient


@dataclass
class Boundary:
    """FAB on the rows of a search.

    Attributes:
        rows: what is searched; of each the smallest point is kept there.
        norm: that is minimised: linf, l2 or l1.
        steps: of each row.
        radius: a point inside ends its row; None: none does.
        targets: (M,) a class for each row, or None: the nearest of all in each step.
    """

    rows: Rows
    norm: NormName
    steps: int
    radius: float | None = None
    targets: torch.Tensor | None = None

    def run(self, start: torch.Tensor) -> None:
        """Search from ``start`` (M, ...), which is in [0, 1]."""
        search = self.rows.search
        rows = torch.arange(len(start), device=start.device)[~search.broken]
        x, few = start[rows], True
        graph: Graph | None = search.graph(rows, x)
        wrong = torch.zeros(len(rows), dtype=torch.bool, device=x.device)
        for step in range(self.steps + 1):  # lines 3 to 15
            if step:
                ahead = few and step < self.steps
                graph = search.graph(rows, x) if ahead else None
                logits = graph.logits if graph is not None else search.look(rows, x)
                wrong = search.wrong(rows, logits)
                going = self._keep(rows, x, wrong)
                if step == self.steps or not bool(going.any()):
                    return
                few = float(wrong.double().mean()) < FEW
                clean = search.inputs[rows]
                x = torch.where(wide(wrong, x), clean + BACK * (x - clean), x)  # line 13
                if not bool(going.all()):
                    rows, x, wrong, graph = rows[going], x[going], wrong[going], None
            gap, normal = self._plane(rows, x, wrong, graph)
            x = self._move(x, search.inputs[rows], gap, normal)

    def _keep(self, rows: torch.Tensor, x: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
        """Keep what breaks (lines 10 to 12); (R,) which rows go on."""
        search = self.rows.search
        if self.radius is None:
            search.keep_smaller(rows, x, wrong, self.norm)
            return torch.ones_like(wrong)
        inside = wrong & (norms(x - search.inputs[rows], self.norm) <= self.radius)
        search.keep(rows, x, inside)
        return self.rows.going(rows)

    def _plane(
        self, rows: torch.Tensor, x: torch.Tensor, wrong: torch.Tensor, graph: Graph | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """How much the linearised difference of logits must grow (R,), and its gradient (R, ...) (lines 4 and 5).

        ``graph`` is of the points before those that break were moved; None: there is none.
        """
        search = self.rows.search
        if graph is None:
            return self._nearest(rows, search.graph(rows, x))
        if not bool(wrong.any()):
            return self._nearest(rows, graph)
        gap, normal = self._nearest(rows, graph)
        moved = wrong.nonzero().squeeze(1)
        gap[moved], normal[moved] = self._nearest(rows[moved], search.graph(rows[moved], x[moved]))
        return gap, normal

    def _nearest(self, rows: torch.Tensor, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
        """Towards the target, or the class whose linearised boundary is nearest (eq. 7)."""
        search = self.rows.search
        labels, logits = search.labels[rows], graph.logits
        if self.targets is not None:
            value, cotangent = loss(logits, labels, "margin", self.targets[rows])
            return -value, search.gradient(rows, graph, cotangent)
        classes = others(logits, labels).argsort(dim=1, descending=True, stable=True)
        best: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        for k in range(logits.shape[1] - 1):
            value, cotangent = loss(logits, labels, "margin", classes[:, k])
            normal = search.gradient(rows, graph, cotangent, last=k == logits.shape[1] - 2)
            distance = value.abs() / (dual(normal, self.norm) + 1e-12)
            if best is None:
                best = (distance, -value, normal)
                continue
            nearer = distance < best[0]
            best = (
                torch.where(nearer, distance, best[0]),
                torch.where(nearer, -value, best[1]),
                torch.where(wide(nearer, normal), normal, best[2]),
            )
        assert best is not None
        return best[1], best[2]

    def _move(self, x: torch.Tensor, clean: torch.Tensor, gap: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
        """The convex combination of the projections of the point and of the clean input (lines 6 to 9)."""
        from_clean = gap + (normal * (x - clean)).flatten(1).sum(1)
        both = to_hyperplane(
            torch.cat([x, clean]), torch.cat([normal, normal]), torch.cat([gap, from_clean]), self.norm
        )
        here, there = both.chunk(2)
        size_here, size_there = norms(both, self.norm).clamp_min(TINY).chunk(2)
        weight = wide((size_here / (size_here + size_there)).clamp_max(BIAS), x)
        return ((x + OVERSHOOT * here) * (1 - weight) + (clean + OVERSHOOT * there) * weight).clamp(0, 1)


def fab(
    search: Search,
    draws: Draws,
    *,
    norm: NormName,
    steps: int,
    radius: float | None,
    restarts: int = 1,
    classes: int = 0,
    name: str = "fab",
) -> None:
    """FAB on the samples of a search that are not broken.

    Args:
        search: of the batch; what breaks is kept there, the smallest without a radius.
        draws: N streams.
        norm, steps, radius: see :class:`Boundary`.
        restarts: runs; all but the first begin at a random point (section 3.4), within half the smaller of the radius
            and the norm reached so far.
        classes: most likely other classes that are targets; 0: any class.
        name: of the runs' random streams.
    """
    aims = targets(search, classes) if classes else None
    count = restarts * (aims.shape[1] if aims is not None else 1)

    def run(rows: Rows, which: torch.Tensor) -> None:
        part = rows.search
        start = part.inputs
        again = which % restarts > 0
        if bool(again.any()):
            noise = rows.noise(draws, name, which, norm)
            reach = search.size[rows.at].clamp_max(torch.inf if radius is None else radius)
            reach = torch.where(again & reach.isfinite(), reach / 2, 0)
            start = (start + wide(reach, start) * unit(noise, norm)).clamp(0, 1)
        Boundary(rows, norm, steps, radius, None if aims is None else aims[rows.at, which // restarts]).run(start)

    if radius is None:
        every(search, count, run)
    else:
        waves(search, count, run)
