"""SpRAy: the heatmaps of a class fall into clusters, of which one may be a Clever Hans strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.metrics.base import ExplainedResults, Metric, metrics

if TYPE_CHECKING:
    from benchmark.attacks.base import Extras
    from benchmark.metrics.base import Explained, Scores


@metrics.register("spray")
class Spray(Metric):
    """Spectral relevance analysis of each explained class (Lapuschkin et al. 2019); descriptive, no direction.

    Channels are summed with their signs. ``value`` is a sample's suspicion: the share of its positive relevance where
    its cluster looks and another cluster of the class does not (``benchmark.metrics._spray.suspicion``). Beside it
    stand ``target`` (the explained class), ``cluster`` (0 the largest of the class), ``x`` and ``y`` (t-SNE, to look at
    only), ``silhouette`` and ``eigengap`` of the class (diagnostics: they do not tell a Clever Hans from an honest
    model), and where the dataset knows it ``carries``: 1 for a sample with the false structure. High suspicion says
    that some samples are explained by something that others of the class lack; it takes an intervention (attack
    ``watermark``) to say that the model relies on it. NaN: a class with fewer than ``2 neighbours`` usable
    attributions; an all-zero or non-finite attribution.

    Args:
        neighbours: of the graph.
        pool: heatmaps are averaged in blocks to at most this many pixels a side.
    """

    library: ClassVar[str] = "scikit-learn"
    source: ClassVar[str] = "Lapuschkin et al. 2019 (Nature Communications 10:1096), Methods; suspicion: own"
    higher_is_better: ClassVar[bool | None] = None
    family: ClassVar[str] = "localisation"
    channels: ClassVar[str] = "sum"
    range: ClassVar[str] = "[0, 1]"
    quantus: ClassVar[str] = "absent"
    joint: ClassVar[bool] = True

    neighbours: int = Field(default=10, ge=2)
    pool: int = Field(default=16, ge=2)

    def score(self, explained: Explained) -> Scores:
        """``value`` and the columns above, (N,) each."""
        from benchmark.metrics._spray import pooled

        maps = pooled(explained.attributions.detach().cpu().numpy(), self.pool)
        targets = explained.targets.cpu().numpy()
        columns = self.of_classes(maps, targets) | {"target": targets.astype(np.float64)}
        if explained.artefacts is not None:
            columns["carries"] = explained.artefacts.flatten(1).any(1).double().cpu().numpy()
        return columns

    def of_classes(self, maps: NDArray[np.float64], targets: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """The columns of every class that is large enough, from heatmaps (N, h, w) and classes (N,)."""
        from benchmark.metrics._spray import analyse

        names = ("value", "cluster", "x", "y", "silhouette", "eigengap")
        columns = {name: np.full(len(maps), np.nan) for name in names}
        usable = np.isfinite(maps).all((1, 2))
        for k in np.unique(targets):
            rows = np.flatnonzero(usable & (targets == k))
            if len(rows) < 2 * self.neighbours:
                continue
            clusters = analyse(maps[rows], self.neighbours)
            columns["value"][rows], columns["cluster"][rows] = clusters.suspicion, clusters.clusters
            columns["x"][rows], columns["y"][rows] = clusters.embedding.T
            columns["silhouette"][rows], columns["eigengap"][rows] = clusters.silhouette, clusters.eigengap
        return columns

    @classmethod
    def extras(cls, probes: Sequence[ExplainedResults]) -> Extras:
        """A table of detection and diagnostics, and a picture of each model's most suspicious class."""
        from benchmark.metrics._spray_report import report

        return report(probes)
