"""Runs of one search towards several targets side by side, with the outcome of one after another.

Small networks take as long for four samples as for forty, so the samples that are left are searched towards several
targets at once: as many as fit into the batch that the attack was given, or into four of them where inputs are small.
What comes out is that of one target after another whatever the batch: a row runs on until a target before it has broken
its sample.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmark.attacks.core.losses import others
from benchmark.attacks.core.projections import NormName
from benchmark.attacks.core.search import Search, first_broken
from benchmark.seeds import Draws

LARGER, ELEMENTS = 4, 1 << 18  # rows side by side: up to so many batches of so many elements of inputs together


class Rows:
    """Rows of a search: samples, each towards a target or with a start of its own.

    Args:
        search: of the samples.
        at: (M,) the sample of each row; a sample's rows stand in their order.

    Attributes:
        search: of the rows.
        idle: (M,) rows that need not go on.
    """

    def __init__(self, search: Search, at: torch.Tensor) -> None:
        self.parent, self.at = search, at
        self.search = search.rows(at)
        self.several = len(at) > 1 and bool((at[1:] == at[:-1]).any())

    def going(self, rows: torch.Tensor) -> torch.Tensor:
        """(R,) which of some rows go on: not broken, nor one before them of the same sample."""
        broken = self.search.broken
        if not self.several:
            return ~broken[rows]
        first = first_broken(self.at, broken, len(self.parent.inputs))
        return rows < first[self.at[rows]]

    def noise(self, draws: Draws, name: str, which: torch.Tensor, norm: NormName) -> torch.Tensor:
        """(M, ...) random numbers for a start, from the stream that is called by ``name`` and the row's number.

        Args:
            draws: the streams of the samples.
            name: of the runs.
            which: (M,) number of each row's run.
            norm: linf: uniform numbers; else normal ones.
        """
        own = draws.apart(self.at.tolist(), [f"{name}:{number}" for number in which.tolist()])
        shape = self.search.inputs.shape[1:]
        drawn = own.uniform(shape, -1, 1) if norm == "linf" else own.normal(shape)
        return drawn.to(self.search.inputs)

    def finish(self) -> None:
        """Hand what was reached to the search of the samples."""
        self.parent.take(self.at, self.search)


def targets(search: Search, most: int) -> torch.Tensor:
    """(N, T) the classes other than the label, the most likely on the clean input first; T at most ``most``."""
    logits = others(search.logits, search.labels)
    return logits.topk(min(most, logits.shape[1] - 1), dim=1).indices


def waves(search: Search, count: int, run: Callable[[Rows, torch.Tensor], None]) -> None:
    """Call ``run(rows, which)`` until each sample that is left was run with every number 0 ... count - 1.

    Args:
        search: of the samples; those that are broken leave between the waves.
        count: runs a sample.
        run: runs rows; ``which`` (M,) is the number of each.
    """
    n = len(search.inputs)
    begun, wide = 0, max(n, min(LARGER * n, ELEMENTS // max(1, search.inputs[:1].numel())))
    while begun < count:
        left = search.left()
        if not len(left):
            return
        width = 1 if begun == 0 else min(count - begun, max(1, wide // len(left)))  # the first breaks the most
        rows = Rows(search, left.repeat_interleave(width))
        run(rows, torch.arange(begun, begun + width, device=left.device).repeat(len(left)))
        rows.finish()
        begun += width


def every(search: Search, count: int, run: Callable[[Rows, torch.Tensor], None]) -> None:
    """Call ``run(rows, number)`` for each number 0 ... count - 1 on all samples that were right; the smallest is kept.

    Args:
        search: of the samples.
        count: runs a sample.
        run: as of :func:`waves`, with one row a sample.
    """
    at = search.left()
    for number in range(count if len(at) else 0):
        rows = Rows(search, at)
        run(rows, torch.full_like(at, number))
        search.take_smaller(at, rows.search)
