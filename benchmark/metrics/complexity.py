"""Complexity: is the attribution concentrated on few elements? On the magnitude of each element, free of its scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from benchmark.inputs import ANYTHING
from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    import torch

    from benchmark.metrics.base import Explained


@metrics.register("sparseness")
class Sparseness(Metric):
    """Gini index of the magnitudes (Chalasani et al. 2020, eq. 11).

    0 for a constant, (d - 1) / d for one feature of d. Higher is better. All-zero or non-finite: NaN.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Chalasani et al. 2020, eq. 11"
    higher_is_better: ClassVar[bool | None] = True
    family: ClassVar[str] = "complexity"
    accepts: ClassVar[tuple[str, ...]] = ANYTHING
    quantus: ClassVar[str] = "Sparseness: the same with abs; without it changes the caller's array"
    channels: ClassVar[str] = "each"
    range: ClassVar[str] = "[0, 1)"

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) in [0, 1)."""
        from benchmark.metrics.functional.complexity import sparseness

        return sparseness(explained.attributions)


@metrics.register("complexity")
class Complexity(Metric):
    """Entropy (nats) of each feature's share of the magnitude (Bhatt et al. 2020, eq. 5).

    0 for one feature, log d for a constant over d features. Lower is better. All-zero or non-finite: NaN.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Bhatt et al. 2020, eq. 5"
    higher_is_better: ClassVar[bool | None] = False
    family: ClassVar[str] = "complexity"
    accepts: ClassVar[tuple[str, ...]] = ANYTHING
    quantus: ClassVar[str] = "Complexity: the same with abs; without it changes the caller's array"
    channels: ClassVar[str] = "each"
    range: ClassVar[str] = "[0, log d]"

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) in [0, log d]."""
        from benchmark.metrics.functional.complexity import complexity

        return complexity(explained.attributions)


@metrics.register("effective-complexity")
class EffectiveComplexity(Metric):
    """Share of the elements whose magnitude is above a part of the sample's largest (Nguyen and Martínez 2020).

    The paper counts these elements: the share times d. Lower is better. All-zero or non-finite: NaN.

    Attributes:
        eps: the threshold, as a part of the largest magnitude.
    """

    source: ClassVar[str] = "Nguyen and Martínez 2020"
    higher_is_better: ClassVar[bool | None] = False
    family: ClassVar[str] = "complexity"
    accepts: ClassVar[tuple[str, ...]] = ANYTHING
    quantus: ClassVar[str] = (
        "EffectiveComplexity: one sample's scale moves the others; ours is a share, normalised per sample"
    )
    channels: ClassVar[str] = "each"
    range: ClassVar[str] = "(0, 1]"

    eps: float = Field(default=0.01, ge=0, lt=1)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) in (0, 1]."""
        from benchmark.metrics.functional.complexity import effective_complexity

        return effective_complexity(explained.attributions, self.eps)
