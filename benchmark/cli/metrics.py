"""``assay metrics``: every metric with the verdict on it; the slow run that measures them; the page made from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import Include

if TYPE_CHECKING:
    from benchmark.meta.measure import Effort
    from benchmark.meta.settings import Setting


def metrics(
    measure: Annotated[bool, typer.Option("--measure", help="Measure all metrics again (slow) and keep it.")] = False,
    only: Annotated[list[str], typer.Option(help="Measure this metric only (may be repeated).")] = [],  # noqa: B006
    on: Annotated[
        str, typer.Option(help="Where to measure: digits (8 px), gtsrb (32 px) or imagenet (224 px).")
    ] = "digits",
    data: Annotated[list[str], typer.Option(help="Where its data lie: NAME=PATH.")] = [],  # noqa: B006
    perturbations: Annotated[int, typer.Option(min=1, help="K of MetaQuantus.")] = 5,
    draws: Annotated[int, typer.Option(min=0, help="Repetitions of the perturbations; 0: keep the known ones.")] = 3,
    samples: Annotated[int, typer.Option(min=2, help="Samples of a model and seed, at most.")] = 24,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    table: Annotated[Path | None, typer.Option(help="Where the measured table goes (default: the package's).")] = None,
    docs: Annotated[Path | None, typer.Option(help="Write the tables into this page, between its marks.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write the picture of what was measured (PNG).")] = None,
    include: Include = [],  # noqa: B006
) -> None:
    """List metrics and the verdict on each; with --measure find the verdicts, with --docs write the page."""
    from benchmark.registry import include as include_files

    include_files(include)
    if measure:
        from benchmark.meta.measure import Effort

        _measure(only, (on, data), Effort(samples, perturbations, draws), workers, table)
    if docs is not None:
        from benchmark.meta.page import write_page

        write_page(docs)
        typer.echo(f"wrote {docs}")
    if picture is not None:
        from benchmark.drawing.curves import as_png
        from benchmark.meta.page import picture as draw
        from benchmark.store.atomic import write_atomic

        write_atomic(picture, as_png(draw()))
        typer.echo(f"wrote {picture}")
    if not (measure or docs or picture):
        _list()


def _list() -> None:
    from benchmark.meta.page import own
    from benchmark.meta.verdicts import verdict

    plugins = own()
    width = max(len(metric.name) for metric in plugins)
    for metric in plugins:
        said = verdict(metric)
        better = (
            "-" if said == "descriptive only" else {True: "higher", False: "lower", None: "-"}[metric.higher_is_better]
        )
        typer.echo(f"{metric.name:<{width}}  {metric.family:<13} {better:<7} {said}")


def _measure(only: list[str], where: tuple[str, list[str]], effort: Effort, workers: int, table: Path | None) -> None:
    from benchmark.errors import UnknownNameError
    from benchmark.meta.measure import TRUTH, measurable
    from benchmark.meta.measure import measure as run
    from benchmark.meta.settings import setting
    from benchmark.meta.table import make_table, updated
    from benchmark.meta.verdicts import verdicts
    from benchmark.store.atomic import write_atomic

    known = measurable()
    for name in only:
        if name not in known:
            raise UnknownNameError("metric", name, known, "those that the bench can measure")
    names = only or known
    of = setting(where[0])
    asked = [*names, *([TRUTH] if TRUTH not in names and TRUTH in known else [])]
    measured = run(asked, effort, workers, lambda text: typer.echo(f"  {text}"), of, _path(of, where[1]))
    measures = make_table(measured, names)
    for fault in measured["faults"].drop_duplicates("metric").to_dict("records") if len(measured["faults"]) else ():
        typer.echo(f"  failed: {fault['metric']} on {fault['model']}: {fault['reason']}", err=True)
    file = table or of.table
    if file == of.table and len(verdicts(of.name)):
        measures = updated(measures, verdicts(of.name), whole=not only, perturbed=effort.draws > 0)
    write_atomic(
        file, measures.sort_values(["family", "metric"]).to_csv(float_format="%.4g", lineterminator="\n").encode()
    )
    typer.echo(f"wrote {file}")


def _path(of: Setting, given: list[str]) -> Path | None:
    """Where the setting's data lie.

    Raises:
        UsageError: they are needed and not given, or others are.
    """
    from benchmark.errors import UsageError
    from benchmark.spec.suites import parse_pairs

    paths = parse_pairs(given, "--data")
    if unknown := sorted(set(paths) - ({of.name} if of.dataset else set())):
        takes = f"--data {of.name}=PATH" if of.dataset else "no --data"
        raise UsageError(f"--data {unknown[0]}=...: --on {of.name} takes {takes}")
    if of.dataset and of.name not in paths:
        raise UsageError(f"--on {of.name} needs {of.needs}: give --data {of.name}=PATH")
    return paths.get(of.name)
