"""Explaining again: noisy copies of samples in full batches, each copy with random numbers of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmark.metrics.functional._common import rows_per_pass, spans
from benchmark.seeds import Draws

Explain = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]
"""``explain(model, inputs, targets) -> attributions``, all (M, C, H, W) but targets (M,).

One that draws random numbers may offer ``of(samples, copies)``, which returns such a function for a batch whose row r
is copy ``copies[r]`` of sample ``samples[r]``: its numbers then do not depend on how copies are put into batches. One
with a true attribute ``random`` says that the same call may give another result.
"""

Noise = Callable[[Draws, Sequence[int]], torch.Tensor]
Measure = Callable[["Copies", torch.Tensor], torch.Tensor]


@dataclass
class Copies:
    """Noisy copies of the samples ``at``, copy by copy: row r is a copy of sample ``at.start + r % len(at)``.

    Attributes:
        at: samples.
        copies: numbers of the copies.
        inputs: (len(copies) * len(at), C, H, W).
    """

    at: slice
    copies: range
    inputs: torch.Tensor

    def repeat(self, values: torch.Tensor) -> torch.Tensor:
        """The samples' own rows of ``values`` (N, ...), one for each copy."""
        return values[self.at].repeat(len(self.copies), *[1] * (values.ndim - 1))

    def back(self, values: torch.Tensor) -> torch.Tensor:
        """(copies, samples) of values (M,)."""
        return values.view(len(self.copies), -1)


def blocks(inputs: torch.Tensor) -> Iterator[slice]:
    """Samples whose copies go through the model together."""
    return spans(len(inputs), rows_per_pass(inputs))


def noisy_copies(
    inputs: torch.Tensor, at: slice, count: int, noise: Noise, generator: Draws, first: int = 0
) -> Iterator[Copies]:
    """``count`` noisy copies of the samples ``at`` in batches as large as memory allows; noise is drawn per sample."""
    block = inputs[at]
    draws = generator.subset(range(at.start, at.stop))
    for which in spans(count, max(1, rows_per_pass(inputs) // len(block))):
        moves = torch.stack([noise(draws, block.shape[1:]) for _ in range(which.start, which.stop)])
        noisy = (block + moves.to(device=inputs.device, dtype=inputs.dtype)).flatten(0, 1)
        yield Copies(at, range(first + which.start, first + which.stop), noisy)


def explain_copies(explain: Explain, model: Any, batch: Copies, targets: torch.Tensor) -> torch.Tensor:
    """Attributions of noisy copies, (M, C, H, W)."""
    n = batch.at.stop - batch.at.start
    samples = [batch.at.start + i for _ in batch.copies for i in range(n)]
    bound = bind(explain, samples, [copy for copy in batch.copies for _ in range(n)])
    return bound(model, batch.inputs, batch.repeat(targets)).detach()


def explain_all(
    explain: Explain, model: Any, inputs: torch.Tensor, targets: torch.Tensor, copy: int = 0
) -> torch.Tensor:
    """Attributions of all samples as they are, (N, C, H, W), in parts; their random numbers are those of ``copy``."""
    parts = []
    for at in blocks(inputs):
        rows = range(at.start, at.stop)
        bound = bind(explain, rows, [copy] * len(rows))
        parts.append(bound(model, inputs[at], targets[at]).detach())
    return torch.cat(parts)


def bind(explain: Explain, samples: Sequence[int], copies: Sequence[int]) -> Explain:
    """``explain`` for rows that are these copies of these samples."""
    of = getattr(explain, "of", None)
    bound: Explain = explain if of is None else of(samples, copies)
    return bound


def uniform(radius: float) -> Noise:
    """Noise uniform in [-radius, radius)."""
    return lambda draws, shape: draws.uniform(shape, -radius, radius)


def gaussian(std: float) -> Noise:
    """Noise of that standard deviation."""
    return lambda draws, shape: std * draws.normal(shape)


def norms(values: torch.Tensor) -> torch.Tensor:
    """(M,) Euclidean norm of each row of (M, ...)."""
    norm: torch.Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1)
    return norm


def measured(
    explain: Explain,
    model: Any,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    generator: Draws,
    nr_samples: int,
    noise: Noise,
    measure: Measure,
) -> torch.Tensor:
    """(copies, N) of ``measure(copies, their attributions)``."""
    values = []
    for at in blocks(inputs):
        for batch in noisy_copies(inputs, at, nr_samples, noise, generator):
            attributions = explain_copies(explain, model, batch, targets)
            values.append((at, batch.back(measure(batch, attributions))))
    return assembled(values)


def assembled(values: Sequence[tuple[slice, torch.Tensor]]) -> torch.Tensor:
    """(copies, N) from parts (samples, (some copies, those samples)) in the order of blocks."""
    columns: dict[int, list[torch.Tensor]] = {}
    for at, part in values:
        columns.setdefault(at.start, []).append(part)
    return torch.cat([torch.cat(parts) for parts in columns.values()], dim=1)


def seen(attributions: torch.Tensor) -> torch.Tensor:
    """An element that is not finite counts as infinite: the sample becomes NaN, whatever its other copies say."""
    return torch.where(attributions.isfinite(), attributions, torch.full_like(attributions, torch.inf))
