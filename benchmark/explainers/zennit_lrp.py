"""Layer-wise relevance propagation through zennit's composites and canonizers.

Relevance starts at the target's logit and ends at the **normalised** input, where it equals the bare network's: the
entry's mean and std pass it through unchanged, its resize, luminance and repeat conserve its sum. The box rule's bounds
are 0 and 1 normalised. Residual sums are handled in torchvision's ResNet blocks; a sum written in a network's own
``forward`` gives each branch the whole relevance (zennit cannot see it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from benchmark.explainers.base import Explainer, explainers

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

FLAT_REASON = (
    "the flat rule in a fully connected first layer gives every input the same relevance;"
    " use lrp-epsilon or lrp-epsilon-gamma-box for networks without convolutions"
)


@explainers.register("lrp-epsilon")
class LrpEpsilon(Explainer):
    """Epsilon rule in every layer (Bach et al. 2015, eq. 58).

    With a small epsilon, ReLUs and an entry without mean and std this is input-x-gradient: listing both lists one thing
    twice. A larger epsilon absorbs weak contributions.

    Args:
        epsilon: the stabiliser, in units of the activations.
    """

    library: ClassVar[str] = "zennit"
    source: ClassVar[str] = "Bach et al. 2015 (zennit)"

    epsilon: float = Field(default=1e-6, gt=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits; sums to the logit less what the biases take."""
        from benchmark.explainers import _lrp

        return _lrp.relevance(model, inputs, targets, _lrp.epsilon(self.epsilon))


@explainers.register("lrp-epsilon-plus")
class LrpEpsilonPlus(Explainer):
    """z+ rule in convolutions, epsilon in fully connected layers (Montavon et al. 2019, section 10.3).

    Without convolutions it is lrp-epsilon.

    Args:
        epsilon: the stabiliser of fully connected layers.
    """

    library: ClassVar[str] = "zennit"
    source: ClassVar[str] = "Montavon et al. 2019 (zennit EpsilonPlus)"

    epsilon: float = Field(default=1e-6, gt=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits."""
        from benchmark.explainers import _lrp

        return _lrp.relevance(model, inputs, targets, _lrp.epsilon_plus(self.epsilon))


class FlatFirst(Explainer):
    """LRP whose flat rule in the first layer needs that layer to be a convolution."""

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where the first layer is fully connected."""
        if model is None:
            return None
        from torch import nn

        from benchmark.explainers import _lrp

        return FLAT_REASON if isinstance(_lrp.first_linear(model.core), nn.Linear) else None

    def refuse(self, model: Model) -> None:
        """Raise ExplainerError where it does not apply."""
        from benchmark.errors import ExplainerError

        if reason := self.skip(model, None, None):
            raise ExplainerError(f"{self.name}: {reason}")


@explainers.register("lrp-epsilon-plus-flat")
class LrpEpsilonPlusFlat(FlatFirst):
    """Flat rule in the first layer, z+ in convolutions, epsilon in fully connected layers (Montavon et al. 2019).

    Args:
        epsilon: the stabiliser of fully connected layers.
    """

    library: ClassVar[str] = "zennit"
    source: ClassVar[str] = "Montavon et al. 2019 (zennit EpsilonPlusFlat)"

    epsilon: float = Field(default=1e-6, gt=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits.

        Raises:
            ExplainerError: the network begins with a fully connected layer.
        """
        from benchmark.explainers import _lrp

        self.refuse(model)
        return _lrp.relevance(model, inputs, targets, _lrp.epsilon_plus_flat(self.epsilon))


@explainers.register("lrp-epsilon-alpha2-beta1")
class LrpEpsilonAlpha2Beta1(Explainer):
    """Alpha-beta rule (2, 1) in convolutions, epsilon in fully connected layers (Bach et al. 2015, eq. 60).

    Args:
        epsilon: the stabiliser of fully connected layers.
    """

    library: ClassVar[str] = "zennit"
    source: ClassVar[str] = "Bach et al. 2015 (zennit EpsilonAlpha2Beta1)"

    epsilon: float = Field(default=1e-6, gt=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits."""
        from benchmark.explainers import _lrp

        return _lrp.relevance(model, inputs, targets, _lrp.epsilon_alpha2_beta1(self.epsilon))


@explainers.register("lrp-epsilon-alpha2-beta1-flat")
class LrpEpsilonAlpha2Beta1Flat(FlatFirst):
    """Flat rule in the first layer, alpha-beta (2, 1) in convolutions, epsilon in fully connected layers.

    Args:
        epsilon: the stabiliser of fully connected layers.
    """

    library: ClassVar[str] = "zennit"
    source: ClassVar[str] = "Bach et al. 2015 (zennit EpsilonAlpha2Beta1Flat)"

    epsilon: float = Field(default=1e-6, gt=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits.

        Raises:
            ExplainerError: the network begins with a fully connected layer.
        """
        from benchmark.explainers import _lrp

        self.refuse(model)
        return _lrp.relevance(model, inputs, targets, _lrp.epsilon_alpha2_beta1_flat(self.epsilon))


@explainers.register("lrp-epsilon-gamma-box")
class LrpEpsilonGammaBox(Explainer):
    """Box rule in the first layer, gamma in convolutions, epsilon in fully connected layers (Montavon et al. 2019).

    In a network that begins with a fully connected layer the box rule goes there (zennit's own has none then).

    Args:
        epsilon: the stabiliser of fully connected layers.
        gamma: weight of positive contributions in convolutions.
    """

    library: ClassVar[str] = "zennit"
    source: ClassVar[str] = "Montavon et al. 2019 (zennit EpsilonGammaBox)"

    epsilon: float = Field(default=1e-6, gt=0)
    gamma: float = Field(default=0.25, ge=0)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits."""
        from benchmark.explainers import _lrp

        composite = _lrp.epsilon_gamma_box(model, inputs.detach(), self.epsilon, self.gamma)
        return _lrp.relevance(model, inputs, targets, composite)
