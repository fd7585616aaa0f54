"""AutoAttack: Croce and Hein 2020 (arXiv:2003.01690), of l1 Croce and Hein 2021 (arXiv:2103.01208)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.reported import Column

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

MEMBERS = {
    "standard": ("apgd-ce", "apgd-t", "fab-t", "square"),
    "plus": ("apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"),
    "rand": ("apgd-ce", "apgd-dlr"),
}


@attacks.register("autoattack")
class AutoAttack(Attack):
    """The authors' ensembles on our own attacks; a sample that one member breaks costs the others nothing.

    ``"standard"``: APGD on the cross-entropy, APGD and FAB towards nine target classes, Square. Of l1 the first has
    five restarts and targeted APGD five classes. ``"plus"``: five restarts of APGD on both losses and of FAB towards
    the nearest class as well. ``"rand"``, for networks that draw random numbers: APGD on both losses, gradients
    averaged over 20 evaluations. With fewer than four classes the difference of logits ratio has no third or fourth
    logit: the third stands for both, of two classes the margin for the ratio. Results do not depend on the batch.

    Fields:
        norm: of the ball.
        variant: which members.
        steps: of each run of APGD and FAB.
        queries: of Square.
    """

    source: ClassVar[str] = "AutoAttack (arXiv:2003.01690; l1: arXiv:2103.01208)"
    cost: ClassVar[str] = "at most 28 times `steps` forwards, 19 times backwards, then `queries`; a broken one is done"
    random: ClassVar[bool] = True
    version: ClassVar[int] = 2  # 1: torchattacks' members

    norm: Literal["linf", "l2", "l1"] = "linf"
    variant: Literal["standard", "plus", "rand"] = "standard"
    steps: int = Field(default=100, ge=1)
    queries: int = Field(default=5000, ge=1)

    @field_validator("norm", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @property
    def threat(self) -> Threat:
        """Fixed budget, white box."""
        return Threat(norm=self.norm, kind="fixed")

    def columns(self) -> tuple[Column, ...]:
        """Share of the samples attacked that each member broke, in the CSV file alone."""
        return tuple(_broken_by(place, name) for place, name in enumerate(MEMBERS[self.variant], start=1))

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

        ``params``: ``member``, the number from 1 of the member that broke the sample, 0 where none did; ``calls_<i>``,
        forwards and backwards of the i-th member.

        Raises:
            AttackError: no budget, or fewer than two logits.
        """
        from benchmark.attacks.parameter_free.ensemble import autoattack

        return autoattack(
            model,
            inputs,
            labels,
            generator,
            members=MEMBERS[self.variant],
            norm=self.norm,
            eps=self.budget(eps),
            steps=self.steps,
            queries=self.queries,
            variant=self.variant,
        )


def _broken_by(place: int, name: str) -> Column:
    def values(rows: pd.DataFrame) -> NDArray[np.float64]:
        member = rows["param_member"] if "param_member" in rows else np.full(len(rows), np.nan)  # older records
        return np.where(np.isnan(member), np.nan, np.asarray(member == place, dtype=np.float64))

    return Column(f"broken_by_{name.replace('-', '_')}", "rate", values, shown=False)
