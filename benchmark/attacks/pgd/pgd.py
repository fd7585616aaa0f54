"""PGD: Madry et al. 2018 (arXiv:1706.06083)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from numpy.typing import NDArray
from pydantic import Field

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

LENGTH = 2.5  # all steps together, in budgets (Madry et al. 2018, appendix)


@attacks.register("pgd")
class Pgd(Attack):
    """Steps of one length along the gradient of the loss, projected into the ball, from random starts in it.

    A sample that is broken is done, at the step that broke it: a library's PGD takes every step of every restart on
    every sample. Results do not depend on the batch.

    Fields:
        norm: of the ball.
        loss: ``"ce"`` (cross-entropy), ``"dlr"`` (difference of logits ratio), ``"margin"`` (of logits).
        steps: of each run.
        restarts: runs, each from a random point of the ball.
        step: length of a step, as a share of the budget; default: 2.5 / steps.
    """

    source: ClassVar[str] = "PGD (arXiv:1706.06083)"
    cost: ClassVar[str] = "`steps` + 1 forwards, `steps` backwards a run; a broken sample is done"
    random: ClassVar[bool] = True

    norm: Literal["linf", "l2", "l1"] = "linf"
    loss: Literal["ce", "dlr", "margin"] = "ce"
    steps: int = Field(default=50, ge=1)
    restarts: int = Field(default=1, ge=1)
    step: float | None = Field(default=None, gt=0)

    @property
    def threat(self) -> Threat:
        """Fixed budget, white box."""
        return Threat(norm=self.norm, kind="fixed")

    def share(self) -> float:
        """Length of a step as a share of the budget."""
        return LENGTH / self.steps if self.step is None else self.step

    def reach(self, eps: float) -> float | None:
        """Steps times their length."""
        return self.steps * self.share()

    def longer(self, more: int) -> Self | None:
        """See :meth:`Attack.longer`."""
        return self.model_copy(update={"steps": self.steps + more, "step": self.share()})

    def effortless(self) -> dict[str, Any]:
        """See :meth:`Attack.effortless`; a step of 2.5 / steps of the budget goes with the effort."""
        return self.settings() | ({"steps": 0} if self.step is None else {})

    def takes_budgets(self) -> bool:
        """See :meth:`Attack.takes_budgets`."""
        return True

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
        from benchmark.attacks.pgd.steps import pgd

        search = Search.of(model, inputs, labels)
        pgd(
            search,
            generator,
            norm=self.norm,
            eps=self.budget(eps),
            steps=self.steps,
            share=self.share(),
            loss=self.loss,
            restarts=self.restarts,
        )
        return search.perturbed()
