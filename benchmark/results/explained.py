"""A metric's own part of a report, and attributions that a run left: read from records, artefacts and data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.data.base import Batch, Grid, open_dataset
from benchmark.errors import AssayError
from benchmark.metrics.base import Metric, metrics
from benchmark.results.base import Results
from benchmark.results.probes import filled, with_clean
from benchmark.results.view import SuiteView


@dataclass
class ExplainedView(SuiteView):
    """A metric's results with one explainer, as :class:`benchmark.reported.ExplainedResults` describes them."""

    name: str
    metric: Metric
    explainer: str

    def rows(self, model: str) -> pd.DataFrame:
        """See :class:`benchmark.reported.ExplainedResults`."""
        rows = self.results.rows
        rows = rows[(rows["kind"] == "score") & (rows["metric"] == self.name)]
        rows = rows[(rows["probe"] == self.explainer) & (rows["model"] == model)]
        return with_clean(filled(rows), self.results.clean(model)) if len(rows) else rows

    def attributions(self, model: str) -> tuple[Sequence[str], NDArray[Any], NDArray[Any]] | None:
        """See :func:`attributions`."""
        return attributions(self.results, model, self.explainer)

    def inputs(self, samples: Sequence[str]) -> NDArray[Any] | None:
        """See :func:`samples_at_hand`."""
        batch = samples_at_hand(self.results, samples)
        return None if batch is None else batch.inputs


def attributions(
    results: Results, model: str, explainer: str
) -> tuple[Sequence[str], NDArray[np.int64], NDArray[np.float32]] | None:
    """What the explain cells of a model and explainer left.

    Returns:
        sample ids, explained classes (N,) and attributions (N, C, H, W) of all cells whose artefacts are at hand, or
        None where there are none: a clone has the records only, and a failed cell left nothing.
    """
    cells = results.cells
    chosen = (cells["kind"] == "explain") & (cells["model"] == model) & (cells["probe"] == explainer)
    parts = []
    for cell in cells["hash"][chosen]:
        try:
            arrays, rows = results.store.artefact(cell, "attributions"), results.store.rows(cell)
        except AssayError:
            continue
        parts.append((rows["sample"].tolist(), np.asarray(rows["target"], np.int64), arrays["attributions"]))
    if not parts:
        return None
    samples = [name for part in parts for name in part[0]]
    return samples, np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])


def samples_at_hand(results: Results, samples: Sequence[str], where: Mapping[str, Path] | None = None) -> Batch | None:
    """Samples on the suite's grid, with masks where known; None where the data are not at hand, or have changed since.

    Args:
        results: of the suite.
        samples: ids.
        where: paths by the dataset's label; default: those that the results were read with.
    """
    spec = results.suite.dataset
    path = (where or results.where).get(spec.label)
    try:
        dataset = open_dataset(spec.use, spec.params, path=path, classes=spec.classes, order=spec.order)
        if dataset.index(spec.split).digest != results.plan["dataset"]["digest"]:
            return None
        return dataset.load(spec.split, samples, Grid.of(spec), masks=True)
    except (AssayError, OSError):
        return None


def explained_views(results: Results) -> list[ExplainedView]:
    """Every use of a metric with an explainer whose plugin is known here (a stranger's needs ``--include``)."""
    found = []
    for probe in results.suite.explainers:
        for metric in results.suite.metrics:
            if probe.metrics is not None and metric.name not in probe.metrics:
                continue
            try:
                found.append(ExplainedView(results, metric.name, metrics.make(metric.use, metric.params), probe.name))
            except AssayError:
                continue
    return found
