"""The page's part on explanations: the table by what each metric is worth, ranks, inputs × explainers with masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchmark.errors import StoreError
from benchmark.report.columns import arrows
from benchmark.report.explainer_ranks import PASSING, explainer_ranks
from benchmark.report.explanations import control_explainers
from benchmark.report.page.pictures import diverging, outline, picture
from benchmark.report.page.tables import Cell, Grid, Head, of_frame
from benchmark.report.soundness import ORDER, verdict_on
from benchmark.results.base import Results

BOOKKEEPING = ("failed", "skipped", "missing")


def explained_grid(results: Results, explained: pd.DataFrame) -> Grid:
    """Means of every metric; metrics are grouped by the verdict on them, those that hold are shown at first."""
    table = explained.copy()
    marks, names = arrows(results), {m.name.replace("-", "_"): m.name for m in results.suite.metrics}
    worth = {column: verdict_on(results.suite, name) for column, name in names.items()}
    order = [v for v in ORDER if v in worth.values()]
    metrics = sorted(names, key=lambda column: order.index(worth[column]) if worth[column] in order else len(order))
    facts = [c for c in ("not_scored", *BOOKKEEPING) if c in table and table[c].map(_some).any()]
    columns = [f"{m}{side}" for m in metrics for side in ("", "_low", "_high")]
    heads = {
        m: Head(m, marks.get(m, m).replace("_", " "), group=worth[m], note=worth[m], title=names[m]) for m in metrics
    }
    grid = of_frame("explained", table[["explainer", *facts, *columns]], "Explanations", heads, "models and explainers")
    for row, model, control in zip(grid.rows, table["model"], table["control"], strict=True):
        name = row[0].text
        row[0] = Cell(name, f"{name} {model}", above=str(model), chip="control" if control else "")
    passing = [verdict for verdict in order if verdict in PASSING]
    few = len(metrics) <= 8
    grid.groups = {verdict: few or not passing or verdict in PASSING for verdict in order}
    return grid


def _some(value: object) -> bool:
    """Whether a cell says anything: neither nothing nor none of them."""
    return str(value) not in ("", "0", "0.0", "nan", "None")


def ranks_grid(results: Results) -> Grid | None:
    """Ranks of the explainers; None where nothing was ranked."""
    table = explainer_ranks(results)
    if not len(table):
        return None
    heads = {
        str(name): Head(str(name), str(name).removeprefix("rank_").replace("_", " "))
        for name in table
        if str(name).startswith(("rank_", "mean_rank"))
    }
    return of_frame("explainer-ranks", table, "Ranks of explainers", heads, filtered="models and explainers")


@dataclass
class Maps:
    """A model's grid: explainers across, samples down; pictures are data URIs.

    Attributes:
        model: its name.
        explainers: (name, whether it is a control).
        rows: label and explained class, the input, the mask's outline (an SVG path), and for each explainer a picture
            and the end of its scale.
        size: (W, H) of the masks, for the outlines.
    """

    model: str
    explainers: list[tuple[str, bool]]
    size: tuple[int, int]
    rows: list[dict[str, Any]] = field(default_factory=list)


def maps(results: Results) -> list[Maps]:
    """Of every model whose similarity cells kept what it is drawn from; a clone has the PNG files instead."""
    cells, found = results.cells[results.cells["kind"] == "similarity"], []
    classes = [str(name) for name in results.plan["dataset"]["classes"]]
    controls = control_explainers(results)
    for model in results.models:
        own = cells[cells["model"] == model]["hash"]
        try:
            kept = results.store.artefact(own.iloc[0], "gallery") if len(own) else None
        except StoreError:
            continue
        if kept is not None:
            found.append(_maps(model, kept, classes, controls))
    return found


def _maps(model: str, kept: dict[str, Any], classes: list[str], controls: list[str]) -> Maps:
    names = [str(name) for name in kept["explainers"]]
    order = sorted(range(len(names)), key=lambda e: names[e] in controls)
    high, wide = kept["inputs"].shape[-2:]
    one = Maps(model, [(names[e], names[e] in controls) for e in order], (wide, high))

    def named(k: int) -> str:
        return classes[k] if 0 <= k < len(classes) else str(k)

    for row in range(len(kept["samples"])):
        label = int(kept["labels"][row])
        targets = sorted({int(k) for k in kept["targets"][:, row] if k >= 0} - {label})
        has = "masks" in kept and kept["masks"][row].any()
        shown = []
        for e in order:
            values = kept["attributions"][e, row]
            if np.isfinite(values).all():
                uri, top = diverging(values)
                shown.append((uri, f"±{top:.2g}" if top else "0"))
            else:
                shown.append(("", "–"))
        image = kept["inputs"][row].astype(np.float64) / 255
        one.rows.append(
            {
                "sample": str(kept["samples"][row]),
                "label": named(label),
                "targets": [named(k) for k in targets],
                "input": picture(image if len(image) == 3 else image.mean(0, keepdims=True), 128),
                "outline": outline(kept["masks"][row, 0]) if has else "",
                "maps": shown,
            }
        )
    return one
