"""A leaderboard as CSV, Markdown, JSON and plain text. One writer a format, for the command line and for Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from shutil import get_terminal_size
from typing import Any

import numpy as np
import pandas as pd

from benchmark.report.ranking import Ranking, rows
from benchmark.report.settings_text import settings_lines
from benchmark.report.tables import FLOAT_FORMAT, to_csv
from benchmark.report.text import board_lines, cell_text, one_line, plain_text
from benchmark.results.heads import SIDES, Head

SCHEMA = 1
MOST_PAIRS = 12  # lines on pairs that stand open on a page; more are folded away
BRACKETS = "Values in brackets are 95 % intervals; `?` marks a value whose samples lack a verdict, with its two bounds."


def csv(board: Ranking) -> str:
    """Comma-separated values: stable floats, intervals as columns, no text that is a spreadsheet formula."""
    return to_csv(board.to_pandas()).decode()


def csv_of_several(boards: Sequence[Ranking]) -> str:
    """One file of several tables: a row a model, blank where its table lacks the column; ``task`` stands first."""
    frames = []
    for board in boards:
        frame = board.to_pandas()
        frame.insert(0, "task", board.name)
        frames.append(frame.astype(object))
    names = list(dict.fromkeys(name for frame in frames for name in frame))
    return to_csv(pd.concat([frame.reindex(columns=names) for frame in frames]).infer_objects()).decode()


def said(board: Ranking) -> list[str]:
    """The lines under a table in a terminal: places, pairs where they are few, remarks, what was verified."""
    return [*board.places, *(board.pairs if len(board.pairs) <= MOST_PAIRS else ()), *board.remarks, *board.checks]


# -- cells --------------------------------------------------------------------------------------------------------


def texts(board: Ranking, names: Sequence[str]) -> list[list[str]]:
    """Cells as people read them, a list a row: intervals behind their value, flags with their footnotes' numbers."""
    marks = board.marks()
    return [[_text(board, row, name, marks) for name in names] for _, row in board.frame.iterrows()]


def _text(board: Ranking, row: pd.Series, name: str, marks: Mapping[str, int]) -> str:
    if name == "flags" and isinstance(row[name], str):
        return flagged(row[name], marks)
    return " ".join(cell_text(row, name).split()) + own_n(board, row, name)


def own_n(board: Ranking, row: pd.Series, name: str) -> str:
    """`` (n 40)`` behind a number that is over other samples than the table; else nothing."""
    n = row[board.denominators[name]] if name in board.denominators else None
    return "" if n is None or pd.isna(n) or pd.isna(row[name]) else f" (n {int(n)})"


def markdown_texts(board: Ranking, names: Sequence[str]) -> pd.DataFrame:
    """Cells of a Markdown table: no markup but our own."""
    return pd.DataFrame([[one_line(text) for text in row] for row in texts(board, names)], columns=list(names))


def flagged(names: str, marks: Mapping[str, int]) -> str:
    """``zero-gradient (1) randomised (2)``."""
    return " ".join(f"{name} ({marks[name]})" if name in marks else name for name in names.split())


def about(board: Ranking) -> str:
    """The facts in one sentence."""
    return "; ".join(f"{name}: {text}" for name, text in board.about.items())


# -- Markdown -----------------------------------------------------------------------------------------------------


def markdown(board: Ranking) -> str:
    """The table with everything under it: places, pairs, footnotes, and the settings folded away."""
    names = board.page()
    heads = {name: _head(board, name).arrow for name in names}
    lines = [f"## {plain_text(board.title)}", "", f"{plain_text(about(board))}.", "", BRACKETS, ""]
    lines += [*board_lines(markdown_texts(board, names), names, heads), "", *under(board)]
    for name, found in board.settings.items():
        lines += settings_lines(found, f"Every setting needed to repeat {name}")
    return "\n".join(lines).rstrip() + "\n"


