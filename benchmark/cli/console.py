"""Where commands print their tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from benchmark.files import Rehash

WIDTH_WHEN_PIPED = 100
MOST_LINES = 20  # of one list
LOOSE = 28  # characters that a column of sentences takes at least
BESIDE, EDGE = 3, 1  # characters that a table adds to each column, and once


def table_console() -> Console:
    """Standard output: as wide as COLUMNS says, else as the terminal is, or a fixed width where it is none."""
    from rich.console import Console

    given = os.environ.get("COLUMNS", "")
    width = None if sys.stdout.isatty() else WIDTH_WHEN_PIPED
    return Console(width=int(given) if given.isdigit() and int(given) else width, highlight=False)


def fitted(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    keys: int = 1,
    left: Collection[int] = (),
    loose: Collection[int] = (),
    sections: Collection[int] = (),
) -> Iterator[Table]:
    """A table as several that fit a width: all rows and the key columns in each, the other columns in turn.

    Nothing is cut: what is wider than the width even alone goes on in the next line.

    Args:
        title: above the first one.
        heads: of the columns; they may break at spaces.
        rows: cells, a text a column.
        width: characters of a line.
        keys: how many columns name a row.
        left: columns that are set to the left; keys are anyway.
        loose: columns of sentences, which may break.
        sections: rows before which there is a line.
    """
    from rich.table import Table

    for i, block in enumerate(blocks(heads, rows, width=width, keys=keys, loose=loose)):
        table = Table(title=None if i else title, title_justify="left")
        wide = [_wide(heads[k], [row[k] for row in rows], k in loose) for k in block]
        fits = sum(wide) + EDGE <= width  # else one column alone is too wide, and goes on in the next line
        for k, whole in zip(block, wide, strict=True):
            justify: Literal["left", "right"] = "left" if k < keys or k in left or k in loose else "right"
            least = whole - BESIDE if fits else None  # a name is not broken where a head can be
            table.add_column(heads[k], justify=justify, overflow="fold", min_width=least)  # never an ellipsis
        for n, row in enumerate(rows):
            if n in sections:
                table.add_section()
            table.add_row(*[row[k] for k in block])
        yield table


def blocks(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, width: int, keys: int = 1, loose: Collection[int] = ()
) -> list[list[int]]:
    """The columns of each table of :func:`fitted`."""
    wide = [_wide(heads[k], [row[k] for row in rows], k in loose) for k in range(len(heads))]
    room = width - EDGE - sum(wide[:keys])
    groups: list[list[int]] = [[]]
    used = 0
    for k in range(keys, len(heads)):
        if groups[-1] and used + wide[k] > room:
            groups.append([])
            used = 0
        groups[-1].append(k)
        used += wide[k]
    return [[*range(keys), *block] for block in groups]


def height(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> int:
    """Lines that a table takes at a width, about."""
    return len(blocks(heads, rows, width=width)) * (len(rows) + 4)


def _wide(head: str, cells: Sequence[str], loose: bool) -> int:
    """Characters of a column with what stands beside it: its cells whole, its head broken at spaces."""
    from rich.cells import cell_len

    words = max((cell_len(word) for word in head.split()), default=0)
    lines = max((cell_len(line) for cell in cells for line in cell.split("\n")), default=0)
    return max(words, min(lines, LOOSE) if loose else lines) + BESIDE


def first_of_each(names: Sequence[str]) -> tuple[list[str], list[int]]:
    """Names with repeats left blank, and where each new one but the first begins."""
    runs = [list(run) for _, run in groupby(names)]
    shown = [name for run in runs for name in [run[0], *[""] * (len(run) - 1)]]
    starts = [sum(len(run) for run in runs[:i]) for i in range(1, len(runs))]
    return shown, starts


def say_lines(lines: list[str]) -> None:
    """A list under what it belongs to; of a long one the beginning, and how many more there are."""
    for line in lines[:MOST_LINES]:
        typer.echo(f"  {line}")
    if len(lines) > MOST_LINES:
        typer.echo(f"  … and {len(lines) - MOST_LINES} more")


def say_rehash(rehash: Rehash | None) -> None:
    """What reading everything anew found; nothing where it was not asked for."""
    if rehash is not None:
        first, *rest = rehash.lines()
        typer.echo(first)
        say_lines(rest)
