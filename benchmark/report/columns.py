"""Which columns of a leaderboard a page shows, by the task and by what the suite's attacks declare."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from benchmark.report.judgement.choice import judgement_of
from benchmark.report.rows import heads_of
from benchmark.report.soundness import direction
from benchmark.results.base import Results
from benchmark.results.heads import BUDGETS, COUNTS, QUERIES, ROBUST, ROUNDED, SUCCESS
from benchmark.results.probes import declared, summaries, views


def shown_columns(results: Results, board: pd.DataFrame) -> list[str]:
    """The columns that fit a page: rates and norms without their interval columns, and the counts that are not 0."""
    heads, hidden = heads_of(results), unshown(results)
    names = judgement_of(results.task).shown(results, board, heads, hidden)
    counts = [name for name in COUNTS[1:] if board[name].sum()]
    return [name for name in dict.fromkeys([*names, *counts]) if name in board]


def other_scores(results: Results, board: pd.DataFrame) -> list[str]:
    """Scores at the other budgets."""
    shown = shown_columns(results, board)
    return [name for name in of_group(results, board, BUDGETS) if name not in shown]


def of_group(results: Results, board: pd.DataFrame, *groups: str) -> list[str]:
    """Columns of these groups that a page may show, in the board's order."""
    heads, hidden = heads_of(results), unshown(results)
    return [name for name in board if name in heads and heads[name].group in groups and name not in hidden]


@lru_cache(maxsize=4)
def unshown(results: Results) -> frozenset[str]:
    """Columns of the leaderboard that only its CSV file shows: those of attacks that have a table of their own, and
    "right under every view", which is no worst case that anybody searched for."""
    several = {view.name for view in views(results) if type(view.attack).tabled or view.attack.views() > 1}
    groups = (ROBUST, SUCCESS, ROUNDED, QUERIES)
    hidden = {name for name, head in heads_of(results).items() if head.probe in several and head.group in groups}
    for name, view, _, column in declared(results):
        own = column.name in {each.name for each in view.attack.columns()}
        if not column.shown or (own and type(view.attack).tabled):
            hidden.add(name)
    return frozenset(hidden)


def own_names(results: Results, board: pd.DataFrame) -> list[str]:
    """Columns that the suite's attacks declare of their own, to be shown."""
    hidden = unshown(results)
    names = dict.fromkeys([*(each.name for each in summaries(results)), *(name for name, _, _, _ in declared(results))])
    return [name for name in names if name in board and name not in hidden]


def query_names(results: Results, board: pd.DataFrame) -> list[str]:
    """Columns of mean queries, to be shown."""
    return of_group(results, board, QUERIES)


def arrows(results: Results) -> dict[str, str]:
    """Metric column to its heading with the direction that is better."""
    marks = {True: " ↑", False: " ↓", None: ""}
    return {
        name.replace("-", "_"): name.replace("-", "_") + marks[direction(results.suite, results.plan["metrics"], name)]
        for name in results.plan["metrics"]
    }
