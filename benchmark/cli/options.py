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
Columns = Annotated[str, typer.Option("--columns", help="Columns, joined by commas: names or patterns (robust_acc_*).")]
Sort = Annotated[str, typer.Option("--sort", help="Columns to sort by, joined by commas; -NAME: largest first.")]
TableFormat = Annotated[str, typer.Option("--format", help="Print the table alone: text, csv, md, latex or json.")]

RESULTS = Path("results")
