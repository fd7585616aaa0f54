"""Columns of a leaderboard as objects: what each measures and where, its direction, unit, group; and a model's row."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from typing import Any

import numpy as np
import pandas as pd

from benchmark import stats
from benchmark.reported import Column, Estimate
from benchmark.results.base import Results
from benchmark.seeds import derive

COUNTS = ("cells", "failed", "skipped", "missing", "nan", "out_of_budget")
DIGESTS = ("entry_digest", "dataset_digest", "records_digest")
SIDES = ("_low", "_high")
# Groups of columns that a page folds away, in its order; a column of none of them stands among the facts.
COUNTED, DENOMINATORS, CLEAN, BUDGETS, ROUNDED, SUCCESS, ROBUST, NORMS, QUERIES, OWN, FACTS = (
    "Counts",
    "Denominators",
    "Clean",
    "Other budgets",
    "Attack success after 8 bits",
    "Attack success",
    "Robust accuracy",
    "Norms",
    "Queries",
    "Attacks' own",
    "Facts",
)


@dataclass(frozen=True)
class Head:
    """What a column says.

    Attributes:
        name: as in the CSV.
        better: True where higher is better, False where lower is, None where neither.
        unit: ``"share"`` (a rate in [0, 1]), ``"input units"``, ``"forwards"``, ``"count"``, or empty.
        group: the columns that it is shown with.
        words: what it measures, for people; empty: its name says it.
        at: where it is measured, such as ``"pgd · 0.03137"``.
        probe: the attack that it is of; empty: of none, or of several.
    """

    name: str
    better: bool | None = None
    unit: str = ""
    group: str = FACTS
    words: str = ""
    at: str = ""
    probe: str = ""

    @property
    def arrow(self) -> str:
        """The name with the direction that is better."""
        return self.name + {True: " ↑", False: " ↓", None: ""}[self.better]


class Row(dict[str, Any]):
    """A model's columns.

    Attributes:
        heads: what each column says, of those that are numbers with an interval.
        whys: why a column has no interval, or no number.
    """

    def __init__(self, **columns: Any) -> None:
        super().__init__(columns)
        self.heads: dict[str, Head] = {}
        self.whys: dict[str, str] = {}

    def count(self, name: str, n: int, group: str = DENOMINATORS) -> None:
        """A number of samples."""
        self[name], self.heads[name] = n, Head(name, None, "count", group)

    def put(self, head: Head, estimate: Estimate, whole: int | None = None) -> None:
        """A number with its bounds; with its own denominator where that is not ``whole``."""
        name = head.name
        self[name], self[f"{name}_low"], self[f"{name}_high"] = estimate.value, estimate.low, estimate.high
        self.heads[name] = head
        if whole is not None and estimate.n + estimate.missing * isnan(estimate.low) != whole:
            self.count(f"n_{name}", estimate.n)
        if estimate.why:
            self.whys[name] = estimate.why


def head_of(column: Column, group: str, **more: Any) -> Head:
    """Of a column that a task or an attack declares."""
    name = more.pop("name", column.name)
    return Head(name, column.higher_is_better, "share" if column.statistic == "rate" else "", group, **more)


def put_clean(results: Results, model: str, row: Row) -> None:
    """The columns of clean predictions that the task declares."""
    clean, planned = results.clean(model), results.samples(model)
    for column in results.task.columns(results.classes):
        head = head_of(column, CLEAN, words=column.words, at=column.at)
        if not len(clean):
            bounds = (0.0, 1.0) if column.statistic == "rate" else (nan, nan)
            row.put(head, Estimate(nan, *bounds, 0, len(planned)))
            continue
        values = pd.Series(np.asarray(column.values(clean), dtype=float), index=clean.index)
        if column.statistic == "rate":
            estimate = results.rate_of_known(model, values)
        else:
            groups = results.groups(model, clean.index)
            estimate = stats.bootstrap(values.to_numpy(), column.statistic, groups, derive("bootstrap", column.name))
        row.put(head, estimate)
