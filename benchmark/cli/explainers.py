"""``assay explainers``: which explainers fit a network; each right by a relation of its own, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import Data, Entries, Include


def explainers(
    names: Annotated[list[str] | None, typer.Argument(help="Model entries (see `assay list entries`).")] = None,
    only: Annotated[list[str], typer.Option("--only", help="Only this explainer (may be repeated).")] = [],  # noqa: B006
    docs: Annotated[Path | None, typer.Option(help="Write the table of all networks into this page (minutes).")] = None,
    entries: Entries = [],  # noqa: B006
    data: Data = [],  # noqa: B006
    include: Include = [],  # noqa: B006
) -> None:
    """Look at every explainer on an entry: right, refused with the reason, or wrong (exit code 1)."""
    from benchmark.errors import UsageError
    from benchmark.registry import include as include_files

    include_files(include)
    if docs is None and not names:
        raise UsageError("assay explainers needs an entry, such as `assay explainers digits_cnn`, or --docs FILE")
    wrong = sum([_entry(name, entries, data, only) for name in names or ()])
    if docs is not None:
        from benchmark.meta.networks import write_page

        write_page(docs, lambda name: typer.echo(f"  {name}", err=True))
        typer.echo(f"wrote {docs}")
    if wrong:
        raise typer.Exit(1)


def _entry(name: str, extra: list[Path], data: list[str], only: list[str]) -> int:
    """Print what is found of each explainer on an entry; how many are wrong."""
    from benchmark.errors import UsageError
    from benchmark.explainers.base import explainers as registry
    from benchmark.inputs import IMAGE, kinds, takes
    from benchmark.meta.networks import findings
    from benchmark.models.build import build_model
    from benchmark.models.entries import load_entry
    from benchmark.models.obtain import ensure_weights
    from benchmark.spec.suites import parse_pairs
    from benchmark.tasks.base import tasks

    for use in only:
        if not takes(accepts := registry.lookup(use)[0].accepts, IMAGE):
            raise UsageError(f"explainer {use!r} accepts {kinds(accepts)}: what is known of explainers is of images")
    entry = load_entry(name, extra)
    task = tasks.lookup(entry.spec.task)[0]
    if task.inputs != IMAGE or not task.needs_classes:
        raise UsageError(
            f"entry {name!r} is made for the task {entry.spec.task!r}; explainers are for classifiers of images"
        )
    ensure_weights(entry, lambda line: typer.echo(line, err=True), parse_pairs(data, "--data"))
    width, wrong = max(len(use) for use in only or registry.names()), 0
    typer.echo(f"{name}:")
    for use, finding in findings(build_model(entry), entry.spec, only):
        typer.echo(f"  {use:<{width}}  {finding.status:<7}  {finding.words}")
        wrong += finding.status == "wrong"
    return wrong
