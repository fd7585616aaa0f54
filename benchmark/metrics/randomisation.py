"""Randomisation: does the attribution notice that the model's weights are gone? Through Quantus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.metrics.base import Metric, metrics

if TYPE_CHECKING:
    from benchmark.metrics.base import Explained


@metrics.register("efficient-mprt")
class EfficientMprt(Metric):
    """Relative rise of the attribution's complexity when every layer is re-initialised (Hedström et al. 2023, eq. 6).

    (H(randomised) - H(model)) / H(model), H the entropy of the attribution's histogram (free of its scale). Higher is
    better: noise should look more complex. 0 for an attribution that ignores the model. The randomised model comes from
    ``seed`` alone, so it is the same for every sample, explainer and batch; the original is not touched.
    NaN: entropy 0 (a constant), all-zero or non-finite attributions, before or after.

    Args:
        seed: of the random weights.
        bins: of the histogram.
    """

    library: ClassVar[str] = "quantus"
    source: ClassVar[str] = "Hedström et al. 2023 (Quantus)"
    higher_is_better: ClassVar[bool | None] = True
    random: ClassVar[bool] = True
    family: ClassVar[str] = "randomisation"

    seed: int = 42
    bins: int = Field(default=100, ge=2)

    def skip(self, model: Any, entry: Any, dataset: Any) -> str | None:
        """A reason where no layer can be re-initialised."""
        if model is None or any(hasattr(module, "reset_parameters") for module in model.network.modules()):
            return None
        return "efficient-mprt re-initialises layers by their reset_parameters; this network has none that can be"

    def score(self, given: Explained) -> NDArray[np.float64]:
        """(N,) relative rise."""
        from benchmark.metrics import _quantus as q
        from benchmark.seeds import global_seed

        explained = q.arrays(given)

        def entropy(a: NDArray[Any], x: Any, n_bins: int) -> float:
            if not q.usable(a[None], constant=False)[0]:
                return float("nan")
            return float(q.quantus.complexity_func.discrete_entropy(q.per_sample_max(a[None])[0], x, n_bins=n_bins))

        def rise(rows: NDArray[np.intp]) -> Any:
            metric = q.quantus.EfficientMPRT(
                complexity_func=entropy, complexity_func_kwargs={"n_bins": self.bins}, seed=self.seed, **q.QUIET
            )

            def attributions(model: Any, x: NDArray[Any], _y: NDArray[Any]) -> NDArray[np.float32]:
                network = model.get_model() if hasattr(model, "get_model") else model
                if network is explained.model:
                    return explained.attributions[rows]
                return q.explain(explained, network, x, rows)

            # in place of Quantus' method, which refuses a batch where all are zero or negative
            metric.explain_batch = attributions
            with global_seed(self.seed):
                return metric(
                    model=explained.model,
                    x_batch=explained.inputs[rows],
                    y_batch=explained.targets[rows],
                    a_batch=None,
                    channel_first=True,
                    explain_func=attributions,
                    softmax=True,
                    device=str(explained.model.device),
                    batch_size=len(rows),
                )

        try:
            return q.score_rows(q.usable(explained.attributions, constant=False), rise)
        finally:
            q.forget()
