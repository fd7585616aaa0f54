"""The same object measured otherwise: more or fewer samples, another kind of mask, noise. No adversary."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from benchmark.accounts import Chapter
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.mri import EXTRA, MEASUREMENT
from benchmark.mri.attacks.words import MEASURED
from benchmark.mri.masks import MaskSpec
from benchmark.reported import Extras, ProbeResults

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


class Condition(BaseModel):
    """One way to measure.

    Attributes:
        mask: what is measured.
        noise: expected ||n|| / ||A x||.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mask: MaskSpec
    noise: float = Field(default=0.0, ge=0, lt=1)

    @property
    def label(self) -> str:
        """Short name, such as ``vd2d 54 % noise 2 %``."""
        noise = f" noise {self.noise:.3g}" if self.noise else ""
        seed = f" seed {self.mask.seed}" if self.mask.seed else ""
        return f"{self.mask.kind} {self.mask.fraction:.3g}{seed}{noise}"


class Acquisition(Attack):
    """Base: each view measures the truth anew; networks made for one mask are skipped with that reason."""

    requires: ClassVar[tuple[str, ...]] = ("deepinv",)
    extra: ClassVar[str] = EXTRA
    accepts: ClassVar[tuple[str, ...]] = (MEASUREMENT,)
    cost: ClassVar[str] = "none"
    tabled: ClassVar[bool] = True
    random: ClassVar[bool] = True
    says: ClassVar[Chapter] = MEASURED

    @property
    def threat(self) -> Threat:
        """Nothing is perturbed: the object is measured in another way."""
        return Threat(norm="none", kind="none", knowledge="none", domain="acquisition")

    @abstractmethod
    def conditions(self) -> tuple[Condition, ...]:
        """How it is measured, a view each."""

    def views(self) -> int:
        """One a condition."""
        return len(self.conditions())

    def noise_level(self) -> float:
        """Of the condition: ||n|| / ||A x||, in place of the task's."""
        return self.conditions()[self._view].noise

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
        """See :meth:`Attack.run`; with coils the object is measured through its maps."""
        from benchmark.mri.attacks.remeasured import measured_anew

        none = np.zeros(len(inputs), dtype=np.int64)
        condition = self.conditions()[self._view]
        packed = measured_anew(condition.mask, condition.noise, inputs, labels, generator)
        return Perturbed(packed, forwards=none, backwards=none)


@attacks.register("sampling")
class Sampling(Acquisition):
    """Nested masks of rising share: does more data give a better image? (Antun et al. 2020, the number of samples.)

    Fields:
        mask: the family; its ``fraction`` is the one that networks were trained at, marked in the curve.
        fractions: shares of k-space, in rising order; each mask holds all smaller ones.
    """

    source: ClassVar[str] = "Antun et al. 2020, PNAS 117:30088, more samples"
    tests: ClassVar[tuple[str, ...]] = ("sampling",)

    mask: MaskSpec = MaskSpec(kind="vd2d", fraction=0.54)
    fractions: tuple[float, ...] = (0.0714, 0.1, 0.15, 0.2, 0.25, 0.33, 0.42, 0.5)

    def conditions(self) -> tuple[Condition, ...]:
        """A mask of the family a share."""
        return tuple(Condition(mask=self.mask.at(fraction)) for fraction in self.fractions)

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """Table and curve ``sampling``."""
        from benchmark.mri.attacks.acquisition_tables import sampling

        return sampling(probes)


@attacks.register("shift")
class Shift(Acquisition):
    """Other masks, other accelerations, noise that training had not: how much worse is the image?

    Fields:
        measured: the conditions, each of ``mask`` and ``noise``.
    """

    source: ClassVar[str] = "Darestani, Chaudhari and Heckel 2021, arXiv:2102.06103, distribution shifts"
    tests: ClassVar[tuple[str, ...]] = ("shift",)

    measured: tuple[Condition, ...] = (
        Condition(mask=MaskSpec(kind="vd2d", fraction=0.54, seed=1)),
        Condition(mask=MaskSpec(kind="vd1d", fraction=0.54)),
        Condition(mask=MaskSpec(kind="radial", fraction=0.54)),
        Condition(mask=MaskSpec(kind="equispaced", fraction=0.5)),
        Condition(mask=MaskSpec(kind="vd2d", fraction=0.25)),
        Condition(mask=MaskSpec(kind="vd2d", fraction=0.54), noise=0.02),
        Condition(mask=MaskSpec(kind="vd2d", fraction=0.54), noise=0.08),
    )

    def conditions(self) -> tuple[Condition, ...]:
        """As given."""
        return self.measured

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """Table ``shift``."""
        from benchmark.mri.attacks.acquisition_tables import shift

        return shift(probes)
