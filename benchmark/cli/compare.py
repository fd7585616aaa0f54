"""``assay compare``: is the difference between two models real? And what moved between two leaderboards?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import RESULTS, Include, Out


def compare(
    what: Annotated[str, typer.Argument(metavar="SUITE|OLD.csv", help="A suite's name; or an old leaderboard.csv.")],
    a: Annotated[str, typer.Argument(metavar="A|NEW.csv", help="A model of the suite; or the new leaderboard.csv.")],
    b: Annotated[str, typer.Argument(metavar="[B]", help="Another model of the suite.")] = "",
    include: Include = [],  # noqa: B006
    out: Out = RESULTS,
) -> None:
    """Paired differences A minus B with 95 % intervals and p values, in words; or what moved between two CSV files."""
    from benchmark.errors import UsageError

    if not b:
        if not (what.endswith(".csv") and a.endswith(".csv")):
            raise UsageError("compare takes a suite and two of its models, or two leaderboard.csv files")
        _compare_files(Path(what), Path(a))
    else:
        _compare_models(what, a, b, include, out)


def _compare_files(old: Path, new: Path) -> None:
    from benchmark.cli.console import table_console
    from benchmark.cli.tables import print_tables
    from benchmark.report.moves import ORDER, differences

    moves = differences(old, new)
    console = table_console()
    if moves.moves:
        rows = [[move.model, move.column, move.old, move.new, move.how] for move in moves.moves]
        heads = ["model", "column", "old", "new", "moved"]
        print_tables(console, f"{old} against {new}", heads, rows, keys=2, left=(2, 3, 4))
    counted = [(how, sum(move.how == how for move in moves.moves)) for how in ORDER]
    told = [f"{count} {how}" for how, count in counted if count]
    typer.echo(", ".join([*told, f"{moves.same} the same"]))
    for line in moves.lines:
        typer.echo(f"{line[0].upper()}{line[1:]}.")
    if moves.moves:
        typer.echo(
            "Beyond: the two 95 % intervals do not overlap. What is within may still be real: pairs of samples tell"
        )
        typer.echo("more than two intervals do (assay compare SUITE A B).")


def _compare_models(suite: str, a: str, b: str, include: list[Path], out: Path) -> None:
    """A table of paired differences."""
    from math import isnan

    from benchmark.cli.console import table_console
    from benchmark.cli.report import results_folder
    from benchmark.cli.tables import print_tables
    from benchmark.errors import UsageError
    from benchmark.registry import include as include_files
    from benchmark.report.compare import compare as compare_models
    from benchmark.report.soundness import CONFOUNDED, family_of
    from benchmark.results.base import Results
    from benchmark.store.folder import Store

    if a == b:
        raise UsageError(f"compare {suite} {a} {b}: a model against itself; name two")
    include_files(include)
    results = Results(Store(results_folder(suite, out)))
    comparison = compare_models(results, a, b)
    heads, rows = ["", a, b, "difference [95 %]", "p", "n", "only 1st", "only 2nd", "in words"], []
    for row in comparison:
        numbers = ["–"] * 4
        if not isnan(row.difference):
            bounds = "" if isnan(row.low) else f" [{row.low:+.3f}, {row.high:+.3f}]"
            difference = f"{row.difference:+.3f}{bounds}"
            numbers = [f"{row.a:.3f}", f"{row.b:.3f}", difference, f"{row.p:.2g}"]
        only = ["" if count is None else str(count) for count in (row.only_a, row.only_b)]
        rows.append([row.quantity, *numbers, str(row.n), *only, row.words])
    print_tables(table_console(), f"{a} against {b} ({suite})", heads, rows, loose=(8,))
    for name, text in results.plan["dataset"].get("facts", {}).items():
        typer.echo(f"{name}: {text}.")
    typer.echo(
        "Rates: Newcombe's paired interval, McNemar's exact test; only 1st, only 2nd: samples one alone gets right."
    )
    typer.echo("Norms (of samples that both lose) and metrics: mean difference, Wilcoxon's signed-rank test.")
    typer.echo("p values are not corrected for the number of rows.")
    if any(isnan(row.low) and not isnan(row.difference) for row in comparison):
        typer.echo("No interval: one sample or group, a mean of fewer than six, or values that are all the same.")
    compared = {row.quantity.partition(" · ")[2] for row in comparison}
    if any(name in compared and family_of(results.suite, name) == "faithfulness" for name in results.plan["metrics"]):
        typer.echo(CONFOUNDED.format(results.task.words.elements))
