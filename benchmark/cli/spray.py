"""``assay spray``: clusters of a model's heatmaps for one class, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import RESULTS, Data, Include, Out, SuiteName


def spray(
    suite: SuiteName,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the suite.")],
    explainer: Annotated[str, typer.Option("--explainer", help="An explainer of the suite; default: the first.")] = "",
    class_: Annotated[
        str, typer.Option("--class", help="Name or number of the explained class; default: the most suspicious one.")
    ] = "",
    neighbours: Annotated[int, typer.Option("--neighbours", min=2, help="Of each heatmap in the graph.")] = 10,
    pool: Annotated[
        int, typer.Option("--pool", min=2, help="Pixels a side that heatmaps are averaged to at most.")
    ] = 16,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="File to write; default: in the suite's figures.")
    ] = (None),
    data: Data = [],  # noqa: B006
    include: Include = [],  # noqa: B006
    out: Out = RESULTS,
) -> None:
    """Cluster the heatmaps of one class (SpRAy) and draw them; reads what a finished run left, needs no model."""
    from benchmark.cli.heatmaps import spray_of
    from benchmark.cli.report import results_folder, where_of
    from benchmark.drawing.curves import as_png
    from benchmark.registry import include as include_files
    from benchmark.results.base import Results
    from benchmark.spec.suites import parse_pairs
    from benchmark.store.atomic import write_atomic
    from benchmark.store.folder import Store

    include_files(include)
    folder = results_folder(suite, out)
    chart = spray_of(
        Results(Store(folder)),
        model,
        explainer,
        class_,
        neighbours=neighbours,
        pool=pool,
        where=where_of(suite, [folder], parse_pairs(data, "--data")),
    )
    file = picture or folder / "figures" / f"spray_{model}_{chart.explainer}_{chart.number}.png"
    write_atomic(file, as_png(chart.draw(), chart.words))
    for line in chart.lines:
        typer.echo(line)
    typer.echo(f"picture: {file}")
