"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SuiteName = Annotated[str, typer.Argument(help="A suite's name (see `assay list suites`) or the path of a suite.toml.")]
Out = Annotated[Path, typer.Option("--out", help="Folder that holds one results folder a suite.")]
Entries = Annotated[list[Path], typer.Option("--entries", help="Folder with further model entries (runs their code).")]
Data = Annotated[list[str], typer.Option("--data", help="Where a dataset lies: NAME=PATH.")]
Include = Annotated[list[Path], typer.Option("--include", help="Python file with further plugins (runs its code).")]
Models = Annotated[
    str, typer.Option("--models", help="Only these entries, joined by commas; others keep their records.")
]
Only = Annotated[list[str], typer.Option("--only", help="Only this probe (may be repeated).")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, or devices such as cuda:0,cuda:1.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes (default: one a core or GPU slot).")]
Columns = Annotated[str, typer.Option("--columns", help="Columns, joined by commas: names or patterns (robust_acc_*).")]
Sort = Annotated[str, typer.Option("--sort", help="Columns to sort by, joined by commas; -NAME: largest first.")]
TableFormat = Annotated[str, typer.Option("--format", help="Print the table alone: text, csv, md, latex or json.")]

RESULTS = Path("results")


def listed(names: str) -> tuple[str, ...]:
    """Names joined by commas."""
    return tuple(name.strip() for name in names.split(",") if name.strip())
