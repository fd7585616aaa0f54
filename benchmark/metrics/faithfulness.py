"""Faithfulness: does changing what the attribution calls relevant change the output?

Features are replaced by ``fill``: ``"black"`` (0), ``"mean"`` (of the sample, per channel), ``"blur"`` (the input after
a Gaussian blur of a tenth of its side) or a number in input units. Signs are kept, so that most relevant means most
evidence **for** the class; of equally relevant features the first comes first. A constant, all-zero or non-finite
attribution has no order: NaN. The work is done in :mod:`benchmark.metrics.functional.faithfulness`.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    import torch

    from benchmark.metrics.base import Explained


class Faithfulness(Metric):
    """Base of metrics that perturb the input."""

    family: ClassVar[str] = "faithfulness"
    channels: ClassVar[str] = "each"


class Filling(Faithfulness):
    """Base of those that replace features.

    Attributes:
        fill: what features are replaced by.
    """

    fill: Literal["black", "mean", "blur"] | float = "black"


def given(explained: Explained) -> dict[str, Any]:
    """What every function takes; clean outputs are computed once for all metrics."""
    return {
        "model": explained.model,
        "inputs": explained.inputs,
        "targets": explained.targets,
        "attributions": explained.attributions,
        "logits": explained.logits,
    }


def eighth(inputs: torch.Tensor) -> int:
    """An eighth of the shorter side, in pixels, rounded up, at least 2 (1 where the side is 1)."""
    side = min(inputs.shape[2:])
    return min(side, max(2, ceil(side / 8)))


@metrics.register("pixel-flipping")
class PixelFlipping(Filling):
    """Area under the probability of the target while features are replaced, most relevant first (Bach et al. 2015).

    The curve starts at the untouched input (fraction 0) and ends where every feature is replaced (fraction 1); its area
    is the trapezoid rule over that fraction, so it lies in [0, 1] and does not depend on the number of steps (Quantus'
    own area does). Lower is better. This is the deletion of Petsiuk et al. 2018, by elements.

    Attributes:
        features_in_step: features replaced at once; default: so many that there are at most 32 steps.
        fill: what features are replaced by.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Bach et al. 2015, section Pixel-flipping"
    quantus: ClassVar[str] = (
        "PixelFlipping: its area grows with the number of steps, and its curve lacks the untouched input; "
        "ours is the area over the fraction replaced, from 0 to 1"
    )
    higher_is_better: ClassVar[bool | None] = False
    range: ClassVar[str] = "[0, 1]"

    features_in_step: int | None = Field(default=None, ge=1)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) area under the curve."""
        from benchmark.metrics.functional.faithfulness import pixel_flipping

        return pixel_flipping(**given(explained), features_in_step=self.features_in_step, fill=self.fill)


@metrics.register("insertion")
class Insertion(Filling):
    """Area under the probability of the target while features are put back, most relevant first (Petsiuk et al. 2018).

    The curve starts at the filled image (fraction 0) and ends at the untouched input (fraction 1). Higher is better.

    Attributes:
        features_in_step: features put back at once; default: so many that there are at most 32 steps.
        fill: what the image is filled with at the start.
    """

    source: ClassVar[str] = "Petsiuk et al. 2018"
    quantus: ClassVar[str] = "absent (PixelFlipping deletes only)"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[str] = "[0, 1]"

    features_in_step: int | None = Field(default=None, ge=1)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) area under the curve."""
        from benchmark.metrics.functional.faithfulness import pixel_flipping

        step = self.features_in_step
        return pixel_flipping(**given(explained), features_in_step=step, fill=self.fill, mode="insertion")


