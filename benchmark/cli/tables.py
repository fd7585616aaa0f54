"""Tables in the terminal."""

from __future__ import annotations

import pandas as pd

from benchmark.attacks.base import Extras
from benchmark.cli.console import table_console
from benchmark.report.board import Leaderboard
from benchmark.report.columns import arrows, own_names, query_names, shown_columns
from benchmark.report.combined import TITLE as COMBINED
from benchmark.report.combined import Combined, main_columns, words
from benchmark.report.drift import SHOWN, TITLE, attacked_explanations, compact
from benchmark.report.explainer_ranks import control_lines, explainer_ranks
from benchmark.report.explanations import explanation_remarks, one_method, scoring_lines
from benchmark.report.flags import flags
from benchmark.report.formats import said, texts
from benchmark.report.probes import published
from benchmark.report.results import Results
from benchmark.report.text import MANY, cell_text, number
from benchmark.report.worth import worth

MOST_ROWS = 40  # of an attack's own table
MOST_METRICS = 10  # that stand side by side in a terminal
ACROSS = 7  # columns of a table with many models


def print_report(
    results: Results, board: pd.DataFrame, explained: pd.DataFrame, found: Extras, *, part: bool = False
) -> None:
    """Print the leaderboard, one row a quantity and one column a model, then the attacks' tables, the explanations.

    Of a suite's ``part`` the leaderboard alone: the rest stands in its leaderboard.md.
    """
    console = table_console()
    lead = Leaderboard.of(results, board)
    more = [*query_names(results, board), *own_names(results, board)]
    print_leaderboard(console, lead.select([*shown_columns(results, board), *more]))
    if part:
        for line in (*scoring_lines(results)[1:], *(f"{who}: {why}: {what}" for who, why, what in results.reasons())):
            console.print(f"  {line}", markup=False)
        return
    for line in said(lead):
        console.print(f"  {line}", markup=False)
    for flag in flags(results):
        console.print(f"  flag: {flag.model}: {flag.name}: {flag.words}", markup=False)
    beside = published(results, board)
    if len(beside):
        _print_published(console, beside)
    for stem, whole in found.tables.items():
        _print_own(console, stem, found.shown.get(stem, whole))
    if len(explained):
        _print_explanations(console, results, explained)
        _print_ranks(console, results)
    _print_drift(console, compact(attacked_explanations(results)))
    for label, status, reason in results.reasons():
        console.print(f"  {status}: {label}: {reason}", markup=False)


def print_leaderboard(console: object, board: Leaderboard) -> None:
    """One row a quantity and one column a model; of many models one row a model, some quantities at a time."""
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    names, models = board.page()[1:], list(board.frame["model"])
    cells = texts(board, names)
    if len(models) > MANY:  # too many to stand side by side
        for i in range(0, len(names), ACROSS):
            table = Table(title=None if i else board.title, title_justify="left")
            table.add_column("model", no_wrap=True)
            for name in names[i : i + ACROSS]:
                table.add_column(name.replace("_", " "), justify="right")
            for model, row in zip(models, cells, strict=True):
                table.add_row(model, *row[i : i + ACROSS])
            console.print(table)
        return
    table = Table(title=board.title, title_justify="left")
    table.add_column("")
    for model in models:
        table.add_column(model, justify="right")
    for k, name in enumerate(names):
        table.add_row(name, *[row[k] for row in cells])
    console.print(table)


def _print_published(console: object, beside: pd.DataFrame) -> None:
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    table = Table(title="Beside published figures", title_justify="left")
    for name in ("model", "column", "ours", "published", "source"):
        table.add_column(name, justify="right" if name in ("ours", "published") else "left")
    for _, row in beside.iterrows():
        table.add_row(*[cell_text(row, name) for name in ("model", "column", "ours", "published", "source")])
    console.print(table)


def _print_own(console: object, stem: str, table: pd.DataFrame) -> None:
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    if len(table) > MOST_ROWS:
        return
    names = [str(name) for name in table]
    names = [name for name in names if not name.endswith(("_low", "_high"))]
    shown = Table(title=stem.replace("_", " "), title_justify="left")
    for i, name in enumerate(names):
        shown.add_column(name, no_wrap=i == 0)
    for _, row in table.iterrows():
        shown.add_row(*[cell_text(row, name) for name in names])
    console.print(shown)


