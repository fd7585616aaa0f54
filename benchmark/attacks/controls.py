"""Controls: perturbations that know nothing of the model. A real attack must beat them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.errors import AttackError
from benchmark.inputs import ANYTHING

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


class Noise(Attack):
    """Random noise of the attack's norm, then clipped to [0, 1]; saturated pixels therefore lose some of it.

    Fields:
        draws: with more than one, the draw with the smallest classification margin is kept (a forward each).
    """

    control: ClassVar[bool] = True
    random: ClassVar[bool] = True

    draws: int = Field(default=1, ge=1)

    @abstractmethod
    def noise(self, generator: Draws, shape: tuple[int, ...]) -> torch.Tensor:
        """One draw of norm 1, float32 (N, *shape) on the CPU."""

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
            AttackError: no budget, or ``draws`` above 1 for labels that are not classes.
        """
        import torch

        eps = self.budget(eps)
        if self.draws > 1 and labels.is_floating_point():
            raise AttackError(f"attack {self.name!r}: draws = {self.draws} needs class labels; use draws = 1")
        best, lowest = inputs, None
        for _ in range(self.draws):
            noise = self.noise(generator, tuple(inputs.shape[1:])).to(inputs.device)
            candidate = (inputs + eps * noise).clamp(0, 1)
            if self.draws == 1:
                best = candidate
                continue
            with torch.no_grad():
                margin = margins(model(candidate), labels)
            if lowest is None:
                best, lowest = candidate, margin
                continue
            worse = margin < lowest
            best = torch.where(worse.view(-1, 1, 1, 1), candidate, best)
            lowest = torch.where(worse, margin, lowest)
        calls = np.full(len(inputs), self.draws if self.draws > 1 else 0, dtype=np.int64)
        return Perturbed(best, forwards=calls, backwards=np.zeros_like(calls))


def margins(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """True logit minus the best other logit, (N,); negative where the prediction is wrong, 0 at a tie.

    Args:
        logits: (N, K), K >= 2.
        labels: (N,) int64 in [0, K).
    """
    import torch

    own = labels.view(-1, 1)
    return logits.gather(1, own).squeeze(1) - logits.scatter(1, own, -torch.inf).amax(1)


@attacks.register("noise-linf")
class NoiseLinf(Noise):
    """Every element moves by eps with a random sign: a corner of the linf ball, before clipping to [0, 1]."""

    source: ClassVar[str] = "control: random sign of the same linf norm"
    cost: ClassVar[str] = "none; a forward a draw where draws > 1"

    @property
    def threat(self) -> Threat:
        """Linf, fixed budget, knows nothing."""
        return Threat(norm="linf", kind="fixed", knowledge="none")

    def noise(self, generator: Draws, shape: tuple[int, ...]) -> torch.Tensor:
        """Random signs, (N, *shape)."""
        return generator.integers(shape, 0, 2).float() * 2 - 1


@attacks.register("noise-l2")
class NoiseL2(Noise):
    """A step of length eps in a direction uniform on the sphere (a normalised Gaussian), before clipping to [0, 1]."""

    source: ClassVar[str] = "control: random direction of the same l2 norm"
    cost: ClassVar[str] = "none; a forward a draw where draws > 1"

    @property
    def threat(self) -> Threat:
        """L2, fixed budget, knows nothing."""
        return Threat(norm="l2", kind="fixed", knowledge="none")

    def noise(self, generator: Draws, shape: tuple[int, ...]) -> torch.Tensor:
        """Random directions of l2 norm 1, (N, *shape)."""
        flat = generator.normal(shape).double().flatten(1)
        length: torch.Tensor = flat.square().sum(1, keepdim=True).sqrt()
        return (flat / length).float().view(-1, *shape)


@attacks.register("identity")
class Identity(Attack):
    """Returns the clean inputs: what it breaks was broken before. Any budget is ignored."""

    source: ClassVar[str] = "control: no perturbation"
    cost: ClassVar[str] = "none"
    control: ClassVar[bool] = True
    accepts: ClassVar[tuple[str, ...]] = ANYTHING

    @property
    def threat(self) -> Threat:
        """Linf (the distance is 0), no budget."""
        return Threat(norm="linf", kind="none", knowledge="none")

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
        none = np.zeros(len(inputs), dtype=np.int64)
        return Perturbed(inputs, forwards=none, backwards=none)
