"""Class activation maps of a spatial layer.

All of them look at the entry's ``gradcam_layer``, else the last layer whose output is larger than 1x1, are bilinear on
the suite's grid, and have the same values in every channel. With A the layer's output (K maps) and g the gradient of
the target's logit in it, they differ in how maps are weighted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from benchmark.explainers.base import Explainer, explainers

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


class SpatialExplainer(Explainer):
    """What needs a spatial layer says so where there is none."""

    enlarges: ClassVar[bool] = True

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where no layer has a spatial output, or the network does not say which axes are spatial."""
        if model is None:
            return None
        from benchmark.explainers.cam.maps import no_layer

        return no_layer(model, entry, self.name)


@explainers.register("gradcam")
class GradCam(SpatialExplainer):
    """Class activation map of a spatial layer (Selvaraju et al. 2017, eq. 1 and 2), bilinear on the suite's grid.

    The layer is the entry's ``gradcam_layer``, else the last one whose output is larger than 1x1. The map is the same
    in every channel.

    Args:
        relu: keep positive evidence only, as the paper's eq. 2 does; False gives a signed map.
    """

    library: ClassVar[str] = "captum"
    source: ClassVar[str] = "Selvaraju et al. 2017 (captum)"

    relu: bool = True

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W).

        Raises:
            RefusedError: the network has no such layer, or does not say how it lies.
        """
        from captum import attr

        from benchmark.explainers.cam.maps import activations_and_gradients, gradcam, on_grid, spatial_layer
        from benchmark.explainers.captum.gradients import captum_quiet, leaf
        from benchmark.models.watch import eager_mode

        layer = spatial_layer(model, inputs, self.name)
        if layer.layout != "channels-first":  # captum knows that one alone
            maps = gradcam(*activations_and_gradients(model, inputs, targets, self.name))
            return on_grid(maps.relu() if self.relu else maps, inputs)
        with captum_quiet(), eager_mode():
            cam = attr.LayerGradCam(model, layer.module).attribute(
                leaf(inputs), target=targets, relu_attributions=self.relu
            )
        return on_grid(cam, inputs)


@explainers.register("gradcam-plus-plus")
class GradCamPlusPlus(SpatialExplainer):
    """GradCAM++ (Chattopadhay et al. 2018, eq. 5, 6 and 19): weights by pixels with a positive gradient.

    Args:
        relu: keep positive evidence only, as the paper does; False gives a signed map.
    """

    source: ClassVar[str] = "Chattopadhay et al. 2018 (own code)"

    relu: bool = True

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W).

        Raises:
            RefusedError: the network has no such layer, or does not say how it lies.
        """
        from benchmark.explainers.cam.maps import activations_and_gradients, gradcam_plus_plus, on_grid

        maps = gradcam_plus_plus(*activations_and_gradients(model, inputs, targets, self.name))
        return on_grid(maps.relu() if self.relu else maps, inputs)


@explainers.register("layercam")
class LayerCam(SpatialExplainer):
    """LayerCAM (Jiang et al. 2021, eq. 6 and 7): sum over maps of relu(g) A, element by element.

    Args:
        relu: keep positive evidence only, as the paper does; it is all positive where A follows a ReLU.
    """

    source: ClassVar[str] = "Jiang et al. 2021 (own code)"

    relu: bool = True

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W).

        Raises:
            RefusedError: the network has no such layer, or does not say how it lies.
        """
        from benchmark.explainers.cam.maps import activations_and_gradients, on_grid

        activations, gradients = activations_and_gradients(model, inputs, targets, self.name)
        maps = (gradients.relu() * activations).sum(1, keepdim=True)
        return on_grid(maps.relu() if self.relu else maps, inputs)


@explainers.register("hirescam")
class HiResCam(SpatialExplainer):
    """HiResCAM (Draelos and Carin 2020, section 3): sum over maps of g A, element by element; signed.

    Where a linear head follows the layer its sum over the layer's grid is the logit less the head's bias.

    Args:
        relu: keep positive evidence only.
    """

    source: ClassVar[str] = "Draelos and Carin 2020 (own code)"

    relu: bool = False

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W).

        Raises:
            RefusedError: the network has no such layer, or does not say how it lies.
        """
        from benchmark.explainers.cam.maps import activations_and_gradients, on_grid

        activations, gradients = activations_and_gradients(model, inputs, targets, self.name)
        maps = (gradients * activations).sum(1, keepdim=True)
        return on_grid(maps.relu() if self.relu else maps, inputs)


@explainers.register("guided-gradcam")
class GuidedGradCam(SpatialExplainer):
    """Guided backpropagation times GradCAM's map (Selvaraju et al. 2017, section 3.2)."""

    source: ClassVar[str] = "Selvaraju et al. 2017 (own code, as captum's GuidedGradCam)"

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where no layer has a spatial output after a convolution, or the network runs no ReLU."""
        reason = super().skip(model, entry, dataset)
        if model is None or reason:
            return reason
        from benchmark.explainers.gradient.relu_rules import unfit

        return unfit(model, entry, self.name)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W).

        Raises:
            RefusedError: the network has no spatial layer, or no ReLU that guided backpropagation could change.
        """
        from benchmark.explainers.cam.maps import spatial_layer
        from benchmark.explainers.gradient.relu_rules import guided, modified_gradient

        spatial_layer(model, inputs, self.name)
        cam = GradCam(relu=True).explain(model, inputs, targets, generator=generator)
        return cam * modified_gradient(model, inputs, targets, guided, self.name)
