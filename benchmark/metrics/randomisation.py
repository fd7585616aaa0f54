"""Randomisation: does the attribution notice that the model's weights are gone, or that another class is meant?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    import torch

    from benchmark.metrics.base import Explained


class _Randomisation(Metric):
    """What they share: models re-initialised from a seed, or another class, explained again."""

    random: ClassVar[bool] = True
    family: ClassVar[str] = "randomisation"
    channels: ClassVar[str] = "each"

    def _arguments(self, explained: Explained) -> dict[str, Any]:
        from benchmark.metrics.functional.explainer_calls import Again

        return {
            "explain": Again(explained),
            "model": explained.model,
            "inputs": explained.inputs,
            "targets": explained.targets,
            "attributions": explained.attributions,
        }


class _Reinitialising(_Randomisation):
    """Those that re-initialise layers."""

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where no layer can be re-initialised."""
        if model is None:
            return None
        from benchmark.metrics.functional.layers import resettable

        if any(resettable(module) for module in model.network.modules()):
            return None
        return f"{self.name} re-initialises layers by their reset_parameters; this network has none that can be"


class _Cascade(_Reinitialising):
    """Similarity of attributions along the cascade."""

    higher_is_better: ClassVar[bool | None] = False
    range: ClassVar[str] = "[-1, 1]"

    similarity: Literal["spearman", "ssim"] = "spearman"
    order: Literal["top_down", "bottom_up"] = "top_down"
    seed: int = 42
    stages: int | None = Field(default=None, ge=1)

    def _arguments(self, explained: Explained) -> dict[str, Any]:
        own = {"similarity": self.similarity, "order": self.order, "seed": self.seed, "stages": self.stages}
        return {**super()._arguments(explained), **own}


@metrics.register("mprt")
class Mprt(_Cascade):
    """Similarity to the attribution of ever more randomised models, the mean over layers (Adebayo et al. 2018).

    Layers are re-initialised one after another; the untouched model is not in the mean. Lower is better; 1 for an
    attribution that ignores the model. NaN: all-zero or non-finite, or no stage with a similarity.

    Args:
        similarity: ``"spearman"`` over all elements, or ``"ssim"``.
        order: ``"top_down"`` from the output, or ``"bottom_up"``.
        seed: of the random weights.
        stages: explain at most so many stages, evenly spaced, the last among them; default: every layer.
    """

    source: ClassVar[str] = "Adebayo et al. 2018"
    quantus: ClassVar[str] = "MPRT: the untouched model's 1.0 is in its mean; layers of one shape get equal weights"

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) in [-1, 1]."""
        from benchmark.metrics.functional import randomisation

        return randomisation.mprt(**self._arguments(explained))


@metrics.register("smooth-mprt")
class SmoothMprt(_Cascade):
    """``mprt`` of attributions averaged over noisy inputs (Hedström et al. 2023, eq. 4).

    Args:
        nr_samples: inputs averaged over, the untouched one among them.
        noise: standard deviation, as a share of the range of the sample's input.
        similarity: ``"spearman"`` over all elements, or ``"ssim"``.
        order: ``"top_down"`` from the output, or ``"bottom_up"``.
        seed: of the random weights.
        stages: explain at most so many stages, evenly spaced, the last among them; default: every layer.
    """

    source: ClassVar[str] = "Hedström et al. 2023"
    quantus: ClassVar[str] = "SmoothMPRT: ignores the given explainer; the untouched model's 1.0 is in its mean"

    nr_samples: int = Field(default=10, ge=1)
    noise: float = Field(default=0.1, gt=0)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) in [-1, 1]."""
        from benchmark.metrics.functional import randomisation

        return randomisation.smooth_mprt(
            **self._arguments(explained),
            generator=explained.generator,
            nr_samples=self.nr_samples,
            noise=self.noise,
        )


@metrics.register("efficient-mprt")
class EfficientMprt(_Reinitialising):
    """Relative rise of the attribution's complexity when every layer is re-initialised (Hedström et al. 2023, eq. 6).

    (H(randomised) - H(model)) / H(model), H the entropy of the attribution's histogram (free of its scale). Higher is
    better: noise should look more complex. 0 for an attribution that ignores the model. The randomised model comes from
    ``seed`` alone, so it is the same for every sample, explainer and batch; the original is not touched.
    NaN: entropy 0 before and not after, all-zero or non-finite attributions, before or after.

    Args:
        seed: of the random weights.
        bins: of the histogram.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Hedström et al. 2023"
    quantus: ClassVar[str] = "EfficientMPRT: leaves torch's global seed set; layers of one shape get equal weights"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[str] = "[-1, ∞)"

    seed: int = 42
    bins: int = Field(default=100, ge=2)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) relative rise."""
        from benchmark.metrics.functional import randomisation

        return randomisation.efficient_mprt(**self._arguments(explained), seed=self.seed, bins=self.bins)


@metrics.register("random-logit")
class RandomLogit(_Randomisation):
    """Similarity to the attribution of another class, drawn per sample (Sixt et al. 2020, section 4).

    Lower is better; 1 for an attribution that ignores the class. With two classes the other one's gradient is the exact
    opposite for many methods: -1. NaN: constant (unless nothing changed), all-zero or non-finite.

    Args:
        similarity: ``"spearman"`` over all elements, or ``"ssim"``.
    """

    source: ClassVar[str] = "Sixt et al. 2020"
    asks: ClassVar[str] = "does it change when another answer is to be explained?"
    quantus: ClassVar[str] = "RandomLogit: draws among 1,000 classes, one seed for every batch; SSIM of flattened maps"
    higher_is_better: ClassVar[bool | None] = False
    range: ClassVar[str] = "[-1, 1]"

    similarity: Literal["spearman", "ssim"] = "spearman"

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) in [-1, 1].

        Raises:
            NotApplicableError: the model has one class.
        """
        from benchmark.metrics.functional import randomisation

        return randomisation.random_logit(
            **self._arguments(explained),
            classes=explained.logits.shape[1],
            generator=explained.generator,
            similarity=self.similarity,
        )
