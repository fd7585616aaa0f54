"""Localisation: does the attribution lie where the evidence is known to be? Needs a dataset with masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    from benchmark.metrics.base import Explained


@metrics.register("relevance-rank-accuracy")
class RelevanceRankAccuracy(Metric):
    """Share of the K most relevant pixels that lie in the mask of K pixels (Arras et al. 2022, eq. 2).

    Higher is better. Channels are summed with their signs before pixels are ranked (Quantus would rank channels against
    a one-channel mask). NaN: an empty mask, a constant, all-zero or non-finite attribution.
    """

    library: ClassVar[str] = "quantus"
    source: ClassVar[str] = "Arras et al. 2022 (Quantus)"
    higher_is_better: ClassVar[bool | None] = True
    needs_masks: ClassVar[bool] = True
    family: ClassVar[str] = "localisation"
    channels: ClassVar[str] = "sum"

    def score(self, given: Explained) -> NDArray[np.float64]:
        """(N,) in [0, 1]."""
        from benchmark.metrics import _quantus as q

        explained = q.arrays(given)
        pooled = explained.attributions.astype(np.float64).sum(1, keepdims=True)
        if explained.masks is None:
            return np.full(len(pooled), np.nan)
        masks = explained.masks
        metric = q.quantus.RelevanceRankAccuracy(abs=False, **q.QUIET)
        rows = q.usable(pooled, constant=False) & masks.any(axis=(1, 2, 3))
        return q.score_rows(
            rows, lambda r: metric.evaluate_batch(a_batch=q.per_sample_max(pooled[r]), s_batch=masks[r])
        )
