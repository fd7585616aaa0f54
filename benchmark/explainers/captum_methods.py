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

        from benchmark.explainers._captum import leaf

        found: torch.Tensor = attr.Saliency(model).attribute(leaf(inputs), target=targets, abs=False)
        return found.detach()


@explainers.register("input-x-gradient")
class InputXGradient(Explainer):
    """Input times gradient of the target's logit (Shrikumar et al. 2016)."""

    library: ClassVar[str] = "captum"
    source: ClassVar[str] = "Shrikumar et al. 2016 (captum)"

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits; a black pixel gets 0."""
        from captum import attr

        from benchmark.explainers._captum import leaf

        found: torch.Tensor = attr.InputXGradient(model).attribute(leaf(inputs), target=targets)
        return found.detach()


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

        from benchmark.explainers._captum import captum_quiet, leaf, rows_per_forward

        with captum_quiet():
            found: torch.Tensor = attr.IntegratedGradients(model).attribute(
                leaf(inputs),
                baselines=self.baseline,
                target=targets,
                n_steps=self.steps,
                internal_batch_size=max(len(inputs), rows_per_forward(inputs)),
            )
        return found.detach().to(inputs.dtype)


@explainers.register("smoothgrad")
class SmoothGrad(Explainer):
    """Mean gradient under Gaussian noise on the input (Smilkov et al. 2017, section 3), signed.

    The noise is drawn per sample (captum's NoiseTunnel draws for the batch), so the batch size does not matter.

    Args:
        samples: noisy copies of each input.
        noise: standard deviation in input units (the paper's sigma / (x_max - x_min), inputs being in [0, 1]).
    """

    random: ClassVar[bool] = True
    source: ClassVar[str] = "Smilkov et al. 2017 (own draws)"

    samples: int = Field(default=16, ge=1)
    noise: float = Field(default=0.15, gt=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits per input unit."""
        import torch

        from benchmark.explainers._captum import leaf

        total = torch.zeros_like(inputs, requires_grad=False)
        for _ in range(self.samples):
            x = leaf(inputs + self.noise * generator.normal(inputs.shape[1:]).to(inputs.device))
            chosen = model(x).gather(1, targets.view(-1, 1)).sum()
            total += torch.autograd.grad(chosen, x)[0]
        return total / self.samples


@explainers.register("gradcam")
class GradCam(Explainer):
    """Class activation map of a spatial layer (Selvaraju et al. 2017, eq. 1 and 2), bilinear on the suite's grid.

    The layer is the entry's ``gradcam_layer``, else the last one whose output is larger than 1x1. The map is the same
    in every channel.

    Args:
        relu: keep positive evidence only, as the paper's eq. 2 does; False gives a signed map.
    """

    library: ClassVar[str] = "captum"
    source: ClassVar[str] = "Selvaraju et al. 2017 (captum)"

    relu: bool = True

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where no layer has a spatial output after a convolution."""
        if model is None:
            return None
        from benchmark.explainers._captum import find_gradcam_layer, network_input

        black = network_input(model, entry)
        if black is None or find_gradcam_layer(model, black) is not None:
            return None
        return "gradcam needs a convolutional layer with an output larger than 1x1; this network has none"

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W).

        Raises:
            ExplainerError: the network has no such layer, or the entry's name is not in it.
        """
        from captum import attr
        from torch.nn import functional as F

        from benchmark.errors import ExplainerError
        from benchmark.explainers._captum import captum_quiet, find_gradcam_layer, leaf

        layer = find_gradcam_layer(model, model.prepared(inputs[:1]).detach())
        if layer is None:
            raise ExplainerError(
                "gradcam: the network has no convolutional layer with an output larger than 1x1;"
                " name one as `gradcam_layer` in entry.toml, or leave gradcam out for this entry"
            )
        with captum_quiet():
            cam = attr.LayerGradCam(model, layer[1]).attribute(
                leaf(inputs), target=targets, relu_attributions=self.relu
            )
        if cam.ndim != 4:
            raise ExplainerError(f"gradcam: layer {layer[0]!r} is not spatial: its map has shape {tuple(cam.shape)}")
        size = tuple(inputs.shape[2:])
        return F.interpolate(cam.detach(), size=size, mode="bilinear", align_corners=False).expand(inputs.shape).clone()


@explainers.register("occlusion")
class Occlusion(Explainer):
    """Drop of the target's logit when a window is replaced by the baseline (Zeiler and Fergus 2014, section 4.3).

    Where windows overlap their drops are averaged.

    Args:
        window: side of the square window in pixels; default: a quarter of the image's shorter side.
        stride: step of the window; default: half the window.
        baseline: value of occluded pixels, in input units.
    """

    library: ClassVar[str] = "captum"
    source: ClassVar[str] = "Zeiler and Fergus 2014 (captum)"

    window: int | None = Field(default=None, ge=1)
    stride: int | None = Field(default=None, ge=1)
    baseline: float = 0.0

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits; all channels of a window are occluded together."""
        import torch
        from captum import attr

        from benchmark.explainers._captum import rows_per_forward

        channels, height, width = inputs.shape[1:]
        window = min(self.window or max(1, min(height, width) // 4), height, width)
        stride = min(self.stride or max(1, window // 2), window)
        with torch.no_grad():
            found: torch.Tensor = attr.Occlusion(model).attribute(
                inputs.detach(),
                sliding_window_shapes=(channels, window, window),
                strides=(channels, stride, stride),
                baselines=self.baseline,
                target=targets,
                perturbations_per_eval=max(1, rows_per_forward(inputs) // len(inputs)),
            )
        return found.to(inputs.dtype)


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

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits.

        Raises:
            ExplainerError: captum refuses the network, or the completeness check fails.
        """
        from benchmark.explainers._captum import deeplift

        return deeplift(model, inputs, targets, self.baseline, self.tolerance)
