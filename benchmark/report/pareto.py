"""Which models nobody dominates: the Pareto front over clean accuracy, robustness and explanation quality.

Two models are compared on the suites where both have every axis of the suite. One dominates the other there if it is at
least as good on every axis and better on one. That is by point estimates; whether the gap is beyond the intervals is
said of each domination.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan

import pandas as pd

FRONT, BEHIND, OPEN = "front", "dominated", "open"


@dataclass(frozen=True)
class Axis:
    """A column in which models are compared."""

    suite: str
    name: str
    higher_is_better: bool


@dataclass(frozen=True)
class Domination:
    """One model is at least as good as another on every axis of these suites, and better on one.

    ``beyond``: the axes on which the two 95 % intervals do not overlap; none: within the intervals.
    """

    better: str
    worse: str
    suites: tuple[str, ...]
    beyond: tuple[str, ...]


def suites_of(table: pd.DataFrame, axes: Sequence[Axis]) -> dict[str, list[str]]:
    """Model (the index) to the suites on which it has a value on every axis."""
    named: dict[str, list[str]] = {}
    for axis in axes:
        named.setdefault(axis.suite, []).append(axis.name)
    return {
        str(model): [suite for suite, names in named.items() if not row[names].isna().any()]
        for model, row in table.iterrows()
    }


def dominations(table: pd.DataFrame, axes: Sequence[Axis]) -> list[Domination]:
    """Every pair of which one dominates the other.

    Args:
        table: indexed by model; the axes' columns, and ``<name>_low`` and ``<name>_high`` where known.
    """
    shared, found = suites_of(table, axes), []
    values = {axis.name: _column(table, axis.name) for axis in axes}
    bounds = {axis.name: [_column(table, f"{axis.name}{side}") for side in ("_low", "_high")] for axis in axes}
    for a in shared:
        for b in shared:
            both = [suite for suite in shared[a] if suite in shared[b]]
            of = [axis for axis in axes if axis.suite in both]
            if a == b or not of:
                continue
            gains = [(1 if x.higher_is_better else -1) * (values[x.name][a] - values[x.name][b]) for x in of]
            if min(gains) >= 0 and max(gains) > 0:
                ends = {x.name: [(bounds[x.name][0][m], bounds[x.name][1][m]) for m in (a, b)] for x in of}
                beyond = tuple(name for name, (ours, theirs) in ends.items() if apart(ours, theirs))
                found.append(Domination(a, b, tuple(both), beyond))
    return found


def _column(table: pd.DataFrame, name: str) -> dict[str, float]:
    """Model to its number; NaN throughout where there is no such column."""
    values = table[name].astype(float) if name in table else pd.Series(nan, index=table.index)
    return {str(model): float(value) for model, value in values.items()}


def marks(table: pd.DataFrame, axes: Sequence[Axis]) -> dict[str, str]:
    """Model to its mark; empty where no other model has all the axes of a suite that it has.

    ``front``: nobody dominates it. ``dominated``: somebody does, and on an axis by more than both intervals. ``open``:
    somebody does, but within the intervals on every axis, so that the data do not decide.
    """
    shared, found = suites_of(table, axes), dominations(table, axes)
    made = {}
    for model, own in shared.items():
        alone = not any(set(own) & set(others) for other, others in shared.items() if other != model)
        behind = [each for each in found if each.worse == model]
        sure = any(each.beyond for each in behind)
        made[model] = "" if alone else BEHIND if sure else OPEN if behind else FRONT
    return made


def apart(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two intervals do not overlap; never where a bound is unknown."""
    if any(isnan(bound) for bound in (*one, *other)):
        return False
    return one[1] < other[0] or other[1] < one[0]


def front_words(found: Sequence[Domination], order: Sequence[str], made: Mapping[str, str]) -> list[str]:
    """Who is on the front, and by whom each other one is dominated: the domination beyond the intervals first."""
    front = [model for model in order if made.get(model) == FRONT]
    lines = [f"On the Pareto front: {', '.join(front)}."] if front else []
    for model in order:
        behind = sorted((each for each in found if each.worse == model), key=lambda each: -len(each.beyond))
        if made.get(model) not in (BEHIND, OPEN):
            continue
        best, others = behind[0], len(behind) - 1
        where = f"beyond the intervals on {', '.join(best.beyond)}" if best.beyond else "within the intervals: open"
        more = f" and {others} more" if others else ""
        lines.append(f"{model} is dominated by {best.better}{more} on {', '.join(best.suites)} ({where}).")
    alone = [model for model in order if made.get(model) == ""]
    if alone:
        lines.append(f"No mark (no other model has the same axes): {', '.join(alone)}.")
    return lines