@metrics.register("faithfulness-correlation")
class FaithfulnessCorrelation(Filling):
    """Pearson correlation of summed attribution and drop of the logit over random subsets (Bhatt et al. 2020, eq. 3).

    Subsets are drawn by us, each sample's from its own seed. Higher is better. NaN where no subset changes the logit.

    Attributes:
        nr_runs: subsets a sample.
        subset_size: features a subset; default: a quarter of them, at most 224 (Quantus' default at 224x224).
        fill: what features are replaced by.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Bhatt et al. 2020, eq. 3"
    quantus: ClassVar[str] = (
        "FaithfulnessCorrelation: the same, its subsets drawn from NumPy's global stream; ours per sample"
    )
    higher_is_better: ClassVar[bool | None] = True
    random: ClassVar[bool] = True
    range: ClassVar[str] = "[-1, 1]"

    nr_runs: int = Field(default=100, ge=3)
    subset_size: int | None = Field(default=None, ge=1)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) correlation in [-1, 1]."""
        from benchmark.metrics.functional.faithfulness import faithfulness_correlation, random_subsets

        features = explained.inputs[0].numel()
        size = min(features, self.subset_size or max(1, min(224, features // 4)))
        subsets = random_subsets(explained.generator, features, self.nr_runs, size)
        return faithfulness_correlation(**given(explained), subsets=subsets, fill=self.fill)


@metrics.register("sensitivity-n")
class SensitivityN(Filling):
    """Mean over subset sizes of the correlation of summed attribution and drop of the logit (Ancona et al. 2018).

    For each size n the correlation is over random subsets of n features. Higher is better. NaN where for any size no
    subset changes the logit. Quantus' metric of this name correlates over samples, along one fixed order.

    Attributes:
        fractions: the sizes, as parts of the number of features, rounded up.
        nr_runs: subsets a size and sample.
        fill: what features are replaced by.
    """

    source: ClassVar[str] = "Ancona et al. 2018"
    quantus: ClassVar[str] = "SensitivityN: uses the first batch only, one value for all; ours per sample"
    higher_is_better: ClassVar[bool | None] = True
    random: ClassVar[bool] = True
    range: ClassVar[str] = "[-1, 1]"

    fractions: tuple[float, ...] = Field(default=(0.02, 0.1, 0.3, 0.6), min_length=1)
    nr_runs: int = Field(default=25, ge=3)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) mean correlation in [-1, 1]."""
        from benchmark.metrics.functional.faithfulness import random_subsets, sensitivity_n

        features = explained.inputs[0].numel()
        sizes = [min(features, max(1, ceil(part * features))) for part in self.fractions]
        subsets = [random_subsets(explained.generator, features, self.nr_runs, size) for size in sizes]
        return sensitivity_n(**given(explained), subsets=subsets, fill=self.fill)


@metrics.register("faithfulness-estimate")
class FaithfulnessEstimate(Filling):
    """Pearson correlation of attribution and drop of the logit, feature by feature (Alvarez-Melis and Jaakkola 2018).

    Each step replaces its features alone, not those before it. Higher is better. NaN where no step changes the logit.

    Attributes:
        features_in_step: features replaced together; default: so many that there are at most 64 steps.
        fill: what features are replaced by.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Alvarez-Melis and Jaakkola 2018"
    quantus: ClassVar[str] = "FaithfulnessEstimate: the same"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[str] = "[-1, 1]"

    features_in_step: int | None = Field(default=None, ge=1)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) correlation in [-1, 1]."""
        from benchmark.metrics.functional.faithfulness import faithfulness_estimate

        return faithfulness_estimate(**given(explained), features_in_step=self.features_in_step, fill=self.fill)


@metrics.register("region-perturbation")
class RegionPerturbation(Filling):
    """Mean drop of the target's probability while square regions are replaced, most relevant first (AOPC).

    1 / (L + 1) times the sum over steps 0 to L of p(x) - p(x after the step) (Samek et al. 2017). Higher is better
    (Quantus says lower, and returns the drop).

    Attributes:
        patch: side of a region in pixels, which need not divide the image's; default: an eighth of the shorter side, at
            least 2.
        regions: how many are replaced; default: a quarter of them.
        fill: what regions are replaced by.
    """

    source: ClassVar[str] = "Samek et al. 2017"
    quantus: ClassVar[str] = "RegionPerturbation: returns the drop but declares that lower is better; higher is"
    higher_is_better: ClassVar[bool | None] = True
    range: ClassVar[str] = "[-1, 1]"

    patch: int | None = Field(default=None, ge=1)
    regions: int | None = Field(default=None, ge=1)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) in [-1, 1]."""
        from benchmark.metrics.functional.faithfulness import region_perturbation

        patch = self.patch or eighth(explained.inputs)
        height, width = explained.inputs.shape[2:]
        regions = self.regions or ceil(ceil(height / patch) * ceil(width / patch) / 4)
        return region_perturbation(**given(explained), patch=patch, regions=regions, fill=self.fill)


@metrics.register("selectivity")
class Selectivity(Filling):
    """Area under the target's probability while all square regions are replaced, most relevant first.

    The trapezoid rule over the fraction of regions replaced (Montavon et al. 2018). Lower is better.

    Attributes:
        patch: side of a region in pixels, which need not divide the image's; default: an eighth of the shorter side, at
            least 2.
        fill: what regions are replaced by.
    """

    source: ClassVar[str] = "Montavon et al. 2018"
    quantus: ClassVar[str] = "Selectivity: the same curve, its area not normalised"
    higher_is_better: ClassVar[bool | None] = False
    range: ClassVar[str] = "[0, 1]"

    patch: int | None = Field(default=None, ge=1)

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) in [0, 1]."""
        from benchmark.metrics.functional.faithfulness import selectivity

        return selectivity(**given(explained), patch=self.patch or eighth(explained.inputs), fill=self.fill)


@metrics.register("infidelity")
class Infidelity(Filling):
    """Mean square of (perturbation . attribution) less the drop of the logit, over random squares (Yeh et al. 2019).

    The squares are drawn by us, each sample's from its own seed, and cover every pixel equally often. The value is in
    logits squared: compare explainers of one model by it, not models. Lower is better. All-zero or non-finite: NaN.

    Attributes:
        nr_runs: squares a sample.
        patch: their side in pixels; default: an eighth of the shorter side, at least 2.
        optimal_scale: multiply each attribution first by the number that makes its error least (so that an explainer is
            not judged by its units); without it the value depends on the attribution's scale.
        fill: what a square is replaced by.
    """

    source: ClassVar[str] = "Yeh et al. 2019, eq. 1"
    quantus: ClassVar[str] = (
        "Infidelity: repeats are identical, it depends on the attribution's scale and crashes where the patch "
        "does not divide the image; ours draws squares per sample and fits the scale"
    )
    higher_is_better: ClassVar[bool | None] = False
    random: ClassVar[bool] = True
    range: ClassVar[str] = "[0, ∞)"

    nr_runs: int = Field(default=64, ge=2)
    patch: int | None = Field(default=None, ge=1)
    optimal_scale: bool = True

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) >= 0."""
        from benchmark.metrics.functional.faithfulness import infidelity, random_corners, squares

        height, width = explained.inputs.shape[2:]
        patch = self.patch or eighth(explained.inputs)
        corners = random_corners(explained.generator, height, width, self.nr_runs, patch).to(explained.inputs.device)
        return infidelity(
            **given(explained),
            masks=squares(corners, patch, height, width),
            steps=self.nr_runs,
            fill=self.fill,
            optimal_scale=self.optimal_scale,
        )


