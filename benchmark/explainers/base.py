"""What an explainer is: it gives each input element a relevance for a target class."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from benchmark.inputs import IMAGE
from benchmark.registry import Plugin, Registry

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


class Explainer(Plugin):
    """Base of all explainers.

    Class attributes:
        accepts: kinds of inputs that it explains (:mod:`benchmark.inputs`).
        control: True for a control (random, edge filter).
        needs_gradient: True where it differentiates the network: it is skipped where there is no gradient.
        blind: True for a control that sees neither model nor input: it has nothing to keep, and is never stable.
        random: True where the attribution depends on drawn numbers.
        enlarges: True where it scales the map of an inner layer up to the input.
    """

    accepts: ClassVar[tuple[str, ...]] = (IMAGE,)
    control: ClassVar[bool] = False
    needs_gradient: ClassVar[bool] = True
    random: ClassVar[bool] = False
    blind: ClassVar[bool] = False
    enlarges: ClassVar[bool] = False

    @abstractmethod
    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """Attributions of a batch.

        Args:
            model: in eval mode, parameters frozen.
            inputs: (N, ...), of a kind that it ``accepts``: images float32 (N, C, H, W) in [0, 1] on the suite's grid.
            targets: (N,) int64 class to explain.
            generator: per-sample random numbers.

        Returns:
            float32 of the inputs' shape, signed, detached.

        Raises:
            ExplainerError: the method fails its own check (such as completeness).
        """


explainers: Registry[Explainer] = Registry("explainer", "benchmark.explainers")
