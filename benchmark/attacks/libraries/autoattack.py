"""AutoAttack, through torchattacks: the standard ensemble, and another one for fewer than four classes.

Croce and Hein 2020 (arXiv:2003.01690). The two are different ensembles: numbers of one are never compared with the
other's, and each refuses the models of the other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from numpy.typing import NDArray
from pydantic import Field, field_validator

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.errors import AttackError

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

CLASSES = 4  # the targeted DLR loss looks at the four largest logits


class Ensemble(Attack):
    """Attacks of torchattacks one after another; a sample that one of them breaks leaves.

    Fields:
        norm: ``"linf"`` or ``"l2"``.
        batch_size: samples a call; it is part of the result (the members draw for the batch at once).
        steps: iterations of APGD and FAB. The authors run 100; the library's own ensemble runs 10.
    """

    library: ClassVar[str] = "torchattacks"
    source: ClassVar[str] = "AutoAttack (arXiv:2003.01690), torchattacks"
    cost: ClassVar[str] = "at most 19 times `steps` forwards and backwards, then 5,000 forwards; a broken sample leaves"
    random: ClassVar[bool] = True
    whole_batch: ClassVar[bool] = True

    norm: Literal["linf", "l2"] = "linf"
    batch_size: int = Field(default=100, ge=1)
    steps: int = Field(default=100, ge=1)

    @field_validator("norm", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @property
    def threat(self) -> Threat:
        """Fixed budget, white box."""
        return Threat(norm=self.norm, kind="fixed")

    def fixed_batch_size(self) -> int | None:
        """See :meth:`Attack.fixed_batch_size`."""
        return self.batch_size

    @abstractmethod
    def ensemble(self, model: Model, eps: float, seed: int, classes: int) -> list[Any]:
        """The torchattacks attacks, in order."""

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
            AttackError: no budget, or a number of classes that the ensemble is not made for.
        """
        from benchmark.attacks.libraries.members import cascade
        from benchmark.attacks.libraries.torchattacks import class_count

        eps = self.budget(eps)
        classes = class_count(model, inputs)
        reason = self.refuses(classes)
        if reason:
            raise AttackError(reason)
        return cascade(model, inputs, labels, self.ensemble(model, eps, generator.batch_seed, classes))

    @abstractmethod
    def refuses(self, classes: int) -> str | None:
        """Why a model with so many classes is not attacked, or None."""

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """See :meth:`Plugin.skip`: the other ensemble is made for that number of classes."""
        classes = 2 if getattr(entry, "output", "") == "logit1" else getattr(entry, "class_count", 0)
        return self.refuses(classes) if classes else None


@attacks.register("autoattack")
class AutoAttack(Ensemble):
    """APGD on the cross-entropy, targeted APGD on the DLR loss, targeted FAB, Square with 5,000 queries.

    At most nine target classes, as the authors have it. ``torchattacks:AutoAttack`` is the library's own composition,
    with 10 iterations and every class as a target.

    Fields:
        variant: ``"standard"``, or the library's ``"plus"`` (more restarts and losses) and ``"rand"`` (for randomised
            models: APGD on the cross-entropy and on DLR, gradients averaged over 20 evaluations).
    """

    variant: Literal["standard", "plus", "rand"] = "standard"

    def refuses(self, classes: int) -> str | None:
        """See :meth:`Ensemble.refuses`."""
        if classes >= CLASSES:
            return None
        return (
            f"autoattack needs at least {CLASSES} classes (its targeted loss looks at the four largest logits),"
            f" this model has {classes}; use autoattack-binary, whose numbers are not comparable"
        )

    def ensemble(self, model: Model, eps: float, seed: int, classes: int) -> list[Any]:
        """See :meth:`Ensemble.ensemble`."""
        from benchmark.attacks.libraries.members import standard

        return standard(model, self.norm, eps, seed, classes, self.variant, self.steps)


@attacks.register("autoattack-binary")
class AutoAttackBinary(Ensemble):
    """APGD on the cross-entropy, APGD on the logit difference, FAB and Square: for models of two or three classes.

    The logit difference (largest wrong logit less the true one) stands for the DLR loss, which divides by the distance
    to the third logit.

    Fields:
        queries: of Square.
    """

    cost: ClassVar[str] = "at most 3 times `steps` forwards and backwards, then `queries` forwards; a broken one leaves"

    queries: int = Field(default=5000, ge=1)

    def refuses(self, classes: int) -> str | None:
        """See :meth:`Ensemble.refuses`."""
        if classes < CLASSES:
            return None
        return (
            f"autoattack-binary is for fewer than {CLASSES} classes, this model has {classes}; use autoattack, whose"
            " numbers are not comparable"
        )

    def ensemble(self, model: Model, eps: float, seed: int, classes: int) -> list[Any]:
        """See :meth:`Ensemble.ensemble`."""
        from benchmark.attacks.libraries.members import binary

        return binary(model, self.norm, eps, seed, classes, self.steps, self.queries)
