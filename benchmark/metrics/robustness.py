"""Robustness of the explanation itself: does it stay where the input barely moves? Through Quantus, with our draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    from benchmark.metrics.base import Explained


@metrics.register("max-sensitivity")
class MaxSensitivity(Metric):
    """Largest relative change of the attribution under uniform noise (Yeh et al. 2019, definition 3).

    max over draws of ||a(x + noise) - a(x)|| / ||a(x)||, Frobenius norms over (C, H, W) with signs, the class kept.
    A common factor of the attributions cancels, so they are not normalised. Noise is drawn per sample by us and not
    clipped to [0, 1]. Lower is better; a constant attribution is optimal by definition. All-zero or non-finite: NaN.

    Args:
        nr_samples: draws a sample.
        radius: bound of the noise on each element, in input units.
    """

    library: ClassVar[str] = "quantus"
    source: ClassVar[str] = "Yeh et al. 2019 (Quantus)"
    higher_is_better: ClassVar[bool | None] = False
    random: ClassVar[bool] = True
    family: ClassVar[str] = "robustness"

    nr_samples: int = Field(default=10, ge=1)
    radius: float = Field(default=0.2, gt=0)

    def score(self, given: Explained) -> NDArray[np.float64]:
        """(N,) >= 0."""
        from benchmark.metrics import _quantus as q

        explained = q.arrays(given)

        def largest(rows: NDArray[np.intp]) -> Any:
            draws = explained.generator.subset([int(row) for row in rows])

            def noisy(arr: NDArray[np.float32], **_: Any) -> NDArray[np.float32]:
                noise: NDArray[np.float32] = draws.uniform(arr.shape[1:], -self.radius, self.radius).numpy()
                return arr + noise

            def again(model: Any, x: NDArray[Any], _y: NDArray[Any]) -> NDArray[np.float64]:
                found = q.explain(explained, model.get_model(), x, rows).astype(np.float64)
                return np.where(np.isfinite(found), found, np.inf)  # Quantus' nanmax would pass over a NaN

            metric = q.quantus.MaxSensitivity(nr_samples=self.nr_samples, perturb_func=noisy, abs=False, **q.QUIET)
            # in place of Quantus' method, which refuses a batch where all are zero or negative
            metric.explain_batch = again
            given = explained.attributions[rows].astype(np.float64)
            return q.evaluate(metric, explained, rows, softmax=False, a_batch=given)

        return q.score_rows(q.usable(explained.attributions, constant=True), largest)
