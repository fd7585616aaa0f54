"""DDN: Rony, Hafemann, Oliveira, Ben Ayed, Sabourin, Granger 2019 (arXiv:1811.09600), algorithm 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from benchmark.attacks.base import attacks
from benchmark.attacks.minimal.base import MinimalNorm

if TYPE_CHECKING:
    from benchmark.attacks.core.search import Search


@attacks.register("ddn")
class DDN(MinimalNorm):
    """Steps up the cross-entropy on a sphere that shrinks where the input is misclassified and grows where it is not.

    Fields:
        norm: l2.
        steps: of the algorithm, K.
        step_size, step_size_end: alpha at the first and towards the last step (cosine annealing).
        factor: gamma, by which the norm shrinks and grows.
        radius: norm at the start.
        levels: grey levels that every iterate is rounded to (the authors' code: 256); 0: none.
    """

    source: ClassVar[str] = "DDN (arXiv:1811.09600, Alg. 1)"

    norm: Literal["l2"] = "l2"
    steps: int = Field(default=1000, ge=1)
    step_size: float = Field(default=1.0, gt=0)
    step_size_end: float = Field(default=0.01, gt=0)
    factor: float = Field(default=0.05, gt=0, lt=1)
    radius: float = Field(default=1.0, gt=0)
    levels: int = Field(default=0, ge=0)

    def minimise(self, search: Search) -> None:
        """Algorithm 1."""
        from benchmark.attacks.minimal.algorithms.ddn import ddn

        step_size = (self.step_size, self.step_size_end)
        ddn(search, self.steps, step_size=step_size, factor=self.factor, radius=self.radius, levels=self.levels)
