"""``assay label``: a warning label for one model, in plain words, from its records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import RESULTS, Include, Out


def label(
    model: Annotated[str, typer.Argument(help="The model entry.")],
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="[SUITE]...", help="Results folders; all that have the model.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="html, md, svg, png, yaml (a model card's), or all.")] = "all",
    into: Annotated[Path | None, typer.Option("--into", help="Folder for the files; labels/MODEL.")] = None,
    include: Include = [],  # noqa: B006
    out: Out = RESULTS,
) -> None:
    """Write a page in plain words on what a model was tested on, what breaks it, and what was not tested."""
    from benchmark.errors import UnknownNameError
    from benchmark.registry import include as include_files
    from benchmark.report.label.build import label as make
    from benchmark.report.label.write import FORMS, write_label

    if form != "all" and form not in FORMS:
        raise UnknownNameError("format", form, [*FORMS, "all"], "html, md, svg, png, yaml, all")
    include_files(include)
    made = make(model, out, suites or ())
    forms = list(FORMS) if form == "all" else [form]
    files = write_label(made, into or Path("labels") / model, forms)  # before it is printed: a pipe may end early
    for sentence in made.at("first"):
        typer.echo(f"Read this first: {sentence.text}")
    typer.echo(f"{made.model}: {made.verdict.text}")
    for key, title in made.titles().items():
        if key == "first":
            continue
        typer.echo(f"\n{title}")
        for sentence in made.at(key):
            typer.echo(f"- {sentence.text}")
    typer.echo("")
    for file in files:
        typer.echo(f"label: {file}")
