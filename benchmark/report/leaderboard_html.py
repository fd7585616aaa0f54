"""A leaderboard as HTML for a notebook: intervals as small bars, words under it, settings folded away.

No script and no style sheet; colours are the page's own, so that it reads on light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import isnan
from typing import Any

import pandas as pd

from benchmark.report.formats import about, texts
from benchmark.report.leaderboard import Leaderboard
from benchmark.report.settings_text import COLUMNS, fact_rows, part_cells
from benchmark.report.text import cell_text

WIDE, HIGH = 96, 8  # of a bar, in pixels
CELL = 'style="padding:.25em .6em;border-bottom:1px solid rgba(128,128,128,.35)'
TABLE = '<table style="border-collapse:collapse">'
SCROLL = '<div style="overflow-x:auto">'


def html(board: Leaderboard) -> str:
    """The table, what stands under it, and its settings."""
    parts = [f"<strong>{escape(board.title)}</strong>", f'<div style="opacity:.8">{escape(about(board))}</div>']
    parts += [_table(board), _list([*board.places, *board.remarks, *board.checks])]
    if board.pairs:
        parts.append(f"<details><summary>Every pair</summary>{_list(board.pairs)}</details>")
    for note in board.notes:
        found = "; ".join(f"{model}: {words}" for model, words in note.found)
        parts.append(
            f"<div><sup>{note.number}</sup> <em>{escape(note.name)}</em>: {escape(f'{note.means}. {found}.')}</div>"
        )
    for name, kept in board.settings.items():
        rows = [[key, text] for key, text in fact_rows(kept)]
        body = _plain_table(("setting", "value"), rows) + _plain_table(COLUMNS, [part_cells(p) for p in kept.parts])
        summary = escape(f"Every setting needed to repeat {name}")
        parts.append(f"<details><summary>{summary}</summary>{body}</details>")
    return "<div>" + "\n".join(parts) + "</div>"


def run_html(
    board: Leaderboard,
    explanations: pd.DataFrame,
    counts: Mapping[str, int],
    parts: Sequence[Leaderboard] = (),
    remarks: Sequence[str] = (),
) -> str:
    """A run: its cells, its leaderboard, its explanations with their remarks, and its suite's parts folded away."""
    cells = escape(", ".join(f"{name} {n}" for name, n in counts.items()))
    texts_ = [html(board)]
    if len(explanations):
        names = [str(name) for name in explanations if not str(name).endswith(("_low", "_high"))]
        names = [name for name in names if not name.startswith(("nan_", "n_"))]
        rows = [[cell_text(row, name) for name in names] for _, row in explanations.iterrows()]
        texts_.append(f"<details><summary>Explanations</summary>{_plain_table(names, rows)}{_list(remarks)}</details>")
    texts_ += [f"<details><summary>{escape(part.title)}</summary>{html(part)}</details>" for part in parts]
    return f'<div>{"".join(texts_)}<div style="opacity:.8">cells: {cells}</div></div>'


def _table(board: Leaderboard) -> str:
    names = board.page()
    heads = [board.heads[name].arrow if name in board.heads else name for name in names]
    body = []
    for (_, row), cells in zip(board.frame.iterrows(), texts(board, names), strict=True):
        shown = [_cell(board, row, name, text) for name, text in zip(names, cells, strict=True)]
        body.append(f"<tr>{''.join(shown)}</tr>")
    head = "".join(f'<th scope="col" {CELL};text-align:left;white-space:nowrap">{escape(text)}</th>' for text in heads)
    return f"{SCROLL}{TABLE}<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"


def _cell(board: Leaderboard, row: pd.Series, name: str, text: str) -> str:
    if name == "model":
        return f'<th scope="row" {CELL};text-align:left;white-space:nowrap">{escape(text)}</th>'
    bar = _bar(board, row, name) if f"{name}_low" in board.frame else ""
    value, bracket, interval = text.partition(" [")
    small = f' <small style="opacity:.75">{escape(bracket.strip() + interval)}</small>' if bracket else ""
    return f'<td {CELL};text-align:left;white-space:nowrap">{escape(value)}{small}{bar}</td>'


def _bar(board: Leaderboard, row: pd.Series, name: str) -> str:
    """The interval as a line on the column's scale ([0, 1] of a share), the value as a dot on it."""
    start, end = _scale(board, name)
    low, high = (_place(row[f"{name}{side}"], start, end) for side in ("_low", "_high"))
    value = _place(row[name], start, end)
    if low is None or high is None:
        return ""
    dot = "" if value is None else f'<circle cx="{value:.1f}" cy="{HIGH / 2}" r="2" fill="currentColor"/>'
    thick = 'stroke="currentColor" stroke-width="4" opacity=".45"'
    line = f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{HIGH / 2}" y2="{HIGH / 2}" {thick}/>'
    axis = f'<line x1="0" x2="{WIDE}" y1="{HIGH - 0.5}" y2="{HIGH - 0.5}" stroke="currentColor" opacity=".3"/>'
    size = f'width="{WIDE}" height="{HIGH}" viewBox="0 0 {WIDE} {HIGH}"'
    return f'<br><svg {size} aria-hidden="true">{axis}{line}{dot}</svg>'


def _scale(board: Leaderboard, name: str) -> tuple[float, float]:
    if name in board.heads and board.heads[name].unit == "share":
        return 0.0, 1.0
    low, high = (board.frame[f"{name}{side}"].astype(float) for side in ("_low", "_high"))
    return float(low.min()), float(high.max())


def _place(value: Any, start: float, end: float) -> float | None:
    number = float(value)
    if isnan(number):
        return None
    return 3 + (WIDE - 6) * ((number - start) / (end - start) if end > start else 0.5)


def _list(lines: Any) -> str:
    return "<ul>" + "".join(f"<li>{escape(str(line))}</li>" for line in lines) + "</ul>" if lines else ""


def _plain_table(heads: Any, rows: Any) -> str:
    head = "".join(f'<th {CELL};text-align:left">{escape(text)}</th>' for text in heads)
    top = f'<td {CELL};text-align:left;vertical-align:top">'
    body = "".join(f"<tr>{''.join(f'{top}{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return f"{SCROLL}{TABLE}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
