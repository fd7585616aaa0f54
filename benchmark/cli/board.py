"""Leaderboards on standard output: a table for people, or one of the formats that files and papers need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from benchmark.errors import UnknownNameError

if TYPE_CHECKING:
    from benchmark.report.leaderboard import Leaderboard

FORMATS = ("text", "csv", "md", "latex", "json")


def print_boards(
    boards: Sequence[Leaderboard], table_format: str, columns: str = "", sort: str = "", *, joined: bool = False
) -> None:
    """Print these tables.

    Args:
        boards: one, or (``joined``) any number, of which each is asked for those of the columns that it has.
        table_format: one of :data:`FORMATS`.
        columns, sort: see :meth:`benchmark.report.leaderboard.Leaderboard.select` and ``sort``.

    Raises:
        UsageError: a format, or a column that no table has.
    """
    from benchmark.report import formats

    if table_format not in FORMATS:
        raise UnknownNameError("format", table_format, FORMATS, "--format")
    kept = _asked(boards, columns, sort)
    if table_format == "text":
        for board in kept:
            _print(board)
    elif table_format == "json":
        typer.echo(formats.json_of_several(kept) if joined else kept[0].to_json(), nl=False)
    elif table_format == "csv":
        typer.echo(formats.csv_of_several(kept) if joined else kept[0].to_csv(), nl=False)
    else:
        made = [board.to_markdown() if table_format == "md" else board.to_latex() for board in kept]
        typer.echo("\n".join(made), nl=False)


def _asked(boards: Sequence[Leaderboard], columns: str, sort: str) -> list[Leaderboard]:
    """Each table with those of the columns that it has; tables without any are left out."""
    from benchmark.report.ranking import matching, split

    known = list(dict.fromkeys(name for board in boards for name in board.names()))
    wanted, order = split(columns), split(sort)
    for asked in [*wanted, *(name.removeprefix("-") for name in order)]:
        if not matching(known, asked):
            raise UnknownNameError("column", asked, known, ", ".join(board.name for board in boards))
    kept = []
    for board in boards:
        has = [asked for asked in wanted if matching(board.names(), asked)]
        if wanted and not has:
            continue
        placed = board.sort([asked for asked in order if asked.removeprefix("-") in board.names()])
        kept.append(placed.select(has) if wanted else placed)
    return kept


def _print(board: Leaderboard) -> None:
    from benchmark.cli.console import table_console
    from benchmark.cli.tables import print_leaderboard
    from benchmark.report.formats import about, said

    console = table_console()
    print_leaderboard(console, board)
    for line in said(board):
        console.print(f"  {line}", markup=False)
    for note in board.notes:
        console.print(f"  ({note.number}) {note.name}: {note.means}", markup=False)
        for model, words in note.found:
            console.print(f"      {model}: {words}", markup=False)
    if board.about:
        console.print(f"  {about(board)}", markup=False)
