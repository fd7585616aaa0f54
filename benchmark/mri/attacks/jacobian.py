"""Largest singular value of a reconstruction's Jacobian: how far the smallest perturbations are amplified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray
from pydantic import Field

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.mri import EXTRA, MEASUREMENT
from benchmark.reported import Column, Values

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@attacks.register("jacobian")
class Jacobian(Attack):
    """Power iteration on J^T J at the clean measurement, over the measured locations; nothing is perturbed.

    Every iterate is a lower bound of the largest singular value; ``param_sigma`` is the last one, ``param_sigma_gain``
    the share by which the last iteration still raised it. A method that iterates is differentiated through iterations
    from its solution.

    Fields:
        iterations: a product with J (two forwards) and one with J^T (a backward) each.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "power iteration on J^T J (Golub and Van Loan, section 8.2); a lower bound"
    cost: ClassVar[str] = "1 + 2 x iterations forwards, iterations backwards"
    requires: ClassVar[tuple[str, ...]] = ("deepinv",)
    extra: ClassVar[str] = EXTRA
    accepts: ClassVar[tuple[str, ...]] = (MEASUREMENT,)
    random: ClassVar[bool] = True

    iterations: int = Field(default=10, ge=1)

    @property
    def threat(self) -> Threat:
        """Nothing is perturbed."""
        return Threat(norm="none", kind="none", domain="measurement")

    def columns(self) -> tuple[Column, ...]:
        """``sigma_lower_bound_<probe>``: mean over images."""
        return (Column("sigma_lower_bound", "mean", Values("param_sigma"), higher_is_better=False),)

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
        """See :meth:`Attack.run`; returns the inputs as they are."""
        from benchmark.mri.attacks.power_iteration import largest_singular_value

        sigma, gain = largest_singular_value(model, inputs, generator, self.iterations)
        return Perturbed(inputs, {"sigma": sigma.cpu().numpy(), "sigma_gain": gain.cpu().numpy()})
