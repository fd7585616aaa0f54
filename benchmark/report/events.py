"""What attacks did to each sample: columns of equal length, in the order in which a page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import stats
from benchmark.report.text import short
from benchmark.reported import Estimate
from benchmark.results.base import Condition, Results

HELD, BROKEN, WRONG, OPEN = range(4)  # what happened to a sample


@dataclass
class Events:
    """What an attack did to a model's samples, in the order in which it is shown: columns of equal length.

    ``by`` names the column that orders them, ``made`` says that the inputs were made from nothing.
    """

    samples: list[str]
    columns: dict[str, list[Any]]
    share: Estimate
    words: str
    of: int
    views: int = 1
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    by: str = ""
    made: bool = False


def views_of(rows: pd.DataFrame) -> int:
    """How many rows a sample has at most."""
    return int(rows.groupby("sample", sort=False)["sample"].transform("size").max())


def broken_samples(results: Results, model: str, condition: Condition, norm: str, rows: pd.DataFrame) -> Events:
    """Rows of a task with verdicts, one a sample: of several views the one that comes nearest to another class."""
    several = views_of(rows)
    good = rows["status"].to_numpy() == "ok"
    won = rows["success"].fillna(False).astype(bool).to_numpy() & good
    share_of_views = pd.Series(won).groupby(rows["sample"].to_numpy()).mean() if several > 1 else None
    one = rows.assign(_won=won, _good=good)
    if several > 1:
        keys = ["_won", "margin"] if "margin" in one else ["_won"]
        one = one.sort_values(keys, ascending=[False, True][: len(keys)], kind="stable").drop_duplicates("sample")
    right = results.correct(model).reindex(one["sample"]).to_numpy()
    if "reference_correct" in one:  # what counts is the view without the perturbation
        right = one["reference_correct"].astype(float).to_numpy()
    state = np.where(one["_won"], BROKEN, np.where(right == 0, WRONG, np.where(one["_good"], HELD, OPEN)))
    size = f"norm_{norm}"
    clean = results.clean(model)
    columns: dict[str, list[Any]] = {
        "state": state.tolist(),
        "label": whole(one, "label"),
        "before": whole(one, "pred_clean"),
        "pred": whole(one, "pred"),
        "norm": floats(np.where(one["_good"], one[size], np.nan)) if size in one else [],
        "margin": floats(one["margin"].to_numpy(float)) if "margin" in one else [],
        "sure": floats(clean["confidence"].reindex(one["sample"]).to_numpy(float)) if "confidence" in clean else [],
        "now": after(one, "confidence_perturbed"),
        "views": floats(share_of_views.reindex(one["sample"]).to_numpy()) if share_of_views is not None else [],
    }
    outcome = results.outcome(model, condition)
    asked = outcome[results.correct(model).reindex(outcome.index) != 0]
    share = results.rate(model, 1 - asked)
    words = f"{int((asked == 0).sum())} of {len(asked)} right samples broken"
    if several > 1:
        words += f" under at least one of {several} views"
    return _ordered(one, columns, Events([], {}, share, words, len(asked), several, rows))


def measured_samples(results: Results, norm: str, rows: pd.DataFrame) -> Events | None:
    """Rows of a task that judges by numbers; of several views the worst; None where nothing is measured."""
    several, task = views_of(rows), results.task
    names = [name for name in task.measured if name in rows]
    column = next((s.column for s in task.scores() if s.name == task.headline), "")
    if not column or column not in rows:
        column = next(iter(names), "")
    norms = [name for name in ("norm_l2", "norm_linf") if name in rows]
    if not column or (norms and not rows[norms].to_numpy(float).any()):  # it measures the network, perturbs nothing
        return None
    ok = rows["status"].to_numpy() == "ok"
    one = rows.assign(_good=ok)
    one = one.sort_values(column, ascending=False, kind="stable").drop_duplicates("sample")
    size = f"norm_{norm}"
    columns: dict[str, list[Any]] = {
        "state": np.where(one["_good"], HELD, OPEN).tolist(),
        "norm": floats(one[size].to_numpy(float)) if size in one else [],
    }
    columns |= {name: floats(one[name].to_numpy(float)) for name in names}
    values = rows.loc[ok, column].to_numpy(float)
    mean = float(np.nanmean(values)) if len(values) and np.isfinite(values).any() else float("nan")
    share = Estimate(mean, float("nan"), float("nan"), len(values))
    words = f"mean {column} {short(mean)} over {len(one)} samples" if isfinite(mean) else "no valid verdict"
    words += f" under {several} views each" if several > 1 else ""
    found = Events([], {}, share, words, len(one), several, rows, by=column)
    return _ordered(one, columns, found, (-one[column]).fillna(np.inf).tolist())


def _ordered(
    one: pd.DataFrame, columns: dict[str, list[Any]], found: Events, by: Sequence[float | None] = ()
) -> Events:
    """By these values, else by norm, equal ones (a budget spent whole) by margin; missing ones last."""
    found.by = found.by or next((name for name in ("norm", "margin") if columns.get(name)), "")
    by = by or columns.get(found.by) or columns["state"]
    key = np.array([np.inf if value is None else value for value in by], dtype=float)
    state = np.asarray(columns["state"])
    margin = columns.get("margin") or [0.0] * len(key)
    tie = np.array([np.inf if value is None else value for value in margin], dtype=float)
    order = np.lexsort((tie, key, state == OPEN))  # norms are rounded: those of a whole budget are equal
    samples = one["sample"].tolist()
    found.samples = [samples[i] for i in order]
    found.columns = {name: [values[i] for i in order] for name, values in columns.items() if len(values)}
    return found


def generated_samples(rows: pd.DataFrame) -> Events:
    """Inputs that an attack made from nothing, one a class."""
    good = rows["status"].to_numpy() == "ok"
    won = rows["success"].fillna(False).astype(bool).to_numpy() & good
    columns: dict[str, list[Any]] = {
        "state": np.where(won, BROKEN, np.where(good, HELD, OPEN)).tolist(),
        "label": whole(rows, "label"),
        "pred": whole(rows, "pred"),
        "now": after(rows, "confidence"),
    }
    words = f"{int(won.sum())} of {len(rows)} made inputs are taken for their class"
    share = stats.rate(np.where(good, won.astype(float), np.nan))
    return Events(rows["sample"].tolist(), columns, share, words, len(rows), 1, rows, made=True)


def after(rows: pd.DataFrame, name: str) -> list[Any]:
    """Confidence on the perturbed input; records of an older version have none."""
    return floats(rows[name].to_numpy(float)) if name in rows else []


def whole(rows: pd.DataFrame, name: str) -> list[Any]:
    """Classes; of a task without classes the numbers themselves."""
    found = floats(rows[name].to_numpy(float)) if name in rows else []
    return [value if value is None or value % 1 else int(value) for value in found]


def floats(values: NDArray[Any]) -> list[Any]:
    """Four significant digits; what is not finite is None."""
    return [float(f"{value:.4g}") if isfinite(value) else None for value in values]
