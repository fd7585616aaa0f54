"""Perturbations of the measurement: the leaderboard's threat model for reconstruction (Genzel et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.accounts import Chapter
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.mri import EXTRA, MEASUREMENT
from benchmark.mri.attacks.words import MEASURED
from benchmark.reported import Extras, ProbeResults

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


class _Measurement(Attack):
    """Base: ||e|| <= eps ||y|| on the measured locations, for the largest error against the truth."""

    requires: ClassVar[tuple[str, ...]] = ("deepinv",)
    extra: ClassVar[str] = EXTRA
    accepts: ClassVar[tuple[str, ...]] = (MEASUREMENT,)
    says: ClassVar[Chapter] = MEASURED

    @property
    def threat(self) -> Threat:
        """L2 on the measurement, a share of its norm."""
        knowledge = "none" if self.control else "transfer" if self.reads else "white-box"
        return Threat(norm="l2", kind="fixed", knowledge=knowledge, domain="measurement", relative=True)


@attacks.register("measurement-l2")
class MeasurementL2(_Measurement):
    """Projected Adam on ||f(y + e) - x||^2 subject to ||e|| <= eps ||y||, the best of several starts for each image.

    Genzel, Macdonald and März 2022 (arXiv:2011.04268), section 3: the first start is the best perturbation of the next
    larger budget, projected; the others are random. A method that iterates until it converges is attacked through
    iterations that start from its solution (``Reconstructor.surrogate``), which is found again every ``refresh`` steps;
    what is kept is decided by the converged method. A missing or zero gradient is an error, never robustness.

    Fields:
        steps: of Adam, each start; a forward and a backward each.
        starts: restarts.
        step: length of the first steps, as a share of the budget; it falls to a tenth by a cosine.
        moment: second moment of Adam, of each ``"sample"`` or of each ``"coordinate"`` (as Genzel et al.); the first
            finds perturbations that gather in few locations, which the second misses.
        refresh: steps between two solutions of a method that iterates.

    The record holds ``param_steps``, ``param_starts``, ``param_gradient`` (norm of the first gradient of the error),
    ``param_gain`` (share of the error that the last quarter of the steps brought), ``param_used`` (share of the budget
    that was used) and ``param_start`` (which won).
    """

    version: ClassVar[int] = 1
    source: ClassVar[str] = "Genzel, Macdonald and März 2022, arXiv:2011.04268, section 3"
    cost: ClassVar[str] = "starts x (steps + 2) forwards, starts x steps backwards"
    descends: ClassVar[bool] = True
    random: ClassVar[bool] = True
    tests: ClassVar[tuple[str, ...]] = ("worst",)

    steps: int = Field(default=60, ge=1)
    starts: int = Field(default=2, ge=1)
    step: float = Field(default=0.25, gt=0)
    moment: Literal["sample", "coordinate"] = "sample"
    refresh: int = Field(default=20, ge=1)

    def reach(self, eps: float) -> float | None:
        """Steps times their mean length: it falls to a tenth by a cosine."""
        return self.steps * self.step * 0.55

    @classmethod
    def extras(cls, probes: Sequence[ProbeResults]) -> Extras:
        """Table ``attack_health``."""
        from benchmark.mri.attacks.health import health

        return health(probes)

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
        """See :meth:`Attack.run`; inputs are packed measurements, labels truths (N, 2, H, W).

        Raises:
            AttackError: no gradient, or one that is zero.
        """
        from benchmark.mri.attacks.ascent import worst_case

        larger = None if fitted is None else fitted.get("larger")
        return worst_case(
            model,
            inputs,
            labels,
            self.budget(eps),
            generator,
            larger,
            steps=self.steps,
            starts=self.starts,
            step=self.step,
            refresh=self.refresh,
            moment=self.moment,
            name=self.name,
        )


@attacks.register("measurement-transfer")
class MeasurementTransfer(_Measurement):
    """The worst of the perturbations that another probe (``of``) found on other entries (``sources``), projected."""

    source: ClassVar[str] = "the classical method attacked by what was found for networks, and the reverse"
    cost: ClassVar[str] = "a forward a source"
    reads: ClassVar[bool] = True
    tests: ClassVar[tuple[str, ...]] = ("transfer",)

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
        """See :meth:`Attack.run`; ``param_source`` is the position of the source that won."""
        from benchmark.mri.attacks.ascent import transferred

        return transferred(model, inputs, labels, self.budget(eps), fitted or {})


@attacks.register("measurement-noise")
class MeasurementNoise(_Measurement):
    """Complex Gaussian noise on the measured locations, of norm eps ||y|| exactly."""

    source: ClassVar[str] = "control: a random direction of the same norm"
    cost: ClassVar[str] = "none"
    control: ClassVar[bool] = True
    random: ClassVar[bool] = True
    tests: ClassVar[tuple[str, ...]] = ("random",)

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
        """See :meth:`Attack.run`."""
        from benchmark.mri.attacks.ascent import radius, random_direction
        from benchmark.mri.measurement import unpack

        measured = unpack(inputs)
        e = random_direction(measured, generator) * radius(measured, self.budget(eps))
        none = np.zeros(len(inputs), dtype=np.int64)
        return Perturbed(measured.with_y(measured.y + e).pack(), forwards=none, backwards=none)
