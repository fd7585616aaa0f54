"""Methods with a name of their own that are LRP with z+ rules, through zennit.

As for LRP, relevance ends at the **normalised** input and goes from there to the suite's grid with its sum conserved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from benchmark.explainers.base import Explainer, explainers

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@explainers.register("deep-taylor")
class DeepTaylor(Explainer):
    """Deep Taylor decomposition: box rule in the first layer, z+ in all others (Montavon et al. 2017, eq. 13 and 17).

    The box is [0, 1], normalised as the network's input is. A negative logit gives negative relevance.
    """

    library: ClassVar[str] = "zennit"
    source: ClassVar[str] = "Montavon et al. 2017 (zennit ZBox and ZPlus)"

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits; sums to the logit where no bias is positive.

        Raises:
            ExplainerError: a network of one logit that does not come from a last fully connected layer.
        """
        from benchmark.explainers import _lrp

        composite, core = _lrp.deep_taylor(model, inputs.detach()), _lrp.two_headed(model, inputs, self.name)
        return _lrp.relevance(model, inputs, targets, composite, name=self.name, core=core)


@explainers.register("excitation-backprop")
class ExcitationBackprop(Explainer):
    """Winning probabilities from the target down, by positive contributions alone (Zhang et al. 2016, eq. 5).

    It starts at 1, whatever the logit.
    """

    library: ClassVar[str] = "zennit"
    source: ClassVar[str] = "Zhang et al. 2016 (zennit ExcitationBackprop)"

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), not negative; sums to 1 where no bias is positive.

        Raises:
            ExplainerError: a network of one logit that does not come from a last fully connected layer.
        """
        from benchmark.explainers import _lrp

        composite, core = _lrp.excitation_backprop(), _lrp.two_headed(model, inputs, self.name)
        return _lrp.relevance(model, inputs, targets, composite, name=self.name, unit=True, core=core)
