"""Backpropagation with another rule at the ReLUs.

The rule is put in place of every ReLU that runs, a module's or a function's, in place or not, used once or often:
captum's and zennit's hooks see modules only, and silently give the plain gradient for ``F.relu``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from benchmark.explainers.base import Explainer, explainers

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


class ReluExplainer(Explainer):
    """What changes ReLUs says so where there is none."""

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where the network runs no ReLU, hides some, or has other activations too."""
        if model is None:
            return None
        from benchmark.explainers.gradient.relu_rules import unfit

        return unfit(model, entry, self.name)


@explainers.register("guided-backprop")
class GuidedBackprop(ReluExplainer):
    """Gradient that passes a ReLU only where input and gradient are positive (Springenberg et al. 2015, section 3.4).

    It recovers the image more than the reason (Adebayo et al. 2018): look at its randomisation scores.
    """

    source: ClassVar[str] = "Springenberg et al. 2015 (own code, as captum's GuidedBackprop)"

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), signed.

        Raises:
            RefusedError: the network runs no ReLU (this would be the plain gradient), hides some, or has others too.
        """
        from benchmark.explainers.gradient.relu_rules import guided, modified_gradient

        return modified_gradient(model, inputs, targets, guided, self.name)


@explainers.register("deconvolution")
class Deconvolution(ReluExplainer):
    """Gradient that passes a ReLU where it is positive, whatever the input was (Zeiler and Fergus 2014, section 2)."""

    source: ClassVar[str] = "Zeiler and Fergus 2014 (own code, as captum's Deconvolution)"

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), signed.

        Raises:
            RefusedError: the network runs no ReLU (this would be the plain gradient), hides some, or has others too.
        """
        from benchmark.explainers.gradient.relu_rules import deconvolution, modified_gradient

        return modified_gradient(model, inputs, targets, deconvolution, self.name)


@explainers.register("beta-smooth")
class BetaSmooth(ReluExplainer):
    """Gradient with the derivative of softplus(beta x) / beta at every ReLU (Dombrowski et al. 2019, section 3.3).

    The forward pass keeps its ReLUs, as in zennit's BetaSmooth.

    Args:
        beta: sharpness; large ones give the plain gradient.
    """

    source: ClassVar[str] = "Dombrowski et al. 2019 (own code, as zennit's BetaSmooth)"

    beta: float = Field(default=10.0, gt=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), signed.

        Raises:
            RefusedError: the network runs no ReLU (this would be the plain gradient), hides some, or has others too.
        """
        from benchmark.explainers.gradient.relu_rules import modified_gradient, smooth

        return modified_gradient(model, inputs, targets, smooth(self.beta), self.name)
