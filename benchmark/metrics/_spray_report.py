"""SpRAy in a report: a table of every model, explainer and class, and a picture a model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.attacks.base import Extras
from benchmark.intervals import auc_interval
from benchmark.metrics._spray_picture import draw, of_class
from benchmark.metrics.base import ExplainedResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS = ["suspicion", "auc", "auc_low", "auc_high", "clusters", "silhouette", "eigengap"]
CAPTION = (
    "Spectral relevance analysis (SpRAy) of the heatmaps of one explained class. `suspicion`: mean of the most"
    " suspicious cluster; `auc`: how well a sample's suspicion tells samples with the known false structure from those"
    " without (interval: Newcombe 2006). `silhouette` and `eigengap` are diagnostics: they do not tell a Clever Hans"
    " from an honest model."
)


def report(probes: Sequence[ExplainedResults]) -> Extras:
    """``spray.csv`` of all classes, shown for one class; pictures of the first explainer."""
    extra = Extras()
    parts = [table(probe, model) for probe in probes for model in probe.models]
    parts = [part for part in parts if len(part)]
    if not parts:
        return extra
    whole = pd.concat(parts, ignore_index=True)
    extra.tables["spray"] = whole
    extra.shown["spray"] = most_suspicious(whole)
    extra.captions["spray"] = CAPTION + " Shown for the class with known carriers, else the most suspicious one."
    first = probes[0]
    for model in first.models:
        part = most_suspicious(whole[(whole["model"] == model) & (whole["explainer"] == first.explainer)])
        if not len(part):
            continue
        stem, k = f"spray_{model.replace('-', '_')}", str(part["class"].iloc[0])
        extra.captions[stem] = (
            f"Heatmaps of {model} ({first.explainer}) for class {k}: embedding coloured by cluster, eigenvalues of the"
            " graph, and each cluster's mean heatmap beside its most typical samples (above) and their heatmaps (below;"
            " red speaks for the class, blue against)."
        )
        if first.attributions(model) is not None:
            extra.figures[stem] = partial(picture, first, model, list(first.classes).index(k))
    return extra


def table(probe: ExplainedResults, model: str) -> pd.DataFrame:
    """A row a class that was large enough."""
    rows = probe.rows(model)
    lines: list[dict[str, Any]] = []
    if not len(rows) or "own_cluster" not in rows:
        return pd.DataFrame(lines)
    for k, part in rows[rows["own_cluster"].notna()].groupby("own_target", sort=True):
        values = part["value"].to_numpy(dtype=float)
        line = {
            "model": model,
            "explainer": probe.explainer,
            "class": probe.classes[int(float(str(k)))],
            "n": len(part),
        }
        carries = part["own_carries"].to_numpy(dtype=float) == 1 if "own_carries" in part else np.zeros(len(part), bool)
        line["carriers"] = int(carries.sum())
        estimate, low, high = auc_interval(values, carries)
        means = part.groupby("own_cluster")["value"].mean()
        numbers = [means.max(), estimate, low, high, len(means)]
        numbers += [part[f"own_{name}"].iloc[0] if f"own_{name}" in part else np.nan for name in NUMBERS[-2:]]
        lines.append(line | dict(zip(NUMBERS, numbers, strict=True)))
    return pd.DataFrame(lines)


def most_suspicious(whole: pd.DataFrame) -> pd.DataFrame:
    """Of each model and explainer the class with most carriers; where there are none, the most suspicious one."""
    order = whole.sort_values(["carriers", "suspicion"], ascending=False, kind="stable")
    return order.drop_duplicates(["model", "explainer"]).sort_index().reset_index(drop=True)


def picture(probe: ExplainedResults, model: str, k: int) -> Figure:
    """The picture of one class."""
    rows = probe.rows(model)
    carries = None
    if "own_carries" in rows:
        carries = dict(zip(rows["sample"], rows["own_carries"].astype(float) == 1, strict=True))
    metric: Any = probe.metric
    title = f"{model}, {probe.explainer}, class {probe.classes[k]}"
    known = probe.attributions(model)
    assert known is not None  # the caller looked
    return draw(of_class(known, k, title, metric.neighbours, metric.pool, probe.inputs, carries))
