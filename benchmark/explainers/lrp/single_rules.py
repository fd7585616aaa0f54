"""Methods with a name of their own that are LRP with z+ rules, through zennit.

As for LRP, relevance ends at the **normalised** input and goes from there to the suite's grid with its sum conserved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from benchmark.explainers.base import explainers
from benchmark.explainers.lrp.lrp import Lrp

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model


@explainers.register("deep-taylor")
class DeepTaylor(Lrp):
    """Deep Taylor decomposition: box rule in the first layer, z+ in all others (Montavon et al. 2017, eq. 13 and 17).

    The box is [0, 1], normalised as the network's input is. A negative logit gives negative relevance.
    """

    source: ClassVar[str] = "Montavon et al. 2017 (zennit ZBox and ZPlus)"
    own_heads: ClassVar[bool] = True

    def composite(self, model: Model, inputs: torch.Tensor) -> Any:
        """zennit's composite."""
        from benchmark.explainers.lrp import propagation

        return propagation.deep_taylor(model, inputs)


@explainers.register("excitation-backprop")
class ExcitationBackprop(Lrp):
    """Winning probabilities from the target down, by positive contributions alone (Zhang et al. 2016, eq. 5).

    It starts at 1, whatever the logit.
    """

    source: ClassVar[str] = "Zhang et al. 2016 (zennit ExcitationBackprop)"
    unit: ClassVar[bool] = True
    own_heads: ClassVar[bool] = True

    def composite(self, model: Model, inputs: torch.Tensor) -> Any:
        """zennit's composite."""
        from benchmark.explainers.lrp import propagation

        return propagation.excitation_backprop()
