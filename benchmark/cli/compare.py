"""``assay compare``: is the difference between two models real?"""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli.options import RESULTS, Include, Out, SuiteName


def compare(
    suite: SuiteName,
    a: Annotated[str, typer.Argument(metavar="A", help="A model of the suite.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another model of the suite.")],
    include: Include = [],  # noqa: B006
    out: Out = RESULTS,
) -> None:
    """Paired differences A minus B with 95 % intervals and p values, in words."""
    from math import isnan

    from rich.table import Table

    from benchmark.cli.console import table_console
    from benchmark.cli.report import results_folder
    from benchmark.registry import include as include_files
    from benchmark.report.compare import compare as compare_models
    from benchmark.report.results import Results
    from benchmark.store.folder import Store

    include_files(include)
    results = Results(Store(results_folder(suite, out)))
    found = compare_models(results, a, b)
    table = Table(title=f"{a} against {b} ({suite})", title_justify="left")
    for head in ("", a, b, "difference [95 %]", "p", "n", "only 1st", "only 2nd", "in words"):
        table.add_column(head, justify="left" if head in ("", "in words") else "right")
    for row in found:
        numbers = ["–"] * 4
        if not isnan(row.difference):
            difference = f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
            numbers = [f"{row.a:.3f}", f"{row.b:.3f}", difference, f"{row.p:.2g}"]
        only = ["" if count is None else str(count) for count in (row.only_a, row.only_b)]
        table.add_row(row.quantity, *numbers, str(row.n), *only, row.words)
    table_console().print(table)
    for name, text in results.plan["dataset"].get("facts", {}).items():
        typer.echo(f"{name}: {text}.")
    typer.echo(
        "Rates: Newcombe's paired interval, McNemar's exact test; only 1st, only 2nd: samples one alone gets right."
    )
    typer.echo("Norms (of samples that both lose) and metrics: mean difference, bootstrap, Wilcoxon's signed-rank.")
    typer.echo("p values are not corrected for the number of rows.")
