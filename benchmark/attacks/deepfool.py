"""DeepFool, batched: Moosavi-Dezfooli, Fawzi, Frossard 2016 (arXiv:1511.04599), algorithm 2, l2."""

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


@attacks.register("deepfool")
class DeepFool(Attack):
    """Steps to the nearest linearised class boundary until the label changes; a minimal-norm l2 attack.

    Variant ``"foolbox"`` is that of foolbox 3.3's ``L2DeepFoolAttack``, equal in success and norm: the reference class
    is the clean prediction, candidates are the most likely classes of the clean input, the overshoot applies once to
    the summed perturbation, each step is 1e-4 longer (in l2), and every iterate is clipped to [0, 1]. The paper has
    neither the clipping, nor the 1e-4, nor the limit on candidates.

    Fields:
        steps: most steps a sample.
        candidates: how many of the most likely classes are considered, the predicted one included.
        overshoot: how far to go past the boundary, as a share of the summed perturbation.
    """

    source: ClassVar[str] = "DeepFool (arXiv:1511.04599, Alg. 2), l2, foolbox's variant"

    variant: Literal["foolbox"] = "foolbox"
    steps: int = Field(default=50, ge=1)
    candidates: int = Field(default=10, ge=2)
    overshoot: float = Field(default=0.02, ge=0)

    @property
    def threat(self) -> Threat:
        """L2, minimal norm, white box."""
        return Threat(norm="l2", kind="minimal")

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
        """See :meth:`Attack.run`; deterministic, and the batch size does not matter.

        Raises:
            AttackError: the model has fewer than two logits.
        """
        from benchmark.attacks._deepfool import deepfool

        return deepfool(model, inputs, labels, steps=self.steps, candidates=self.candidates, overshoot=self.overshoot)
