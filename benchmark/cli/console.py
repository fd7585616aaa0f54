"""Where commands print their tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from benchmark.files import Rehash

WIDTH_WHEN_PIPED = 160
MOST_LINES = 20  # of one list


def table_console() -> Console:
    """Standard output: the terminal's width, or a fixed one where it is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH_WHEN_PIPED, highlight=False)


def say_lines(lines: list[str]) -> None:
    """A list under what it belongs to; of a long one the beginning, and how many more there are."""
    for line in lines[:MOST_LINES]:
        typer.echo(f"  {line}")
    if len(lines) > MOST_LINES:
        typer.echo(f"  … and {len(lines) - MOST_LINES} more")


def say_rehash(found: Rehash | None) -> None:
    """What reading everything anew found; nothing where it was not asked for."""
    if found is not None:
        first, *rest = found.lines()
        typer.echo(first)
        say_lines(rest)
