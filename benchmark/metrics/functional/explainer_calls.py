"""The explainer under test, as a metric calls it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from benchmark.metrics.functional.again import Explain
from benchmark.seeds import Draws, derive

if TYPE_CHECKING:
    from benchmark.metrics.base import Explained
    from benchmark.models.wrap import Model


class Again:
    """``explain(model, inputs, targets)`` of a batch's explainer.

    Each copy of a sample has random numbers of its own, derived from the sample's seed and the copy's number: neither
    the batch size nor what shares a pass changes them.
    """

    def __init__(self, explained: Explained) -> None:
        self.explainer, self.seeds = explained.explainer, explained.generator.seeds
        self.random = explained.explainer.random

    def of(self, samples: Sequence[int], copies: Sequence[int]) -> Explain:
        """The explainer for rows that are these copies of these samples."""
        seeds = [derive("again", self.seeds[i], copy) for i, copy in zip(samples, copies, strict=True)]

        def explain(model: Model, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return self.explainer.explain(model, inputs, targets, generator=Draws(seeds)).detach().to(inputs.dtype)

        return explain

    def __call__(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Attributions of the batch's samples, (N, C, H, W)."""
        return self.of(range(len(inputs)), [0] * len(inputs))(model, inputs, targets)
