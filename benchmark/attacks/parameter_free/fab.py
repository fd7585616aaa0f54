"""The fast adaptive boundary attack: Croce and Hein 2020 (arXiv:1907.02044)."""

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


@attacks.register("fab")
class Fab(Attack):
    """Steps onto the linearised decision boundary inside the box, pulled towards the clean input; minimal norm.

    Results do not depend on the batch.

    Fields:
        norm: that is minimised.
        steps: of each run.
        restarts: runs; all but the first begin at a random point nearer than the smallest perturbation so far.
        classes: so many of the most likely other classes are targets, one run each; 0: the nearest class of all in
            each step, at a backward for every class.
    """

    source: ClassVar[str] = "FAB (arXiv:1907.02044, Alg. 1)"
    cost: ClassVar[str] = "1 or 2 forwards and 1 backward a step and run; with classes = 0 a backward for each class"
    random: ClassVar[bool] = True

    norm: Literal["linf", "l2", "l1"] = "l2"
    steps: int = Field(default=100, ge=1)
    restarts: int = Field(default=1, ge=1)
    classes: int = Field(default=9, ge=0)

    @property
    def threat(self) -> Threat:
        """Minimal norm, white box."""
        return Threat(norm=self.norm, kind="minimal")

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
        """See :meth:`Attack.run`.

        Raises:
            AttackError: fewer than two logits.
        """
        from benchmark.attacks.core.search import Search
        from benchmark.attacks.parameter_free.boundary import fab

        search = Search.of(model, inputs, labels)
        fab(
            search,
            generator,
            norm=self.norm,
            steps=self.steps,
            radius=None,
            restarts=self.restarts,
            classes=self.classes,
        )
        return search.perturbed()
