"""Auto-PGD: Croce and Hein 2020 (arXiv:2003.01690), of l1 Croce and Hein 2021 (arXiv:2103.01208)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from numpy.typing import NDArray
from pydantic import Field

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@attacks.register("apgd")
class Apgd(Attack):
    """Projected gradient ascent that halves its steps where it stalls and goes back to the best point.

    A sample that is broken is done. Of l1 the ball shrinks from three budgets to one over the steps. Results do not
    depend on the batch.

    Fields:
        norm: of the ball.
        loss: ``"ce"`` (cross-entropy), ``"dlr"`` (difference of logits ratio), ``"margin"`` (of logits).
        steps: of each run.
        restarts: runs from random starts.
        classes: 0: away from the label; else so many of the most likely other classes are targets, one run each.
        repeats: evaluations a step whose gradients are averaged, for networks that draw random numbers.
    """

    source: ClassVar[str] = "APGD (arXiv:2003.01690, Alg. 1; l1: arXiv:2103.01208, Alg. 1)"
    cost: ClassVar[str] = "`steps` + 1 forwards and backwards a run (times `repeats`); a broken sample is done"
    random: ClassVar[bool] = True

    norm: Literal["linf", "l2", "l1"] = "linf"
    loss: Literal["ce", "dlr", "margin"] = "ce"
    steps: int = Field(default=100, ge=1)
    restarts: int = Field(default=1, ge=1)
    classes: int = Field(default=0, ge=0)
    repeats: int = Field(default=1, ge=1)

    @property
    def threat(self) -> Threat:
        """Fixed budget, white box."""
        return Threat(norm=self.norm, kind="fixed")

    def run(
        self,
        model: Model,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        eps: float | None,
        generator: Draws,
        fitted: Mapping[str, NDArray[Any]] | None = None,
    ) -> Perturbed:
        """See :meth:`Attack.run`; inputs that nothing broke come back as they were.

        Raises:
            AttackError: no budget, or fewer than two logits.
        """
        from benchmark.attacks.core.search import Search
        from benchmark.attacks.parameter_free.ascent import apgd

        search = Search.of(model, inputs, labels)
        apgd(
            search,
            generator,
            norm=self.norm,
            eps=self.budget(eps),
            steps=self.steps,
            loss=self.loss,
            restarts=self.restarts,
            classes=self.classes,
            repeats=self.repeats,
        )
        return search.perturbed()
