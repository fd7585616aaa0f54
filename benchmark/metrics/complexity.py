"""Complexity: is the attribution concentrated on few features? Through Quantus, on the magnitude of each element."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    from benchmark.metrics.base import Explained


@metrics.register("sparseness")
class Sparseness(Metric):
    """Gini index of the magnitudes (Chalasani et al. 2020, eq. 11).

    0 for a constant, (d - 1) / d for one feature of d. Higher is better. All-zero or non-finite: NaN.
    """

    library: ClassVar[str] = "quantus"
    source: ClassVar[str] = "Chalasani et al. 2020 (Quantus)"
    higher_is_better: ClassVar[bool | None] = True
    family: ClassVar[str] = "complexity"

    def score(self, given: Explained) -> NDArray[np.float64]:
        """(N,) in [0, 1)."""
        from benchmark.metrics import _quantus as q

        explained = q.arrays(given)
        metric = q.quantus.Sparseness(abs=True, **q.QUIET)
        return q.score_rows(
            q.usable(explained.attributions, constant=True),
            lambda rows: metric.evaluate_batch(
                x_batch=explained.inputs[rows], a_batch=np.abs(q.per_sample_max(explained.attributions[rows]))
            ),
        )


@metrics.register("complexity")
class Complexity(Metric):
    """Entropy (nats) of each feature's share of the magnitude (Bhatt et al. 2020, eq. 5).

    0 for one feature, log d for a constant over d features. Lower is better. All-zero or non-finite: NaN.
    """

    library: ClassVar[str] = "quantus"
    source: ClassVar[str] = "Bhatt et al. 2020 (Quantus)"
    higher_is_better: ClassVar[bool | None] = False
    family: ClassVar[str] = "complexity"

    def score(self, given: Explained) -> NDArray[np.float64]:
        """(N,) in [0, log d]."""
        from benchmark.metrics import _quantus as q

        explained = q.arrays(given)
        metric = q.quantus.Complexity(abs=True, **q.QUIET)
        return q.score_rows(
            q.usable(explained.attributions, constant=True),
            lambda rows: metric.evaluate_batch(
                x_batch=explained.inputs[rows], a_batch=np.abs(q.per_sample_max(explained.attributions[rows]))
            ),
        )
