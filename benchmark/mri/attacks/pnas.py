"""Perturbations of the image, as Antun et al. 2020 made them for networks; an own threat model with own columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from numpy.typing import NDArray
from pydantic import Field

from benchmark.accounts import Chapter
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.mri import EXTRA, MEASUREMENT
from benchmark.mri.attacks.words import MEASURED
from benchmark.reported import Column, Values

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@attacks.register("pnas")
class Pnas(Attack):
    """Gradient ascent with momentum on Q(r) = 1/2 ||f(y + A r) - p||^2 - lam/2 ||r||^2, r in the image.

    Antun, Renna, Poon, Adcock and Hansen 2020 (PNAS 117:30088), equations 3 to 5: v <- momentum v + step grad Q,
    r <- r + v, from r = tau U[0, 1). Q is unbounded where lam is small against the square of the amplification: a
    sample stops where ||r|| reaches eps ||x||, and stays on that ball. A missing or zero gradient is an error. The
    published step lengths belong to an FFT that is not unitary.

    Judged against x + r, and by ``amp`` = ||f(A(x + r)) - f(A x)|| / ||r||, where 1 is no fault.

    Fields:
        towards: p, what the output is driven away from: the clean ``"reconstruction"`` f(A x), or the ``"truth"`` x.
        lam, step, momentum, tau: as above.
        steps: a forward and a backward each.
        refresh: steps between two solutions of a method that iterates.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Antun et al. 2020, PNAS 117:30088, equations 3 to 5"
    cost: ClassVar[str] = "steps forwards, steps backwards"
    requires: ClassVar[tuple[str, ...]] = ("deepinv",)
    extra: ClassVar[str] = EXTRA
    accepts: ClassVar[tuple[str, ...]] = (MEASUREMENT,)
    random: ClassVar[bool] = True
    tests: ClassVar[tuple[str, ...]] = ("image",)
    says: ClassVar[Chapter] = MEASURED

    towards: Literal["reconstruction", "truth"] = "reconstruction"
    lam: float = Field(default=0.1, ge=0)
    step: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    tau: float = Field(default=1e-3, gt=0)
    steps: int = Field(default=60, ge=1)
    refresh: int = Field(default=20, ge=1)

    @property
    def threat(self) -> Threat:
        """L2 on the image, a share of its norm."""
        return Threat(norm="l2", kind="fixed", domain="image", relative=True)

    def columns(self) -> tuple[Column, ...]:
        """``amp_<probe>_<eps>``, ``rel_err_<probe>_<eps>`` (against x + r), ``size_<probe>_<eps>`` (||r|| / ||x||)."""
        return (
            Column("amp", "mean", Values("amp"), higher_is_better=False),
            Column("rel_err", "mean", Values("rel_err"), higher_is_better=False),
            Column("size", "mean", Values("param_size"), shown=False),
        )

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
        """See :meth:`Attack.run`; inputs are packed measurements, labels truths (N, 2, H, W)."""
        from benchmark.mri.attacks.pnas_ascent import ascend_in_image

        return ascend_in_image(
            model,
            inputs,
            labels,
            self.budget(eps),
            generator,
            towards=self.towards,
            lam=self.lam,
            step=self.step,
            momentum=self.momentum,
            tau=self.tau,
            steps=self.steps,
            refresh=self.refresh,
            name=self.name,
        )
