"""Tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.cli.console import blocks, first_of_each, fitted, height, table_console
from benchmark.report.columns import arrows, own_names, query_names, shown_columns
from benchmark.report.combined import TITLE as COMBINED
from benchmark.report.combined import Combined, cell, main_columns, words
from benchmark.report.drift import TITLE, attacked_explanations, compact, shown
from benchmark.report.explainer_ranks import control_lines, explainer_ranks
from benchmark.report.explanations import explanation_remarks, one_method, scoring_lines
from benchmark.report.flags import flags
from benchmark.report.formats import said, texts
from benchmark.report.leaderboard import Leaderboard
from benchmark.report.soundness import soundness
from benchmark.report.text import MANY, cell_text, number
from benchmark.reported import Extras
from benchmark.results.base import Results
from benchmark.results.probes import published

if TYPE_CHECKING:
    from rich.console import Console

MOST_ROWS = 40  # of an attack's own table
MOST_METRICS = 10  # that stand side by side in a terminal


def print_report(
    results: Results, board: pd.DataFrame, explained: pd.DataFrame, extra: Extras, *, part: bool = False
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
    for stem, whole in extra.tables.items():
        _print_own(console, stem, extra.shown.get(stem, whole))
    if len(explained):
        _print_explanations(console, results, explained)
        _print_ranks(console, results)
    _print_drift(console, compact(attacked_explanations(results)))
    for label, status, reason in results.reasons():
        console.print(f"  {status}: {label}: {reason}", markup=False)


def print_leaderboard(console: Console, board: Leaderboard) -> None:
    """One row a quantity and one column a model, or one row a model, whichever is shorter; some columns at a time."""
    names, models = board.page()[1:], [str(model) for model in board.frame["model"]]
    cells = texts(board, names)
    across = [[name, *[row[k] for row in cells]] for k, name in enumerate(names)]
    down = [[model, *row] for model, row in zip(models, cells, strict=True)]
    heads = ["model", *[name.replace("_", " ") for name in names]]
    lines = height(["", *models], across, console.width)
    several = len(blocks(["", *models], across, width=console.width)) > 1
    if len(models) > MANY or (several and height(heads, down, console.width) < lines):
        print_tables(console, board.title, heads, down)
    else:
        print_tables(console, board.title, ["", *models], across)


def print_tables(
    console: Console, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], **options: Any
) -> None:
    """See :func:`benchmark.cli.console.fitted`."""
    for table in fitted(title, heads, rows, width=console.width, **options):
        console.print(table)


def _print_published(console: Console, beside: pd.DataFrame) -> None:
    names = ["model", "column", "ours", "published", "source"]
    rows = [[cell_text(row, name) for name in names] for _, row in beside.iterrows()]
    print_tables(console, "Beside published figures", names, rows, left=(1, 4), loose=(4,))


def _print_own(console: Console, stem: str, table: pd.DataFrame) -> None:
    if len(table) > MOST_ROWS:
        return
    names = [name for name in map(str, table) if not name.endswith(("_low", "_high"))]
    rows = [[cell_text(row, name) for name in names] for _, row in table.iterrows()]
    print_tables(console, stem.replace("_", " "), names, rows, left=range(len(names)))


def _print_explanations(console: Console, results: Results, explained: pd.DataFrame) -> None:
    heads = arrows(results)
    if len(heads) > MOST_METRICS:
        console.print(f"  explanations by {len(heads)} metrics: leaderboard.md, explanations.csv", markup=False)
        return
    models, sections = first_of_each([str(model) for model in explained["model"]])
    rows = []
    for model, (_, row) in zip(models, explained.iterrows(), strict=True):
        values = ["–" if pd.isna(row[name]) else f"{row[name]:.3f}" for name in heads]
        rows.append([model, row["explainer"] + (" (control)" if row["control"] else ""), *values])
    names = ["model", "explainer", *[head.replace("_", " ") for head in heads.values()]]
    title = "Explanations (means; arrows say which way is better)"
    print_tables(console, title, names, rows, keys=2, sections=sections)


def _print_ranks(console: Console, results: Results) -> None:
    """Which explainers are one method, their ranks, and what the controls say of the metrics."""
    worths = [f"verdict, {each}" for each in soundness(results)]
    for line in (*explanation_remarks(results), *scoring_lines(results), *worths, *one_method(results)):
        console.print(f"  {line}", markup=False)
    ranked = explainer_ranks(results)
    if len(ranked) and len(results.suite.metrics) > MOST_METRICS:
        _print_mean_ranks(console, ranked)
    elif len(ranked):
        names = [str(name) for name in ranked if name not in ("model", "explainer", "one_method_with")]
        models, sections = first_of_each([str(model) for model in ranked["model"]])
        rows = []
        for model, (_, row) in zip(models, ranked.iterrows(), strict=True):
            ranks = ["–" if pd.isna(row[name]) else f"{row[name]:.3g}" for name in names]
            rows.append([model, row["explainer"], *ranks])
        heads = ["model", "explainer", *[name.removeprefix("rank_").replace("_", " ") for name in names]]
        title = "Ranks of explainers (1 + methods that are significantly better)"
        print_tables(console, title, heads, rows, keys=2, sections=sections)
    for line in control_lines(results):
        console.print(f"  {line}", markup=False)


def _print_mean_ranks(console: Console, ranked: pd.DataFrame) -> None:
    """Mean rank of each explainer over the metrics that pass their controls, a column a model."""
    wide = ranked.pivot(index="explainer", columns="model", values="mean_rank")
    wide = wide.reindex(index=list(dict.fromkeys(ranked["explainer"])), columns=list(dict.fromkeys(ranked["model"])))
    rows = [[str(name), *["–" if pd.isna(value) else f"{value:.2f}" for value in row]] for name, row in wide.iterrows()]
    print_tables(console, "Mean rank of explainers", ["explainer", *map(str, wide)], rows)


def _print_drift(console: Console, attacked: pd.DataFrame) -> None:
    """What the attacks did to the attributions; nothing where no explainer names one."""
    if not len(attacked) or len(attacked) > MOST_ROWS:
        return
    rows, names = [], shown(attacked)
    for _, row in attacked.iterrows():
        cells = {name: number(row[name]) for name in names} | {"spearman_kept": cell_text(row, "spearman_kept")}
        cells["explainer"] += " (control)" if row["control"] else ""
        rows.append([cells[name] for name in names])
    heads = [name.replace("_", " ") for name in names]
    print_tables(console, TITLE, heads, rows, keys=4, left=range(len(names)))


def print_combined(combined: Combined) -> None:
    """Robustness beside explanation quality, a row a quantity and a column a model; of many models a row a model."""
    console, heads, several = table_console(), main_columns(combined), combined.table["suite"].nunique() > 1
    lines = [row for _, row in combined.table.iterrows()]
    if len(lines) > MANY:
        rows = [[number(row[name]) for name in heads] for row in lines]
        print_tables(console, COMBINED, [head.replace("_", " ") for head in heads.values()], rows)
    else:
        names = [name for name in heads if name not in ("suite", "model")]
        rows = [[heads[name].replace("_", " "), *[cell(row, name) for row in lines]] for name in names]
        models = [f"{row['model']}\n{row['suite']}" if several else str(row["model"]) for row in lines]
        print_tables(console, COMBINED, ["", *models], rows)
    for line in (*words(combined), *combined.remarks):
        console.print(f"  {line}", markup=False)
