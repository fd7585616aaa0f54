"""A model that knows whose input it is asked about, counts each sample's queries, and keeps the best point.

Attacks ask about batches of their own making: some of the samples, samples repeated, one at a time. Each row is taken
for the sample that :func:`benchmark.attacks.observed.rows.attribution` finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.attacks.base import Norm
from benchmark.attacks.observed.rows import attribution
from benchmark.attacks.verify import finite, in_range, norms
from benchmark.models.wrap import Counter, Model

IDLE = 10  # calls in a row about samples that have spent theirs, in budgets, before it is the end
SURE = 1e-4  # a logit margin, as a share of the largest logit, that no other batch size undoes


class Spent(Exception):  # noqa: N818
    """Every sample of the attack has spent its queries."""


class _Pausing(Counter):
    """A counter whose pause also stops the observation, and the counter of the model that is observed."""

    def __init__(self, behind: Counter) -> None:
        super().__init__()
        self.on, self.behind = True, behind

    @contextmanager
    def paused(self) -> Iterator[None]:
        """See :meth:`Counter.paused`."""
        before, self.on = self.on, False
        try:
            with super().paused(), self.behind.paused():
                yield
        finally:
            self.on = before


class ObservedModel(Model):
    """A model in the place of the one that it holds.

    Args:
        model: (M, ...) inputs to (M, K) logits.
        inputs: (N, ...) clean samples.
        labels: (N,) true labels.
        norm: that is kept small; computed in float64.
        queries: forwards plus backwards that a sample has.

    Attributes:
        forwards, backwards: (N,) int64 made.
        norms: (N,) float64 of the best points, inf where none was found.
        found_at: (N,) float64 queries made when the best point was asked about, NaN where none was found.
        least_batch: smallest batch that it may be asked with: attacks of ours do not fill a batch up for it.
    """

    def __init__(self, model: Model, inputs: torch.Tensor, labels: torch.Tensor, *, norm: Norm, queries: int) -> None:
        super().__init__(model)
        self.clean, self.labels = inputs.detach(), labels
        self.norm, self.queries, self.least_batch = norm, queries, 1
        n = len(inputs)
        self.counter: _Pausing = _Pausing(model.counter)
        self.forwards, self.backwards = np.zeros((2, n), dtype=np.int64)
        self.norms, self.found_at = np.full(n, np.inf), np.full(n, np.nan)
        self._points = self.clean.clone()
        self._sure, self._sure_norms, self._sure_at = self.clean.clone(), np.full(n, np.inf), np.full(n, np.nan)
        self._attended = np.arange(n)
        self._idle, self._classes = 0, 0

    @property
    def spent(self) -> NDArray[np.int64]:
        """(N,) queries made."""
        return np.asarray(self.forwards + self.backwards)

    @contextmanager
    def attending(self, samples: NDArray[np.intp]) -> Iterator[None]:
        """Only these samples are asked about inside the block."""
        before, self._attended, self._idle = self._attended, samples, 0
        try:
            yield
        finally:
            self._attended = before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (M, K); zero in the rows of samples that have spent their queries.

        Raises:
            Spent: all of those that are attacked have.
        """
        if not self.counter.on:
            output: torch.Tensor = self.network(x)
            return output
        self._end_if_spent()
        rows = self._attended[attribution(x.detach(), self.clean[self._attended])]
        live = self._chargeable(rows)
        at = torch.as_tensor(np.flatnonzero(live), device=x.device)
        self._idle = 0 if len(at) else self._idle + 1
        if self._idle > IDLE * self.queries:  # the attack goes on with samples that have spent theirs; others it left
            raise Spent
        logits = self._asked(x, at)
        self._classes = logits.shape[1]
        self.forwards += np.bincount(rows[live], minlength=len(self.forwards))
        self.counter.forwards += len(at)
        self._observe(x.detach()[at], logits.detach()[at], rows[live])
        if logits.requires_grad:
            logits.register_hook(lambda gradient: self._pulled(gradient, rows, live))  # type: ignore[no-untyped-call]
        return logits

    def best(self) -> torch.Tensor:
        """(N, ...) the best points, clean inputs where there is none.

        They are predicted once more as one batch, uncounted: where rounding takes a success back, the best point of a
        sure margin stands in.
        """
        if not len(self.clean):
            return self._points
        with torch.no_grad(), self.counter.paused():
            right = (self.network(self._points).argmax(1) == self.labels).cpu().numpy()
        for i in np.flatnonzero(right & np.isfinite(self.norms)):
            self._points[i], self.norms[i], self.found_at[i] = self._sure[i], self._sure_norms[i], self._sure_at[i]
        return self._points.clone()

    def _end_if_spent(self) -> None:
        if bool((self.spent[self._attended] >= self.queries).all()):
            raise Spent

    def _chargeable(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(M,) True for each row that its sample has a query left for, the rows before it counted."""
        left = self.queries - self.spent
        if len(np.unique(rows)) == len(rows):
            return np.asarray(left[rows] > 0)
        order = np.argsort(rows, kind="stable")
        starts = np.searchsorted(rows[order], rows[order])
        before = np.empty(len(rows), dtype=np.int64)
        before[order] = np.arange(len(rows)) - starts
        return np.asarray(before < left[rows])

    def _asked(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """Logits of the rows ``at``, zeros (with gradients of zero) elsewhere."""
        if len(at) == len(x):
            full: torch.Tensor = self.network(x)
            return full.view_as(full)  # its hook comes before that of the model behind, which then counts no backward
        silent = x.flatten(1).sum(1, keepdim=True).mul(0).nan_to_num(0.0)
        if not len(at):
            return silent.expand(-1, self._classes)
        logits: torch.Tensor = self.network(x[at])
        return silent.expand(-1, logits.shape[1]).clone().index_copy(0, at, logits)

    def _pulled(self, gradient: torch.Tensor, rows: NDArray[np.intp], live: NDArray[np.bool_]) -> torch.Tensor:
        """Count a backward of each row that has a query left, and leave the others without a gradient.

        Raises:
            Spent: no sample has a query left.
        """
        if not self.counter.on:
            return gradient
        self._end_if_spent()
        charged = self._chargeable(rows) & live
        self.backwards += np.bincount(rows[charged], minlength=len(self.backwards))
        self.counter.backwards += int(charged.sum())
        if bool(charged.all()):
            return gradient
        mask = torch.as_tensor(charged, device=gradient.device).view(-1, *[1] * (gradient.ndim - 1))
        return torch.where(mask, gradient, torch.zeros_like(gradient))

    def _observe(self, x: torch.Tensor, logits: torch.Tensor, rows: NDArray[np.intp]) -> None:
        """Keep the points that are misclassified, in the range, and nearer than what is known."""
        if not len(rows):
            return
        own = logits.gather(1, self.labels[torch.as_tensor(rows, device=x.device)].view(-1, 1)).squeeze(1)
        wrong = (logits.argmax(1) != self.labels[torch.as_tensor(rows, device=x.device)]).cpu().numpy()
        hits = np.flatnonzero(wrong)
        if not len(hits):
            return
        at = torch.as_tensor(hits, device=x.device)
        points, owners = x[at], rows[hits]
        length = norms(self.clean[torch.as_tensor(owners, device=x.device)], points)[self.norm]
        length = np.where(finite(points) & in_range(points) & finite(logits[at]), length, np.inf)
        margin = (logits[at].amax(1) - own[at]) / logits[at].abs().amax(1).clamp(min=1.0)
        sure = (margin > SURE).cpu().numpy()
        queries = self.spent[owners]
        _keep(points, owners, length, queries, self._points, self.norms, self.found_at)
        _keep(points, owners, np.where(sure, length, np.inf), queries, self._sure, self._sure_norms, self._sure_at)


def _keep(
    points: torch.Tensor,
    owners: NDArray[np.intp],
    length: NDArray[np.float64],
    queries: NDArray[np.int64],
    kept: torch.Tensor,
    norms: NDArray[np.float64],
    found_at: NDArray[np.float64],
) -> None:
    """Write the points that are nearer than those kept into ``kept``, ``norms`` and ``found_at``, in place."""
    order = np.argsort(length, kind="stable")
    owners_first, first = np.unique(owners[order], return_index=True)  # the nearest of each sample
    chosen = order[first]
    nearer = length[chosen] < norms[owners_first]
    samples, chosen = owners_first[nearer], chosen[nearer]
    if len(samples):
        device = points.device
        kept[torch.as_tensor(samples, device=device)] = points[torch.as_tensor(chosen, device=device)].to(kept.dtype)
        norms[samples], found_at[samples] = length[chosen], queries[chosen]
