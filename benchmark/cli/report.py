"""``assay report``: rebuild a suite's tables from plan and records alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import RESULTS, Columns, Data, Include, Out, Sort, SuiteName, TableFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from benchmark.reported import Extras
    from benchmark.results.base import Results


Html = Annotated[bool, typer.Option("--html", help="Also write report.html, one file that works from disk.")]


def report(
    suite: SuiteName,
    table_format: TableFormat = "",
    columns: Columns = "",
    sort: Sort = "",
    html: Html = False,
    data: Data = [],  # noqa: B006
    include: Include = [],  # noqa: B006
    out: Out = RESULTS,
) -> None:
    """Write the leaderboard, the explanations, the curves and their pictures again; computes nothing.

    With --format, --columns or --sort it prints the leaderboard alone, so chosen, and writes no table.
    """
    from benchmark.errors import UsageError
    from benchmark.registry import include as include_files
    from benchmark.spec.suites import parse_pairs

    include_files(include)
    if table_format or columns or sort:
        from benchmark.cli.board import print_boards
        from benchmark.report.leaderboard import Leaderboard

        if html:
            raise UsageError("--html writes every table of the suite; leave out --format, --columns and --sort")
        print_boards([Leaderboard.read(results_folder(suite, out))], table_format or "text", columns, sort)
        return
    folders = [results_folder(suite, out), *parts_folders(suite, out)]
    where = where_of(suite, folders, parse_pairs(data, "--data"))
    written = [_report_one(folder, where, part=i > 0) for i, folder in enumerate(folders)]
    combine(results_folders(suite, out))
    if html:
        from benchmark.report.page import write_page

        for i, tables in enumerate(written):
            others = [folder.name for folder in (folders[1:] if i == 0 else folders[:1])]
            typer.echo(f"page: {write_page(*tables, others)}")


def _report_one(
    folder: Path, where: Mapping[str, Path], *, part: bool
) -> tuple[Results, pd.DataFrame, pd.DataFrame, Extras]:
    from benchmark.cli.tables import print_report
    from benchmark.report.write import write_report
    from benchmark.results.versions import outdated

    written = results, board, explained, extra = write_report(folder, where)
    print_report(results, board, explained, extra, part=part)
    for each in outdated(results.plan):
        if not each.own:  # the others stand under the table
            typer.echo(each.words)
    if results.stray:
        typer.echo(f"{results.stray} records belong to no cell of this plan; they are not mixed in")
    typer.echo(f"leaderboard: {folder / ('leaderboard.md' if part else 'leaderboard.csv')}")
    return written


def where_of(suite: str, folders: list[Path], given: Mapping[str, Path]) -> dict[str, Path]:
    """Dataset label to where its data lie, which pictures need: as the suite says, where it is here, or ``--data``.

    Raises:
        UnknownNameError: ``--data`` names a dataset of none of these results.
    """
    from benchmark.errors import UnknownNameError, UsageError
    from benchmark.results.base import labels_of
    from benchmark.spec.suites import data_paths, load_suite

    known = labels_of(folders) if given else []
    for name in given:
        if name not in known:
            raise UnknownNameError("dataset", name, known, f"--data, results of {suite}")
    try:
        return data_paths(load_suite(suite), given)
    except UsageError:  # results that somebody handed in, of a suite that is not here
        return dict(given)


def results_folder(suite: str, out: Path) -> Path:
    """The suite's results folder.

    Raises:
        UnknownNameError: neither a suite nor a results folder has that name.
    """
    from benchmark.errors import UnknownNameError
    from benchmark.spec.suites import find_suites

    name = Path(suite).stem if suite.endswith(".toml") else suite
    folder = out / name
    if not (folder / "plan.json").is_file() and not suite.endswith(".toml"):
        here = [path.parent.name for path in out.glob("*/plan.json")]
        known = {*find_suites(), *here}
        if name not in known:
            raise UnknownNameError("suite", name, known, f"suites/ and {out}/")
    return folder


def parts_folders(suite: str, out: Path) -> list[Path]:
    """Results folders of a suite's parts, those that have a plan."""
    from benchmark.errors import UsageError
    from benchmark.spec.suites import load_suite, parts

    try:
        names = [part.name for part in parts(load_suite(suite))]
    except UsageError:  # results that somebody handed in, of a suite that is not here
        return []
    return [out / name for name in names if (out / name / "plan.json").is_file()]


def results_folders(suite: str, out: Path, name: str = "") -> list[Path]:
    """The results folder of a suite and those of its parts; ``name`` is that of a variant that was run instead."""
    folders = [results_folder(suite, out), *parts_folders(suite, out)]
    known = not name or name in [folder.name for folder in folders]
    return folders if known else [out / name]


def combine(folders: list[Path], *, shown: bool = True) -> None:
    """Write robustness beside explanation quality, where the suite has both; print it where it is to be ``shown``."""
    from benchmark.cli.tables import print_combined
    from benchmark.report.combined import write_combined

    combined = write_combined(folders) if folders[0].is_dir() else None
    if combined is not None and shown:
        print_combined(combined)
