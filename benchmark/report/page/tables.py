"""Tables of the page: cells with what sorts them and where their interval's bar lies, columns in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import pandas as pd

from benchmark.report.columns import shown_columns
from benchmark.report.formats import own_n
from benchmark.report.leaderboard import Leaderboard
from benchmark.report.text import short
from benchmark.results.base import Results
from benchmark.results.heads import FACTS

FIRST = "Headline"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what it says.
        sort: what it is sorted by: a number or a text; "" where there is nothing, which comes last.
        low, high, at: the interval and the value in percent of the column's scale; None: no bar.
        heat: share in percent that colours the cell; None: none.
        links: (text, address within the page, explanation) of flags.
        above, chip: small words above the text and a chip after it.
    """

    text: str
    sort: str = ""
    low: float | None = None
    high: float | None = None
    at: float | None = None
    heat: float | None = None
    links: tuple[tuple[str, str, str], ...] = ()
    above: str = ""
    chip: str = ""


@dataclass(frozen=True)
class Head:
    """A column: ``kind`` in small letters above its ``name``, the group that it is shown with, a note as a chip."""

    key: str
    name: str
    kind: str = ""
    group: str = FIRST
    numeric: bool = True
    note: str = ""
    title: str = ""


@dataclass
class Grid:
    """A table: its columns, rows of cells (the first is the row's head), groups and whether they are shown at first."""

    key: str
    caption: str
    heads: list[Head]
    rows: list[list[Cell]]
    groups: dict[str, bool] = field(default_factory=dict)
    filtered: str = ""


def plain_cell(value: Any) -> Cell:
    """A value without an interval."""
    if value is None or (not isinstance(value, (list, tuple)) and pd.isna(value)) or value == "":
        return Cell("–")
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return Cell("yes" if value else "no", "1" if value else "0")
    if isinstance(value, (int, float)) or hasattr(value, "dtype"):
        number = float(value)
        whole = number.is_integer() and (not isinstance(value, float) or abs(number) >= 1000)
        return Cell(f"{int(number):,}" if whole else short(number), f"{number:.8g}")
    return Cell(str(value), str(value))


def scale(*columns: pd.Series) -> tuple[float, float]:
    """The ends of a column's bars: 0 and 1 for what lies between them, else 0 and the largest value or bound."""
    known = pd.concat(columns).astype(float)
    known = known[known.map(isfinite)]
    if not len(known):
        return 0.0, 1.0
    least, most = min(0.0, float(known.min())), float(known.max())
    return (0.0, 1.0) if least >= 0 and most <= 1 else (least, most if most > least else least + 1)


def interval_cells(table: pd.DataFrame, name: str, ends: tuple[float, float] | None = None) -> list[Cell]:
    """Cells of a column, with bars where the table has its ``_low`` and ``_high``."""
    if f"{name}_low" not in table:
        whole = _numeric(table[name]) and (table[name].dropna() % 1 == 0).all()
        return [plain_cell(int(value) if whole and not pd.isna(value) else value) for value in table[name]]
    low, high = table[f"{name}_low"], table[f"{name}_high"]
    start, end = ends or scale(low, high, table[name])
    found = []
    for value, a, b in zip(table[name], low, high, strict=True):
        known, bounded = not pd.isna(value), not (pd.isna(a) or pd.isna(b))
        text = short(float(value)) if known else (f"{short(float(a))} to {short(float(b))}?" if bounded else "–")
        marks = [None if pd.isna(x) else round(100 * (float(x) - start) / (end - start), 2) for x in (a, b, value)]
        found.append(Cell(text, f"{float(value):.8g}" if known else "", marks[0], marks[1], marks[2]))
    return found


def of_frame(
    key: str, table: pd.DataFrame, caption: str = "", heads: Mapping[str, Head] | None = None, filtered: str = ""
) -> Grid:
    """Any table: a column with its bounds becomes one with bars."""
    names = [str(name) for name in table]
    bounds = {f"{name}_{side}" for name in names for side in ("low", "high") if f"{name}_low" in names}
    names = [name for name in names if name not in bounds]
    own = heads or {}
    columns = [own.get(name) or Head(name, name.replace("_", " "), numeric=_numeric(table[name])) for name in names]
    cells = [interval_cells(table, name) for name in names]
    return Grid(key, caption, columns, [list(row) for row in zip(*cells, strict=True)], filtered=filtered)


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


# -- the leaderboard ---------------------------------------------------------------------------------------


def board_grid(results: Results, lead: Leaderboard) -> Grid:
    """The leaderboard: headline columns shown, the others by groups; flags link to their footnotes."""
    board = lead.frame
    first = [name for name in shown_columns(results, board) if name in board]
    bounds = {f"{name}_{side}" for name in board.columns for side in ("low", "high") if f"{name}_low" in board}
    rest = [str(name) for name in board.columns if name not in bounds and name not in first]
    rest = [name for name in rest if name == "model" or board[name].notna().any()]
    known = lead.heads
    groups = {name: known[name].group if name in known else FACTS for name in rest if name != "model"}
    order = [*first, *sorted(groups, key=lambda name: list(dict.fromkeys(groups.values())).index(groups[name]))]
    heads = []
    for name in order:
        said = known.get(name)
        words, at = ("", "") if said is None else (said.words, said.at)
        group = groups.get(name, FIRST)
        heads.append(Head(name, at or name.replace("_", " "), words, group, _numeric(board[name]), title=name))
    cells = [_flag_cells(lead) if name == "flags" else _counted(lead, name) for name in order]
    shown = {FIRST: True} | dict.fromkeys(dict.fromkeys(groups.values()), False)
    return Grid(
        "board", "Leaderboard", heads, [list(row) for row in zip(*cells, strict=True)], shown, filtered="models"
    )


def _counted(lead: Leaderboard, name: str) -> list[Cell]:
    """Cells of a column, each with its n where that is not the table's."""
    found = interval_cells(lead.frame, name)
    denominators = [own_n(lead, row, name).strip(" ()") for _, row in lead.frame.iterrows()]
    return [replace(cell, chip=n) if n else cell for cell, n in zip(found, denominators, strict=True)]


def _flag_cells(lead: Leaderboard) -> list[Cell]:
    """The flags of each model, each with a link to its footnote."""
    found = []
    for model in lead.frame["model"]:
        own = [note for note in lead.notes if any(who == model for who, _ in note.found)]
        links = tuple((note.name.replace("-", " "), f"#flag-{note.number}", note.means) for note in own)
        found.append(Cell("" if links else "–", str(len(own)) if own else "", links=links))
    return found


def matrix_grid(key: str, table: pd.DataFrame, caption: str = "") -> Grid:
    """A table of shares in [0, 1] with its rows named in the first column, coloured by value."""
    names = [str(name) for name in table]
    heads = [Head(name, name.replace("_", " ") if i == 0 else name, numeric=i > 0) for i, name in enumerate(names)]
    rows = []
    for _, row in table.iterrows():
        shares = [float(row[name]) for name in names[1:]]
        cells = [Cell("–") if pd.isna(x) else Cell(f"{x:.2f}", f"{x:.6g}", heat=round(100 * x, 1)) for x in shares]
        rows.append([Cell(str(row[names[0]]), str(row[names[0]])), *cells])
    return Grid(key, caption, heads, rows)


def is_matrix(table: pd.DataFrame, models: Sequence[str]) -> bool:
    """Whether a table has a row's name in its first column and a share for each model in the others."""
    names = [str(name) for name in table]
    return len(names) > 2 and names[0] == "computed_on" and set(names[1:]) <= set(models)
