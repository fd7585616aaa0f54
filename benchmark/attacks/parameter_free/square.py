"""Square attack: Andriushchenko et al. 2020 (arXiv:1912.00049); of l1 Croce and Hein 2021 (arXiv:2103.01208)."""

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


@attacks.register("square")
class Square(Attack):
    """Random squares, kept where the margin of the logits falls; a sample that is broken is done.

    Each sample has its own squares, so results do not depend on the batch.

    Fields:
        norm: of the ball.
        queries: after the first perturbation.
    """

    source: ClassVar[str] = "Square (arXiv:1912.00049; l1: arXiv:2103.01208, sec. 5)"
    cost: ClassVar[str] = "at most `queries` + 2 forwards; a broken sample is done"
    random: ClassVar[bool] = True

    norm: Literal["linf", "l2", "l1"] = "linf"
    queries: int = Field(default=5000, ge=1)

    @property
    def threat(self) -> Threat:
        """Fixed budget, black box with scores."""
        return Threat(norm=self.norm, kind="fixed", knowledge="score")

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
        from benchmark.attacks.parameter_free.squares import square

        search = Search.of(model, inputs, labels)
        square(search, generator, norm=self.norm, eps=self.budget(eps), queries=self.queries)
        return search.perturbed()