def under(board: Ranking) -> list[str]:
    """What stands under a table, as Markdown: places, pairs, remarks, footnotes of the flags."""
    lines = [f"- {plain_text(line)}" for line in board.places]
    pairs = [f"- {plain_text(line)}" for line in board.pairs]
    checks = [f"- {plain_text(line)}" for line in (*board.remarks, *board.checks)]
    if len(pairs) > MOST_PAIRS:
        pairs, checks = [], [*checks, "", "<details><summary>Every pair</summary>", "", *pairs, "", "</details>"]
    return [*lines, *pairs, *checks, "", *footnotes(board)]


def footnotes(board: Ranking) -> list[str]:
    """The flags' footnotes as Markdown."""
    if not board.notes:
        return []
    lines = ["Flags: what in this evaluation makes a robustness claim doubtful.", ""]
    for note in board.notes:
        lines.append(f"{note.number}. **{plain_text(note.name)}**: {plain_text(note.means)}.")
        lines += [f"   - {plain_text(model)}: {plain_text(words)}" for model, words in note.found]
    return [*lines, ""]


def _head(board: Ranking, name: str) -> Head:
    return board.heads.get(name, Head(name))


# -- plain text ---------------------------------------------------------------------------------------------------


def plain(board: Ranking) -> str:
    """A short table for a prompt: the first columns that fit, then the places in words."""
    names = board.page()
    cells = [names, *texts(board, names)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    room = get_terminal_size((110, 24)).columns
    fit = max(1, sum(1 for i in range(len(names)) if sum(widths[: i + 1]) + 2 * i <= room))
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row[:fit], widths, strict=False)) for row in cells]
    hidden = len(names) - fit
    head = f"{board.title} ({len(board.frame)} models" + (f"; {hidden} more columns)" if hidden else ")")
    return "\n".join([head, *[line.rstrip() for line in lines], *board.places, *board.remarks])


# -- JSON ---------------------------------------------------------------------------------------------------------


def json_text(board: Ranking) -> str:
    """JSON of one table."""
    return json.dumps(as_json(board), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def json_of_several(boards: Sequence[Ranking]) -> str:
    """JSON of several tables."""
    whole = {"schema": SCHEMA, "tables": [as_json(board) for board in boards]}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_json(board: Ranking) -> dict[str, Any]:
    """The table as JSON-able data; numbers are those of the CSV (six significant digits), blanks are null."""
    names = board.whole()
    return {
        "schema": SCHEMA,
        "name": board.name,
        "title": board.title,
        "about": dict(board.about),
        "ranked_by": board.lead or None,
        "columns": [_column(board, name) for name in names],
        "rows": [{name: _value(board, row, name) for name in names} for row in rows(board)],
        "places": list(board.places),
        "pairs": list(board.pairs),
        "remarks": list(board.remarks),
        "checks": list(board.checks),
        "flags": [
            {
                "number": note.number,
                "name": note.name,
                "means": note.means,
                "found": [{"model": model, "words": words} for model, words in note.found],
            }
            for note in board.notes
        ],
        "settings": {name: found.plain() for name, found in board.settings.items()},
    }


def _column(board: Ranking, name: str) -> dict[str, Any]:
    head = _head(board, name)
    better = {True: "higher", False: "lower", None: None}[head.better]
    return {"name": name, "better": better, "unit": head.unit, "interval": f"{name}_low" in board.frame}


def _value(board: Ranking, row: Mapping[str, Any], name: str) -> Any:
    if f"{name}_low" not in board.frame:
        return json_value(row[name])
    low, high = (json_value(row[f"{name}{side}"]) for side in SIDES)
    return {"value": json_value(row[name]), "low": low, "high": high}


def json_value(value: Any) -> Any:
    """A cell as JSON holds it."""
    if value is None or value is pd.NA or (isinstance(value, float) and not isfinite(value)):
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    return float(FLOAT_FORMAT % value) if isinstance(value, float | np.floating) else str(value)
