"""What ``assay run`` ends with: the leaderboard, how it is decided, flags, what is missing; the rest is folded."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli.console import table_console
from benchmark.cli.options import RESULTS
from benchmark.cli.tables import print_leaderboard
from benchmark.report.columns import own_names, query_names, shown_columns
from benchmark.report.flags import flag_names
from benchmark.report.leaderboard import Leaderboard

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.results.base import Results

MOST_REASONS = 5


def print_outcome(results: Results, board: pd.DataFrame, *, part: bool = False) -> None:
    """Print the leaderboard, which places are decided, the flags' names, and why cells failed or were skipped.

    Of a suite's ``part`` the leaderboard and the reasons.
    """
    console = table_console()
    lead = Leaderboard.of(results, board)
    names = [*shown_columns(results, board), *query_names(results, board), *own_names(results, board)]
    print_leaderboard(console, lead.select(names))
    lines = [] if part else [" ".join(lead.places), flag_line(results)]
    reasons = [f"{status}: {label}: {reason}" for label, status, reason in results.reasons()]
    lines += reasons[:MOST_REASONS]
    if len(reasons) > MOST_REASONS:
        lines.append(f"… and {len(reasons) - MOST_REASONS} more reasons for cells that failed or were skipped")
    for line in filter(None, lines):
        console.print(line, markup=False)


def flag_line(results: Results) -> str:
    """``Flags: zero-gradient (a), more-steps-gain (a, b).``; empty where there are none."""
    models: dict[str, dict[str, None]] = {}
    for model, names in flag_names(results).items():
        for name in names:
            models.setdefault(name, {})[model] = None
    named = ", ".join(f"{name} ({', '.join(flagged)})" for name, flagged in models.items())
    return f"Flags: {named}." if named else ""


def where_line(folder: Path, out: Path, included: Sequence[Path] = (), *, part: bool = False) -> str:
    """Where the leaderboard lies, and the command that prints what is folded.

    Args:
        folder: the results folder.
        out: where results folders lie.
        included: files that the report must be given again.
        part: of another suite, whose report prints this one's too.
    """
    if part:
        return f"leaderboard: {folder / 'leaderboard.md'}"
    words = ["assay", "report", folder.name, *(["--out", str(out)] if out != RESULTS else [])]
    for file in included:
        words += ["--include", str(file)]
    return f"leaderboard: {folder / 'leaderboard.csv'}; all the rest: {shlex.join(words)} (as a page: --html)"