def _print_explanations(console: object, results: Results, explained: pd.DataFrame) -> None:
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    heads = arrows(results)
    if len(heads) > MOST_METRICS:
        console.print(f"  explanations by {len(heads)} metrics: leaderboard.md, explanations.csv", markup=False)
        return
    table = Table(title="Explanations (means; arrows say which way is better)", title_justify="left")
    for name in ("model", "explainer"):
        table.add_column(name, no_wrap=True)
    for head in heads.values():
        table.add_column(head.replace("_", " "), justify="right")
    last = None
    for _, row in explained.iterrows():
        if last not in (None, row["model"]):
            table.add_section()
        shown = row["model"] if row["model"] != last else ""
        last = row["model"]
        values = ["–" if pd.isna(row[name]) else f"{row[name]:.3f}" for name in heads]
        table.add_row(shown, row["explainer"] + (" (control)" if row["control"] else ""), *values)
    console.print(table)


def _print_ranks(console: object, results: Results) -> None:
    """Which explainers are one method, their ranks, and what the controls say of the metrics."""
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    worths = [f"verdict, {each}" for each in worth(results)]
    for line in (*explanation_remarks(results), *scoring_lines(results), *worths, *one_method(results)):
        console.print(f"  {line}", markup=False)
    ranked = explainer_ranks(results)
    if len(ranked) and len(results.suite.metrics) > MOST_METRICS:
        console.print(_mean_ranks(ranked))
    elif len(ranked):
        table = Table(title="Ranks of explainers (1 + methods that are significantly better)", title_justify="left")
        names = [str(name) for name in ranked if name not in ("model", "explainer", "one_method_with")]
        for name in ("model", "explainer"):
            table.add_column(name, no_wrap=True)
        for name in names:
            table.add_column(name.removeprefix("rank_").replace("_", " "), justify="right")
        last = None
        for _, row in ranked.iterrows():
            if last not in (None, row["model"]):
                table.add_section()
            shown, last = row["model"] if row["model"] != last else "", row["model"]
            ranks = ["–" if pd.isna(row[name]) else f"{row[name]:.3g}" for name in names]
            table.add_row(shown, row["explainer"], *ranks)
        console.print(table)
    for line in control_lines(results):
        console.print(f"  {line}", markup=False)


def _mean_ranks(ranked: pd.DataFrame) -> object:
    """Mean rank of each explainer over the metrics that pass their controls, a column a model."""
    from rich.table import Table

    table = Table(title="Mean rank of explainers", title_justify="left")
    table.add_column("explainer")
    wide = ranked.pivot(index="explainer", columns="model", values="mean_rank")
    wide = wide.reindex(index=list(dict.fromkeys(ranked["explainer"])), columns=list(dict.fromkeys(ranked["model"])))
    for model in wide:
        table.add_column(str(model), justify="right")
    for explainer, row in wide.iterrows():
        table.add_row(str(explainer), *["–" if pd.isna(value) else f"{value:.2f}" for value in row])
    return table


def _print_drift(console: object, attacked: pd.DataFrame) -> None:
    """What the attacks did to the attributions; nothing where no explainer names one."""
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    if not len(attacked) or len(attacked) > MOST_ROWS:
        return
    table = Table(title=TITLE, title_justify="left")
    for name in SHOWN:
        table.add_column(name.replace("_", " "), no_wrap=name in ("model", "explainer", "attack"))
    for _, row in attacked.iterrows():
        cells = {name: number(row[name]) for name in SHOWN} | {"spearman_kept": cell_text(row, "spearman_kept")}
        cells["explainer"] += " (control)" if row["control"] else ""
        table.add_row(*[cells[name] for name in SHOWN])
    console.print(table)


def print_combined(found: Combined) -> None:
    """Robustness beside explanation quality, a row a quantity and a column a model; of many models a row a model."""
    from rich.table import Table

    console, heads, several = table_console(), main_columns(found), found.table["suite"].nunique() > 1
    table = Table(title=COMBINED, title_justify="left")
    rows = [row for _, row in found.table.iterrows()]
    if len(rows) > MANY:
        for name, head in heads.items():
            table.add_column(head.replace("_", " "), no_wrap=name in ("suite", "model"))
        for row in rows:
            table.add_row(*[number(row[name]) for name in heads])
    else:
        table.add_column("")
        for row in rows:
            table.add_column(f"{row['model']}\n{row['suite']}" if several else row["model"], justify="right")
        for name, head in heads.items():
            if name not in ("suite", "model"):
                table.add_row(head.replace("_", " "), *[cell_text(row, name) for row in rows])
    console.print(table)
    for line in (*words(found), *found.remarks):
        console.print(f"  {line}", markup=False)
