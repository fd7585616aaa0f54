"""``assay leaderboard``: several suites in one table, a row a model, with a Pareto mark."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli.options import RESULTS, Columns, Include, Out, Sort, TableFormat


def leaderboard(
    suites: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUITE]...", help="Suites with their parts; default: all with results."),
    ] = None,
    table_format: TableFormat = "text",
    columns: Columns = "",
    sort: Sort = "",
    include: Include = [],  # noqa: B006
    out: Out = RESULTS,
) -> None:
    """Join suites: each model's robustness beside its explanation quality, and who is on the Pareto front."""
    from benchmark.cli.board import print_boards
    from benchmark.cli.report import results_folders
    from benchmark.errors import NoRecordsError
    from benchmark.registry import include as include_files
    from benchmark.report.joined import joined

    include_files(include)
    folders = [folder for suite in suites or () for folder in results_folders(suite, out)]
    folders = folders or sorted(path.parent for path in out.glob("*/leaderboard.csv"))
    unwritten = [folder.name for folder in folders if not (folder / "leaderboard.csv").is_file()]
    if not folders or unwritten:
        first = f"assay report {unwritten[0]}" if unwritten else "assay run SUITE"
        raise NoRecordsError(f"{out}: no leaderboard.csv of {', '.join(unwritten) or 'any suite'}; first: {first}")
    print_boards(joined(folders), table_format, columns, sort, joined=True)
