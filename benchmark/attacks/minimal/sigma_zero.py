"""sigma-zero: Cinà, Villani, Pintor, Schönherr, Biggio, Pelillo 2024 (arXiv:2402.01879), algorithm 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from benchmark.attacks.base import attacks
from benchmark.attacks.minimal.base import MinimalNorm

if TYPE_CHECKING:
    from benchmark.attacks.core.search import Search


@attacks.register("sigma-zero")
class SigmaZero(MinimalNorm):
    """Descends the logit difference plus a smooth count of the elements changed; small elements are set to zero.

    Fields:
        norm: l0.
        steps: of the algorithm, N.
        step_size, step_size_end: eta at the first and towards the last step (cosine annealing).
        smoothness: sigma of the count, the mean of d^2 / (d^2 + sigma).
        threshold: tau at the start: smaller elements become zero.
        threshold_rate: t; tau goes up by this share of the step where the input is misclassified, else down.
    """

    source: ClassVar[str] = "sigma-zero (arXiv:2402.01879, Alg. 1)"

    norm: Literal["l0"] = "l0"
    steps: int = Field(default=1000, ge=1)
    step_size: float = Field(default=1.0, gt=0)
    step_size_end: float = Field(default=0.1, gt=0)
    smoothness: float = Field(default=1e-3, gt=0)
    threshold: float = Field(default=0.3, ge=0, le=1)
    threshold_rate: float = Field(default=0.01, ge=0)

    def minimise(self, search: Search) -> None:
        """Algorithm 1."""
        from benchmark.attacks.minimal.algorithms.sigma_zero import sigma_zero

        sigma_zero(
            search,
            self.steps,
            step_size=(self.step_size, self.step_size_end),
            smoothness=self.smoothness,
            threshold=self.threshold,
            rate=self.threshold_rate,
        )
