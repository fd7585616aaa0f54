"""How cells and tables read in Markdown, and in the terminal too."""

from __future__ import annotations

import re
from math import isnan
from typing import Any

import pandas as pd

WIDE = 16  # columns of a table that fit a page
MANY = 8  # models that fit beside one another
DIGITS = 3
PAGE = 10  # columns of a page where there are many models


def number(value: Any, low: Any = None, high: Any = None) -> str:
    """``0.960 [0.933, 0.976]``; a blank with its bounds where samples have no verdict; ``–`` for nothing."""
    if value is None or pd.isna(value):
        if low is None or pd.isna(low):
            return "–"
        return f"? [{low:.3f}, {high:.3f}]"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    text = "0.000" if text == "-0.000" else text
    return text if low is None or isnan(low) else f"{text} [{low:.3f}, {high:.3f}]"


def cell_text(row: pd.Series, name: str) -> str:
    """One table cell with its interval."""
    if f"{name}_low" in row.index:
        return number(row[name], row[f"{name}_low"], row[f"{name}_high"])
    return number(row[name])


def table_lines(board: pd.DataFrame, names: list[str], heads: dict[str, str] | None = None) -> list[str]:
    """A Markdown table, a row a model; intervals stand behind their value."""
    heads = heads or {}
    lines = ["| " + " | ".join(heads.get(name, name) for name in names) + " |", "|" + "---|" * len(names)]
    for _, row in board.iterrows():
        lines.append("| " + " | ".join(cell_text(row, name).replace("|", "\\|") for name in names) + " |")
    return lines


def board_lines(board: pd.DataFrame, names: list[str], heads: dict[str, str] | None = None) -> list[str]:
    """A table of the leaderboard; where it would be too wide for a page, a row a column and a column a model."""
    if len(names) <= WIDE:
        return table_lines(board, names, heads)
    if len(board) > MANY:
        return page_lines(board, names[1:], heads)
    return transposed_lines(board, names[1:], heads)


def page_lines(board: pd.DataFrame, names: list[str], heads: dict[str, str] | None = None) -> list[str]:
    """Many models and many columns: some columns at a time."""
    parts = [names[i : i + PAGE] for i in range(0, len(names), PAGE)]
    return [line for part in parts for line in [*table_lines(board, ["model", *part], heads), ""]][:-1]


def transposed_lines(board: pd.DataFrame, names: list[str], heads: dict[str, str] | None = None) -> list[str]:
    """A row a column of the leaderboard, and a column a model."""
    heads = heads or {}
    models = [row for _, row in board.iterrows()]
    rows = [[heads.get(name, name), *[cell_text(row, name) for row in models]] for name in names]
    lines = ["| column | " + " | ".join(board["model"]) + " |", "|" + "---|" * (len(board) + 1)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def plain_text(text: str) -> str:
    """Text that markdown and HTML show as it is."""
    return re.sub(r"([\\|\[\]*])", r"\\\1", one_line(text))


def one_line(text: str) -> str:
    """Text of a table's cell: one line without HTML or code marks."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("`", "'")


def short(value: float) -> str:
    """A number for reading: three decimals, or three significant digits where it is very large or small."""
    if value != 0 and (abs(value) >= 10000 or abs(value) < 0.0005):
        return f"{value:.3g}".replace("-", "−")
    text = f"{value:.{DIGITS}f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")
