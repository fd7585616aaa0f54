"""FMN: Pintor, Roli, Brendel, Biggio 2021 (arXiv:2102.12827), algorithm 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from benchmark.attacks.base import attacks
from benchmark.attacks.minimal.base import MinimalNorm

if TYPE_CHECKING:
    from benchmark.attacks.core.search import Search


@attacks.register("fmn")
class FMN(MinimalNorm):
    """Steps up the logit difference inside a ball whose radius follows the boundary.

    Fields:
        norm: minimised.
        steps: of the algorithm, K.
        step_size, step_size_end: alpha at the first and towards the last step (cosine annealing).
        factor, factor_end: gamma, by which the radius shrinks and grows, likewise.
        box: elements that would leave [0, 1] are left out of the step's direction. The paper's are not (False): the
            step is then spent on them, and many samples stay unbroken in l2 and l1 where pixels are black or white.
    """

    source: ClassVar[str] = "FMN (arXiv:2102.12827, Alg. 1)"

    norm: Literal["l0", "l1", "l2", "linf"] = "l2"
    steps: int = Field(default=1000, ge=1)
    step_size: float = Field(default=1.0, gt=0)
    step_size_end: float = Field(default=0.01, gt=0)
    factor: float = Field(default=0.05, gt=0, lt=1)
    factor_end: float = Field(default=0.001, ge=0, lt=1)
    box: bool = True

    def minimise(self, search: Search) -> None:
        """Algorithm 1."""
        from benchmark.attacks.minimal.algorithms.fmn import fmn

        step_size, factor = (self.step_size, self.step_size_end), (self.factor, self.factor_end)
        fmn(search, self.norm, self.steps, step_size=step_size, factor=factor, box=self.box)