@metrics.register("road")
class Road(Faithfulness):
    """Remove and debias, most relevant first: area under the target's probability (Rong et al. 2022).

    Pixels (ranked by the sum of their channels) are replaced by noisy linear imputation: a weighted mean of their
    neighbours, so that a mask cannot be read off its edges. The area is the trapezoid rule from 0 to the last
    percentage, divided by it. Lower is better.

    Attributes:
        percentages: of the pixels replaced, rising.
        noise: standard deviation of the noise on imputed pixels, in input units; drawn by us, one image a sample.
    """

    source: ClassVar[str] = "Rong et al. 2022"
    quantus: ClassVar[str] = "ROAD: IndexError on colour, scores the first batch only; ours per sample, any channels"
    higher_is_better: ClassVar[bool | None] = False
    random: ClassVar[bool] = True
    channels: ClassVar[str] = "sum"
    range: ClassVar[str] = "[0, 1]"

    percentages: tuple[float, ...] = Field(default=(10, 20, 30, 40, 50, 60, 70, 80, 90), min_length=1)
    noise: float = Field(default=0.01, ge=0)

    @field_validator("percentages")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(b <= a for a, b in pairwise((0.0, *value, 100.0))):
            raise ValueError(f"percentages must rise within (0, 100), not {list(value)}")
        return value

    def score(self, explained: Explained) -> torch.Tensor:
        """(N,) in [0, 1]."""
        from benchmark.metrics.functional.faithfulness import road

        noise = self.noise * explained.generator.normal(explained.inputs.shape[1:])
        return road(**given(explained), percentages=self.percentages, noise=noise)
