"""Layer-wise relevance propagation through zennit's composites and canonizers.

Relevance starts at the target's logit and ends at the **normalised** input, where it equals the bare network's: the
entry's mean and std pass it through unchanged, its resize, luminance and repeat conserve its sum. The box rule's bounds
are 0 and 1 normalised. Residual sums are handled in torchvision's ResNet blocks; a network with a sum written in its
own ``forward``, or anything else that no rule covers, is refused with that layer's name.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from benchmark.explainers.base import Explainer, explainers
from benchmark.registry import canonical

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


class Lrp(Explainer):
    """LRP, which looks once at each network whether its rules fit (``benchmark/explainers/lrp/conservation.py``)."""

    library: ClassVar[str] = "zennit"
    unit: ClassVar[bool] = False
    own_heads: ClassVar[bool] = False

    @abstractmethod
    def composite(self, model: Model, inputs: torch.Tensor) -> Any:
        """zennit's composite for this model; ``inputs`` give the grid."""

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where the rules do not fit the network, with the first layer where they do not."""
        if model is None:
            return None
        from benchmark.explainers.captum.gradients import random_input
        from benchmark.explainers.lrp import propagation

        probe = random_input(model, entry)
        return None if probe is None else propagation.checked(model, self._rules(), probe).reason

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits (shares of 1 where relevance starts at 1); sums to the start less the biases' share.

        Raises:
            RefusedError: the rules do not fit the network.
        """
        from benchmark.explainers.lrp import propagation

        return propagation.relevance(model, inputs, targets, self._rules())

    def _rules(self) -> Any:
        from benchmark.explainers.lrp import propagation

        return propagation.Rules(self.name, canonical(self.identity()), self.composite, self.unit, self.own_heads)


FLAT_REASON = (
    "the flat rule in a fully connected first layer gives every input the same relevance;"
    " use lrp-epsilon or lrp-epsilon-gamma-box for networks without convolutions"
)


class FlatFirst(Lrp):
    """LRP whose flat rule in the first layer needs that layer to be a convolution."""

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where the first layer is fully connected, or the rules do not fit otherwise."""
        return self._flat(model) or super().skip(model, entry, dataset)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits.

        Raises:
            RefusedError: the network begins with a fully connected layer, or the rules do not fit otherwise.
        """
        from benchmark.errors import RefusedError

        if reason := self._flat(model):
            raise RefusedError(f"{self.name}: {reason}")
        return super().explain(model, inputs, targets, generator=generator)

    def _flat(self, model: Any) -> str | None:
        if model is None:
            return None
        from torch import nn

        from benchmark.explainers.lrp import propagation

        return FLAT_REASON if isinstance(propagation.first_linear(model.core), nn.Linear) else None


@explainers.register("lrp-epsilon")
class LrpEpsilon(Lrp):
    """Epsilon rule in every layer (Bach et al. 2015, eq. 58).

    With a small epsilon, ReLUs and an entry without mean and std this is input-x-gradient: listing both lists one thing
    twice. A larger epsilon absorbs weak contributions.

    Args:
        epsilon: the stabiliser, in units of the activations.
    """

    source: ClassVar[str] = "Bach et al. 2015 (zennit)"

    epsilon: float = Field(default=1e-6, gt=0)

    def composite(self, model: Model, inputs: torch.Tensor) -> Any:
        """zennit's composite."""
        from benchmark.explainers.lrp import propagation

        return propagation.epsilon(self.epsilon)


@explainers.register("lrp-epsilon-plus")
class LrpEpsilonPlus(Lrp):
    """z+ rule in convolutions, epsilon in fully connected layers (Montavon et al. 2019, section 10.3).

    Without convolutions it is lrp-epsilon.

    Args:
        epsilon: the stabiliser of fully connected layers.
    """

    source: ClassVar[str] = "Montavon et al. 2019 (zennit EpsilonPlus)"

    epsilon: float = Field(default=1e-6, gt=0)

    def composite(self, model: Model, inputs: torch.Tensor) -> Any:
        """zennit's composite."""
        from benchmark.explainers.lrp import propagation

        return propagation.epsilon_plus(self.epsilon)


@explainers.register("lrp-epsilon-plus-flat")
class LrpEpsilonPlusFlat(FlatFirst):
    """Flat rule in the first layer, z+ in convolutions, epsilon in fully connected layers (Montavon et al. 2019).

    Args:
        epsilon: the stabiliser of fully connected layers.
    """

    source: ClassVar[str] = "Montavon et al. 2019 (zennit EpsilonPlusFlat)"

    epsilon: float = Field(default=1e-6, gt=0)

    def composite(self, model: Model, inputs: torch.Tensor) -> Any:
        """zennit's composite."""
        from benchmark.explainers.lrp import propagation

        return propagation.epsilon_plus_flat(self.epsilon)


@explainers.register("lrp-epsilon-alpha2-beta1")
class LrpEpsilonAlpha2Beta1(Lrp):
    """Alpha-beta rule (2, 1) in convolutions, epsilon in fully connected layers (Bach et al. 2015, eq. 60).

    Args:
        epsilon: the stabiliser of fully connected layers.
    """

    source: ClassVar[str] = "Bach et al. 2015 (zennit EpsilonAlpha2Beta1)"

    epsilon: float = Field(default=1e-6, gt=0)

    def composite(self, model: Model, inputs: torch.Tensor) -> Any:
        """zennit's composite."""
        from benchmark.explainers.lrp import propagation

        return propagation.epsilon_alpha2_beta1(self.epsilon)


@explainers.register("lrp-epsilon-alpha2-beta1-flat")
class LrpEpsilonAlpha2Beta1Flat(FlatFirst):
    """Flat rule in the first layer, alpha-beta (2, 1) in convolutions, epsilon in fully connected layers.

    Args:
        epsilon: the stabiliser of fully connected layers.
    """

    source: ClassVar[str] = "Bach et al. 2015 (zennit EpsilonAlpha2Beta1Flat)"

    epsilon: float = Field(default=1e-6, gt=0)

    def composite(self, model: Model, inputs: torch.Tensor) -> Any:
        """zennit's composite."""
        from benchmark.explainers.lrp import propagation

        return propagation.epsilon_alpha2_beta1_flat(self.epsilon)


@explainers.register("lrp-epsilon-gamma-box")
class LrpEpsilonGammaBox(Lrp):
    """Box rule in the first layer, gamma in convolutions, epsilon in fully connected layers (Montavon et al. 2019).

    In a network that begins with a fully connected layer the box rule goes there (zennit's own has none then).

    Args:
        epsilon: the stabiliser of fully connected layers.
        gamma: weight of positive contributions in convolutions.
    """

    source: ClassVar[str] = "Montavon et al. 2019 (zennit EpsilonGammaBox)"

    epsilon: float = Field(default=1e-6, gt=0)
    gamma: float = Field(default=0.25, ge=0)

    def composite(self, model: Model, inputs: torch.Tensor) -> Any:
        """zennit's composite."""
        from benchmark.explainers.lrp import propagation

        return propagation.epsilon_gamma_box(model, inputs, self.epsilon, self.gamma)
