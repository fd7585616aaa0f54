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

RESULTS = Path("results")
