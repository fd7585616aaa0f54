"""PDPGD: Matyasko and Chau 2021 (arXiv:2106.01538)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from benchmark.attacks.base import attacks
from benchmark.attacks.minimal.base import MinimalNorm

if TYPE_CHECKING:
    from benchmark.attacks.core.search import Search


@attacks.register("pdpgd")
class PDPGD(MinimalNorm):
    """Two players on the Lagrangian: proximal Adam on the perturbation, exponentiated gradient on the multipliers.

    In l0 the proximal operator is that of the l2/3 norm, which the paper prefers to hard thresholding.

    Fields:
        norm: minimised.
        steps: of the primal-dual iteration.
        step_size: of the perturbation.
        step_size_decay: share of it that is left at the last step (exponential decay).
        ratio: weight of the norm over that of the loss at the start; ratio_least: the least, and 1 over the largest.
        dual_step_size, dual_step_size_decay: of the multipliers; it falls linearly.
        dual_average: share of the old average of the multipliers in the new one.
        proximal_steps: most iterations of the proximal operator in Adam's metric.
        proximal_tolerance: change, relative to the perturbation, at which these end.
    """

    source: ClassVar[str] = "PDPGD (arXiv:2106.01538, sec. III)"

    norm: Literal["l0", "l1", "l2", "linf"] = "l2"
    steps: int = Field(default=500, ge=1)
    step_size: float = Field(default=0.1, gt=0)
    step_size_decay: float = Field(default=0.01, gt=0, le=1)
    ratio: float = Field(default=0.01, gt=0)
    ratio_least: float = Field(default=1e-6, gt=0, lt=1)
    dual_step_size: float = Field(default=0.1, gt=0)
    dual_step_size_decay: float = Field(default=0.1, gt=0, le=1)
    dual_average: float = Field(default=0.9, ge=0, lt=1)
    proximal_steps: int = Field(default=5, ge=1)
    proximal_tolerance: float = Field(default=0.01, ge=0)

    def minimise(self, search: Search) -> None:
        """Primal and dual steps in turn."""
        from benchmark.attacks.minimal.algorithms.pdpgd import pdpgd

        pdpgd(search, **self.fields())
