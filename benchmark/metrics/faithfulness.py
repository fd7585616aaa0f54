"""Faithfulness: does changing what the attribution calls relevant change the output? Through Quantus.

Inputs are changed to ``baseline`` (in input units, 0 is black). Every element of (C, H, W) counts as one feature;
signs are kept, so that most relevant means most evidence **for** the class. A constant, all-zero or non-finite
attribution has no order: NaN.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    from benchmark.metrics.base import Explained


@metrics.register("pixel-flipping")
class PixelFlipping(Metric):
    """Area under the probability of the target while features are replaced, most relevant first (Bach et al. 2015).

    The curve starts at the untouched input (fraction 0) and ends where every feature is replaced (fraction 1); its area
    is the trapezoid rule over that fraction, so it lies in [0, 1] and does not depend on the number of steps (Quantus'
    own area does). Lower is better.

    Args:
        features_in_step: features replaced at once; default: so many that there are at most 32 steps.
        baseline: what features are replaced by.
    """

    library: ClassVar[str] = "quantus"
    source: ClassVar[str] = "Bach et al. 2015, section Pixel-flipping (Quantus)"
    higher_is_better: ClassVar[bool | None] = False
    family: ClassVar[str] = "faithfulness"

    features_in_step: int | None = Field(default=None, ge=1)
    baseline: float = 0.0

    def score(self, given: Explained) -> NDArray[np.float64]:
        """(N,) area under the curve."""
        from benchmark.metrics import _quantus as q

        explained = q.arrays(given)
        features = int(np.prod(explained.inputs.shape[1:]))
        step = self.features_in_step or ceil(features / 32)
        metric = q.quantus.PixelFlipping(features_in_step=step, abs=False, perturb_baseline=self.baseline, **q.QUIET)
        predict = q.predictor(explained.model, softmax=True).predict

        def area(rows: NDArray[np.intp]) -> NDArray[np.float64]:
            targets = explained.targets[rows]
            start = predict(explained.inputs[rows])[np.arange(len(rows)), targets]
            curve = np.column_stack([start, np.asarray(q.evaluate(metric, explained, rows, softmax=True))])
            replaced = np.minimum(np.arange(curve.shape[1]) * step, features) / features
            return np.trapezoid(curve.astype(np.float64), replaced, axis=1)

        return q.score_rows(q.usable(explained.attributions, constant=False), area)


@metrics.register("faithfulness-correlation")
class FaithfulnessCorrelation(Metric):
    """Pearson correlation of summed attribution and drop of the logit over random subsets (Bhatt et al. 2020, eq. 3).

    Quantus draws the subsets from NumPy's global stream: it is called sample by sample, seeded by the sample. Higher is
    better. NaN where no subset changes the logit.

    Args:
        nr_runs: subsets a sample.
        subset_size: features a subset; default: a quarter of them, at most 224 (Quantus' default at 224x224).
        baseline: what features are replaced by.
    """

    library: ClassVar[str] = "quantus"
    source: ClassVar[str] = "Bhatt et al. 2020 (Quantus)"
    higher_is_better: ClassVar[bool | None] = True
    random: ClassVar[bool] = True
    family: ClassVar[str] = "faithfulness"

    nr_runs: int = Field(default=100, ge=3)
    subset_size: int | None = Field(default=None, ge=1)
    baseline: float = 0.0

    def score(self, given: Explained) -> NDArray[np.float64]:
        """(N,) correlation in [-1, 1]."""
        from benchmark.metrics import _quantus as q

        explained = q.arrays(given)
        features = int(np.prod(explained.inputs.shape[1:]))
        metric = q.quantus.FaithfulnessCorrelation(
            nr_runs=self.nr_runs,
            subset_size=self.subset_size or max(1, min(224, features // 4)),
            abs=False,
            perturb_baseline=self.baseline,
            **q.QUIET,
        )
        return q.score_rows(
            q.usable(explained.attributions, constant=False),
            lambda rows: q.evaluate_one_by_one(metric, explained, rows, softmax=False, label=self.name),
        )


@metrics.register("faithfulness-estimate")
class FaithfulnessEstimate(Metric):
    """Pearson correlation of attribution and drop of the logit, feature by feature (Alvarez-Melis and Jaakkola 2018).

    Each step replaces its features alone, not those before it. Higher is better. NaN where no step changes the logit.

    Args:
        features_in_step: features replaced together; default: so many that there are at most 64 steps.
        baseline: what features are replaced by.
    """

    library: ClassVar[str] = "quantus"
    source: ClassVar[str] = "Alvarez-Melis and Jaakkola 2018 (Quantus)"
    higher_is_better: ClassVar[bool | None] = True
    family: ClassVar[str] = "faithfulness"

    features_in_step: int | None = Field(default=None, ge=1)
    baseline: float = 0.0

    def score(self, given: Explained) -> NDArray[np.float64]:
        """(N,) correlation in [-1, 1]."""
        from benchmark.metrics import _quantus as q

        explained = q.arrays(given)
        step = self.features_in_step or ceil(int(np.prod(explained.inputs.shape[1:])) / 64)
        metric = q.quantus.FaithfulnessEstimate(
            features_in_step=step, abs=False, perturb_baseline=self.baseline, **q.QUIET
        )
        return q.score_rows(
            q.usable(explained.attributions, constant=False),
            lambda rows: q.evaluate(metric, explained, rows, softmax=False),
        )
