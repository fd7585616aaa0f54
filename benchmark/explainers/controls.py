"""Controls: attributions that know nothing of the model. A method that does not beat them explains nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from benchmark.explainers.base import Explainer, explainers
from benchmark.inputs import ANYTHING

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@explainers.register("random")
class RandomAttribution(Explainer):
    """Uniform numbers in [-1, 1), drawn per sample; every call draws afresh."""

    control: ClassVar[bool] = True
    accepts: ClassVar[tuple[str, ...]] = ANYTHING
    random: ClassVar[bool] = True
    blind: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False
    source: ClassVar[str] = "control: uniform noise"

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """Uniform numbers in [-1, 1), of the inputs' shape."""
        return generator.uniform(inputs.shape[1:], -1.0, 1.0).to(inputs.device)


@explainers.register("sobel")
class Sobel(Explainer):
    """Magnitude of the Sobel gradient of the luminance (an edge filter; Adebayo et al. 2018, section 3).

    The image border is replicated; the same non-negative map stands in every channel.
    """

    control: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False
    source: ClassVar[str] = "control: edge filter (Adebayo et al. 2018)"

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), sqrt(gx^2 + gy^2) of the luminance."""
        import torch
        from torch.nn import functional as F

        from benchmark.models.wrap import LUMINANCE

        channels = inputs.shape[1]
        weights = inputs.new_tensor(LUMINANCE if channels == 3 else [1 / channels] * channels)
        grey = (inputs.detach() * weights.view(1, -1, 1, 1)).sum(1, keepdim=True)
        across = inputs.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        kernels = torch.stack([across, across.T])[:, None]
        edges = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels)
        magnitude: torch.Tensor = edges.square().sum(1, keepdim=True).sqrt()
        return magnitude.expand(inputs.shape).clone()


@explainers.register("constant")
class Constant(Explainer):
    """One everywhere: optimal for every stability metric, undefined for every metric that ranks inputs."""

    control: ClassVar[bool] = True
    accepts: ClassVar[tuple[str, ...]] = ANYTHING
    needs_gradient: ClassVar[bool] = False
    source: ClassVar[str] = "control: constant"

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """Ones, float32, of the inputs' shape."""
        import torch

        return torch.ones_like(inputs, dtype=torch.float32, requires_grad=False)


@explainers.register("untrained")
class Untrained(Explainer):
    """What another explainer says of the same network before training (Adebayo et al. 2018, section 3).

    All parameters of a copy are drawn anew from one seed, as its layers' own ``reset_parameters`` do; parameters of a
    module that has none become normal numbers of the trained ones' standard deviation. The model itself is not touched.

    Args:
        of: the explainer.
        of_params: its parameters.
        seed: of the new parameters.
    """

    control: ClassVar[bool] = True
    source: ClassVar[str] = "control: untrained copy (Adebayo et al. 2018)"

    of: str = "saliency"
    of_params: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0

    @property
    def enlarges(self) -> bool:  # type: ignore[override]
        """As the explainer does."""
        return self._explainer().enlarges

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """The explainer's reason."""
        return self._explainer().skip(model, entry, dataset)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in the explainer's units.

        Raises:
            UnknownNameError, SpecError: no such explainer, or parameters that do not fit it.
            ExplainerError: the explainer's own, or the network has no parameters.
        """
        from benchmark.models.untrained import untrained_copy

        return self._explainer().explain(untrained_copy(model, self.seed), inputs, targets, generator=generator)

    def _explainer(self) -> Explainer:
        return explainers.make(self.of, self.of_params, f"explainer {self.name!r}, of = {self.of!r}")
