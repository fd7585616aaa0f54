"""``assay``: the commands, and how errors become exit codes (0 good, 1 something failed, 2 wrong request)."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmark import __version__
from benchmark.cli.check import check
from benchmark.cli.compare import compare
from benchmark.cli.doctor import doctor
from benchmark.cli.explainers import explainers
from benchmark.cli.label import label
from benchmark.cli.leaderboard import leaderboard
from benchmark.cli.list import list_
from benchmark.cli.metrics import metrics
from benchmark.cli.new import new
from benchmark.cli.report import report
from benchmark.cli.run import run
from benchmark.cli.show import show
from benchmark.cli.spray import spray
from benchmark.cli.status import status
from benchmark.cli.train import train
from benchmark.cli.validate import validate
from benchmark.cli.verify import verify

app = typer.Typer(
    name="assay",
    help="How little it takes to break a neural network, and whether what is said about why it decides is true.",
    invoke_without_command=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _name, _command in (
    ("run", run),
    ("status", status),
    ("doctor", doctor),
    ("report", report),
    ("leaderboard", leaderboard),
    ("compare", compare),
    ("verify", verify),
    ("validate", validate),
    ("label", label),
    ("spray", spray),
    ("list", list_),
    ("show", show),
    ("new", new),
    ("check", check),
    ("train", train),
    ("metrics", metrics),
    ("explainers", explainers),
):
    app.command(_name)(_command)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"assay {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """What stands before a command, and what is said where there is none."""
    if context.invoked_subcommand is None:
        from benchmark.cli.start import next_steps

        for line in next_steps():
            typer.echo(line)


def main() -> None:
    """Entry point of the command line."""
    from benchmark.errors import AssayError, UsageError
    from benchmark.files import FAULTS, why

    # tables live to the end of a command: looking for garbage in them takes a fifth of a report
    gc.set_threshold(100_000)
    try:
        app()
    except UsageError as error:
        print(f"assay: {error}", file=sys.stderr)
        sys.exit(2)
    except AssayError as error:
        print(f"assay: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    except FAULTS as error:  # of a disk, or of a file that nobody named
        named = getattr(error, "filename", None)
        place = f"{named}: " if named else ""
        print(f"assay: {place}{why(error, Path(str(named)) if named else None)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
