"""Two leaderboard.csv files of one suite, old and new: what moved, and whether beyond the intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.errors import UsageError
from benchmark.report.pareto import apart
from benchmark.report.text import number
from benchmark.results.heads import DIGESTS, SIDES
from benchmark.sentences import listed

KEYS = ("model", "rank", "n", "entry_digest", "dataset_digest")
BEYOND, WITHIN, OTHER, CAME, WENT = "beyond the intervals", "within the intervals", "changed", "appeared", "vanished"
ORDER = (BEYOND, WENT, CAME, OTHER, WITHIN)


@dataclass(frozen=True)
class Move:
    """One cell that differs: what stood there, what stands there, and how (one of :data:`ORDER`)."""

    model: str
    column: str
    old: str
    new: str
    how: str


@dataclass(frozen=True)
class Moves:
    """What differs between two leaderboards.

    Attributes:
        moves: cells of models and columns that both have, those beyond the intervals first.
        same: how many of these cells are the same.
        lines: in words: models and columns of one of the two alone, digests that differ, what that means.
    """

    moves: tuple[Move, ...]
    same: int
    lines: tuple[str, ...]


def differences(old: Path, new: Path) -> Moves:
    """Compare two ``leaderboard.csv``, joined by model and column.

    A value with intervals on both sides moved *beyond* them where the two 95 % intervals do not overlap, else *within*.

    Raises:
        UsageError: a file that is no leaderboard, or no model in both.
    """
    before, after = read_board(old), read_board(new)
    models = [name for name in before.index if name in after.index]
    if not models:
        raise UsageError(
            f"{old} and {new} have no model in common ({listed(list(before.index))}; {listed(list(after.index))}):"
            " give two leaderboards of one suite"
        )
    bounds = {f"{name}{side}" for name in [*before, *after] for side in SIDES}
    names = [str(c) for c in before if c in after and c not in bounds and c not in DIGESTS]
    found, same = [], 0
    for model in models:
        for name in names:
            how = _how(before.loc[model], after.loc[model], name)
            if how:
                found.append(Move(model, name, _text(before.loc[model], name), _text(after.loc[model], name), how))
            else:
                same += 1
    ordered = sorted(found, key=lambda move: ORDER.index(move.how))
    return Moves(tuple(ordered), same, tuple(_lines(before, after, models, bounds, bool(found))))


def read_board(file: Path) -> pd.DataFrame:
    """A leaderboard.csv, indexed by model.

    Raises:
        UsageError: it cannot be read, or is no leaderboard.
    """
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not a readable CSV file: {error}") from None
    lacking = [name for name in KEYS if name not in table]
    if lacking:
        wanted = f"a leaderboard.csv of `assay report` with the columns {listed(KEYS)}"
        raise UsageError(f"{file}: not a leaderboard: expected {wanted}; it lacks {listed(lacking)}")
    if table["model"].duplicated().any():
        raise UsageError(
            f"{file}: not a leaderboard: expected one row a model, {table['model'].mode()[0]!r} has several"
        )
    return table.set_index("model")


def _how(old: pd.Series, new: pd.Series, name: str) -> str:
    """How a cell differs; empty where it does not."""
    was, is_ = old[name], new[name]
    if pd.isna(was) or pd.isna(is_):
        return "" if pd.isna(was) and pd.isna(is_) else CAME if pd.isna(was) else WENT
    if was == is_:
        return ""
    if not all(f"{name}{side}" in row.index for row in (old, new) for side in SIDES):
        return OTHER
    before, after = (_interval(row, name) for row in (old, new))
    if any(isnan(bound) for bound in (*before, *after)):
        return OTHER
    return BEYOND if apart(before, after) else WITHIN


def _interval(row: pd.Series, name: str) -> tuple[float, float]:
    low, high = (float(row[f"{name}{side}"]) for side in SIDES)
    return low, high


def _text(row: pd.Series, name: str) -> str:
    value: Any = row[name]
    if f"{name}_low" in row.index:
        return number(value, row[f"{name}_low"], row[f"{name}_high"])
    if isinstance(value, float) and value.is_integer():  # counts and ranks, which blanks elsewhere made floats
        return str(int(value))
    return number(value)


def _lines(
    before: pd.DataFrame, after: pd.DataFrame, models: list[str], bounds: set[str], anything: bool
) -> Iterator[str]:
    """What is in one of the two alone, and which digests differ."""
    for what, one, other in (
        ("model", list(before.index), list(after.index)),
        ("column", [c for c in before if c not in bounds], [c for c in after if c not in bounds]),
    ):
        for where, names in (("old", [n for n in one if n not in other]), ("new", [n for n in other if n not in one])):
            if names:
                yield f"{what}{'' if len(names) == 1 else 's'} of the {where} one alone: {', '.join(map(str, names))}"
    data, sizes, entries = (
        [model for model in models if str(before[column][model]) != str(after[column][model])]
        for column in ("dataset_digest", "n", "entry_digest")
    )
    if data:
        yield f"other data ({', '.join(data)}): the two are not comparable, whatever the intervals say"
    if sizes:
        yield f"another number of samples: {', '.join(sizes)}"
    if entries:
        yield f"another model under the same name (its entry changed): {', '.join(entries)}"
    if anything and not data and not entries:
        yield "the same data and entries: what moved is due to the suite, an attack, a library or the device"
