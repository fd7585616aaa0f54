"""``assay validate``: is a leaderboard that somebody hands in whole and consistent?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.console import say_lines
from benchmark.cli.options import RESULTS, Entries, Include


def validate(
    paths: Annotated[list[Path], typer.Argument(help="Results folders, or folders of them.")] = [RESULTS],  # noqa: B006
    entries: Entries = [],  # noqa: B006
    include: Include = [],  # noqa: B006
) -> None:
    """Check schema, hashes, completeness and tables of results folders; computes no cell. Exits with 1 on a fault."""
    from benchmark.errors import NoRecordsError
    from benchmark.registry import include as include_files
    from benchmark.validate import validate as validate_folder

    include_files(include)
    folders = [folder for path in paths for folder in results_in(path)]
    if not folders:
        raise NoRecordsError(f"no plan.json in {', '.join(str(path) for path in paths)} or in a folder there")
    bad = 0
    for folder in folders:
        outcome = validate_folder(folder, entries)
        n = len(outcome.faults)
        said = f"{n} fault{'s' * (n > 1)}" if n else "good"
        typer.echo(f"{folder}: {outcome.records} records of {outcome.cells} cells: {said}")
        say_lines([f"fault: {fault}" for fault in outcome.faults])
        say_lines([f"note: {note}" for note in outcome.notes])
        bad += bool(outcome.faults)
    if bad:
        raise typer.Exit(1)


def results_in(path: Path) -> list[Path]:
    """The path itself where it is a results folder, else those in it."""
    if (path / "plan.json").is_file() or (path / "records.parquet").is_file():
        return [path]
    names = {file.parent for name in ("plan.json", "records.parquet") for file in path.glob(f"*/{name}")}
    return sorted(names)
