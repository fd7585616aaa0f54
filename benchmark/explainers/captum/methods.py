"""Gradient and perturbation methods through captum, at the suite's grid: the model's preprocessing is inside.

Every attribution is signed and belongs to the target's logit (not its probability). Baselines are in input units:
0 is black.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from benchmark.explainers.base import Explainer, explainers

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@explainers.register("saliency")
class Saliency(Explainer):
    """Gradient of the target's logit, signed (Simonyan et al. 2014, section 3, without the absolute value)."""

    library: ClassVar[str] = "captum"
    source: ClassVar[str] = "Simonyan et al. 2014 (captum)"

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W): d logit / d input, in logits per input unit."""
        from captum import attr

        from benchmark.explainers.captum.gradients import leaf

        attributions: torch.Tensor = attr.Saliency(model).attribute(leaf(inputs), target=targets, abs=False)
        return attributions.detach()


@explainers.register("input-x-gradient")
class InputXGradient(Explainer):
    """Input times gradient of the target's logit (Shrikumar et al. 2016)."""

    library: ClassVar[str] = "captum"
    source: ClassVar[str] = "Shrikumar et al. 2016 (captum)"

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits; a black pixel gets 0."""
        from captum import attr

        from benchmark.explainers.captum.gradients import leaf

        attributions: torch.Tensor = attr.InputXGradient(model).attribute(leaf(inputs), target=targets)
        return attributions.detach()


@explainers.register("integrated-gradients")
class IntegratedGradients(Explainer):
    """Path integral of the gradient from a baseline (Sundararajan et al. 2017, eq. 1), Gauss-Legendre quadrature.

    Args:
        steps: points of the quadrature.
        baseline: start of the path, in input units.
    """

    library: ClassVar[str] = "captum"
    source: ClassVar[str] = "Sundararajan et al. 2017 (captum)"

    steps: int = Field(default=32, ge=1)
    baseline: float = 0.0

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits; sums to the change of the logit from the baseline, up to the quadrature's error."""
        from captum import attr

        from benchmark.explainers.captum.gradients import captum_quiet, leaf, rows_per_forward

        with captum_quiet():
            attributions: torch.Tensor = attr.IntegratedGradients(model).attribute(
                leaf(inputs),
                baselines=self.baseline,
                target=targets,
                n_steps=self.steps,
                internal_batch_size=max(len(inputs), rows_per_forward(inputs)),
            )
        return attributions.detach().to(inputs.dtype)


@explainers.register("occlusion")
class Occlusion(Explainer):
    """Drop of the target's logit when a window is replaced by the baseline (Zeiler and Fergus 2014, section 4.3).

    Where windows overlap their drops are averaged.

    Args:
        window: side of the square window in pixels; default: a quarter of the image's shorter side.
        stride: step of the window; default: half the window.
        baseline: value of occluded pixels, in input units.
    """

    needs_gradient: ClassVar[bool] = False
    library: ClassVar[str] = "captum"
    source: ClassVar[str] = "Zeiler and Fergus 2014 (captum)"

    window: int | None = Field(default=None, ge=1)
    stride: int | None = Field(default=None, ge=1)
    baseline: float = 0.0

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits; all channels of a window are occluded together."""
        import torch
        from captum import attr

        from benchmark.explainers.captum.gradients import rows_per_forward

        channels, height, width = inputs.shape[1:]
        window = min(self.window or max(1, min(height, width) // 4), height, width)
        stride = min(self.stride or max(1, window // 2), window)
        with torch.no_grad():
            attributions: torch.Tensor = attr.Occlusion(model).attribute(
                inputs.detach(),
                sliding_window_shapes=(channels, window, window),
                strides=(channels, stride, stride),
                baselines=self.baseline,
                target=targets,
                perturbations_per_eval=max(1, rows_per_forward(inputs) // len(inputs)),
            )
        return attributions.to(inputs.dtype)


@explainers.register("deeplift")
class DeepLift(Explainer):
    """Rescale rule against a baseline (Shrikumar et al. 2017, eq. 1), refused where it is not complete.

    Args:
        baseline: the reference input, in input units.
        tolerance: allowed completeness error, as a share of the largest change among the sample's logits.
    """

    library: ClassVar[str] = "captum"
    source: ClassVar[str] = "Shrikumar et al. 2017 (captum)"

    baseline: float = 0.0
    tolerance: float = Field(default=0.01, gt=0)

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where captum refuses the network, or completeness fails on seeded noise."""
        if model is None:
            return None
        from benchmark.explainers.captum.gradients import incomplete

        return incomplete(model, entry, (self.baseline,), self.tolerance)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits.

        Raises:
            RefusedError: captum refuses the network, or the completeness check fails.
        """
        from benchmark.explainers.captum.gradients import deeplift

        return deeplift(model, inputs, targets, self.baseline, self.tolerance)


@explainers.register("deeplift-shap")
class DeepLiftShap(Explainer):
    """Mean of DeepLift over several references (Lundberg and Lee 2017, section 4.2), refused where one is not complete.

    The references are flat images, so that neither other samples nor draws change a sample's attribution.

    Args:
        baselines: values of the reference images, in input units.
        tolerance: allowed completeness error, as in ``deeplift``.
    """

    library: ClassVar[str] = "captum"
    source: ClassVar[str] = "Lundberg and Lee 2017 (captum's DeepLift)"

    baselines: tuple[float, ...] = Field(default=(0.0, 0.5, 1.0), min_length=1)
    tolerance: float = Field(default=0.01, gt=0)

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where captum refuses the network, or completeness fails on seeded noise."""
        if model is None:
            return None
        from benchmark.explainers.captum.gradients import incomplete

        return incomplete(model, entry, self.baselines, self.tolerance)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits; sums to the logit less its mean over the references.

        Raises:
            RefusedError: captum refuses the network, or the completeness check fails.
        """
        import torch

        from benchmark.explainers.captum.gradients import deeplift

        attributions = [deeplift(model, inputs, targets, baseline, self.tolerance) for baseline in self.baselines]
        return torch.stack(attributions).mean(0)
