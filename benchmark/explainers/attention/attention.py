"""Maps from a transformer's attention: as it is, rolled out, and rolled out with the gradient's weight.

All of them read the probabilities of every self-attention of the network (torchvision's, timm's, Hugging Face's, one of
your own; fused or not), without editing it. With A the probabilities of a layer, (heads, T, T), the map is the row of
what the head reads (the class token, or the mean over tokens) over the patches, bilinear on the suite's grid, the same
in every channel. They are refused where there is no attention, where it sees windows (Swin), where tokens are merged
between layers, and where the tokens are no grid with at most one class token before it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from benchmark.explainers.base import Explainer, explainers

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws


class AttentionExplainer(Explainer):
    """What needs attention says so where there is none that it can read."""

    enlarges: ClassVar[bool] = True

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where the network shows no attention over a grid of patches."""
        if model is None:
            return None
        from benchmark.explainers.attention.tokens import no_attention

        return no_attention(model, entry, self.name)

    def explain(self, model: Model, inputs: torch.Tensor, targets: torch.Tensor, *, generator: Draws) -> torch.Tensor:
        """(N, C, H, W), never negative.

        Raises:
            RefusedError: the network shows no attention over a grid of patches.
        """
        from benchmark.explainers.attention.tokens import attended, token_map

        read = attended(model, inputs, targets, self.name, gradient=self.needs_gradient)
        return token_map(self.relevance(read.probabilities, read.gradients), read, inputs)

    @abstractmethod
    def relevance(self, probabilities: list[torch.Tensor], gradients: list[torch.Tensor]) -> torch.Tensor:
        """(N, T, T), row: what is read, column: the token at the input, from (N, heads, T, T) of each layer.

        ``gradients`` are there where the explainer ``needs_gradient``.
        """


@explainers.register("attention")
class Attention(AttentionExplainer):
    """Attention of the last layer, mean over heads: what the class token (or every token) looks at there.

    It knows no class: it is the same for every target.
    """

    needs_gradient: ClassVar[bool] = False
    source: ClassVar[str] = "Vaswani et al. 2017, eq. 1 (own code)"

    def relevance(self, probabilities: list[torch.Tensor], gradients: list[torch.Tensor]) -> torch.Tensor:
        """See :meth:`AttentionExplainer.relevance`."""
        return probabilities[-1].mean(1)


@explainers.register("attention-rollout")
class AttentionRollout(AttentionExplainer):
    """Attention rollout (Abnar and Zuidema 2020, section 3.1): product of (1 - r) mean_h A + r I over the layers.

    It knows no class: it is the same for every target.

    Args:
        residual: r, the share of the residual stream; 0.5 as in the paper.
    """

    needs_gradient: ClassVar[bool] = False
    source: ClassVar[str] = "Abnar and Zuidema 2020 (own code)"

    residual: float = Field(default=0.5, ge=0, le=1)

    def relevance(self, probabilities: list[torch.Tensor], gradients: list[torch.Tensor]) -> torch.Tensor:
        """See :meth:`AttentionExplainer.relevance`."""
        from benchmark.explainers.attention.rollout import rollout

        return rollout(probabilities, self.residual)


@explainers.register("gradient-rollout")
class GradientRollout(AttentionExplainer):
    """Gradient-weighted rollout (Chefer et al. 2021, "Generic attention-model explainability", eq. 5 and 6).

    R <- R + mean_h (dlogit/dA * A)+ R from R = I, layer by layer; of a class, since the gradient is its logit's.
    """

    source: ClassVar[str] = "Chefer et al. 2021, ICCV (own code)"

    def relevance(self, probabilities: list[torch.Tensor], gradients: list[torch.Tensor]) -> torch.Tensor:
        """See :meth:`AttentionExplainer.relevance`."""
        from benchmark.explainers.attention.rollout import gradient_rollout

        return gradient_rollout(probabilities, gradients)
