"""Which columns of a leaderboard a page shows, by the task and by what the suite's attacks declare."""

from __future__ import annotations

import pandas as pd

from benchmark.report.probes import declared, unshown
from benchmark.report.results import Results
from benchmark.report.scores import score_budgets, score_name
from benchmark.report.worth import direction


def shown_columns(results: Results, board: pd.DataFrame) -> list[str]:
    """The columns that fit a page: rates and norms without their interval columns, and the counts that are not 0."""
    hidden = unshown(results)
    if not results.task.verdicts:
        return score_names(results, board)
    names = [name for name in board.columns if f"{name}_low" in board.columns and not name.startswith("asr_")]
    own = {name for name, _, _, _ in declared(results)}
    names = [name for name in names if not name.startswith(("precision_", "recall_", "queries_", "median_"))]
    names = [name for name in names if name not in own]
    names += [name for name in board.columns if name.startswith("median_") and f"{name}_low" in board.columns]
    names = [name for name in names if name not in hidden]
    counts = [name for name in ("failed", "skipped", "missing", "nan", "out_of_budget") if board[name].sum()]
    flagged = ["flags"] if board["flags"].any() else []
    return ["model", "rank", "n", *flagged, *names, *counts]


def score_names(results: Results, board: pd.DataFrame) -> list[str]:
    """Of a task that judges by numbers: rank, gate, the scores at the headline's budget, what is clean, facts."""
    threat, scores = results.suite.threat, results.task.scores()
    at = [score_name(score, threat.eps) for score in scores] if threat is not None else []
    clean = [column.name for column in results.task.columns(results.plan["dataset"]["classes"])]
    facts = [name for model in results.models for name in results.facts(model)]
    counts = [name for name in ("failed", "skipped", "missing", "nan", "out_of_budget") if board[name].sum()]
    spread = ["seed_spread"] if board["seed_spread"].notna().any() else []
    flagged = ["flags"] if board["flags"].any() else []
    names = ["model", "rank", "gate", *flagged, *at, *clean, *spread, *dict.fromkeys(facts), *counts]
    return [name for name in dict.fromkeys(names) if name in board]


def other_scores(results: Results, board: pd.DataFrame) -> list[str]:
    """Scores at the other budgets."""
    if results.task.verdicts:
        return []
    names = [score_name(score, eps) for score in results.task.scores() for eps in score_budgets(results)]
    shown = score_names(results, board)
    return [name for name in names if name in board and name not in shown]


def own_names(results: Results, board: pd.DataFrame) -> list[str]:
    """Columns that the suite's attacks declare of their own, to be shown."""
    hidden = unshown(results)
    names = dict.fromkeys(name for name, _, _, _ in declared(results))
    return [name for name in names if name in board and name not in hidden]


def query_names(results: Results, board: pd.DataFrame) -> list[str]:
    """Columns of mean queries, to be shown."""
    names = [name for name in board.columns if name.startswith("queries_") and f"{name}_low" in board.columns]
    hidden = unshown(results)
    return [name for name in names if name not in hidden]


def arrows(results: Results) -> dict[str, str]:
    """Metric column to its heading with the direction that is better."""
    marks = {True: " ↑", False: " ↓", None: ""}
    return {
        name.replace("-", "_"): name.replace("-", "_") + marks[direction(results.suite, results.plan["metrics"], name)]
        for name in results.plan["metrics"]
    }
