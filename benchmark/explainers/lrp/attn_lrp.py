"""LRP of transformers and of today's convolutional networks, at the level of torch's functions.

Relevance is the normalised input times a gradient in which every operation that is not linear goes backwards by a rule
(so stabilisers vanish), and ends where :mod:`benchmark.explainers.lrp.lrp` ends: at the normalised input, then on the
suite's grid with its sum conserved. Nothing of the network is edited or hooked, so that sums, concatenations, shared
and functional layers are as good as modules. An operation for which there is no rule is named, and the network refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from benchmark.explainers.base import Explainer, explainers

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


@explainers.register("attn-lrp")
class AttnLrp(Explainer):
    """AttnLRP (Achtibat et al. 2024): softmax by its Taylor expansion, products shared by both factors.

    Its section 3: linear layers by the epsilon rule with a vanishing epsilon; activations, all to the input; softmax by
    its own gradient; products of attention, and others of two signals, half to each; layer norm with its standard
    deviation constant. A gate (sigmoid) is constant: the signal that it scales takes all (Arras et al. 2017).
    """

    source: ClassVar[str] = "Achtibat et al. 2024 (own code)"
    softmax: ClassVar[Literal["taylor", "constant"]] = "taylor"

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where the network has an operation without a rule."""
        if model is None:
            return None
        from benchmark.explainers.lrp.operations import unfit

        return unfit(model, entry, self.softmax, self.name)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), in logits; sums to the logit less the share of biases (and, of the softmax, of its expansion).

        Raises:
            RefusedError: the network has an operation without a rule.
        """
        from benchmark.explainers.lrp.operations import relevance

        return relevance(model, inputs, targets, self.softmax, self.name)


@explainers.register("cp-lrp")
class CpLrp(AttnLrp):
    """Conservative LRP of transformers (Ali et al. 2022, section 3): attention's probabilities are constant.

    So relevance goes through the values alone, and is conserved but for the biases' share. Without attention it is
    attn-lrp.
    """

    source: ClassVar[str] = "Ali et al. 2022 (own code)"
    softmax: ClassVar[Literal["taylor", "constant"]] = "constant"
