"""What a suite says at a glance: values with their intervals on one axis, a row a model or an attack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from benchmark.report.judgement.base import titled
from benchmark.report.judgement.choice import judgement_of
from benchmark.report.page.tables import interval_cells, scale
from benchmark.report.remarks import subsets
from benchmark.report.text import short
from benchmark.results.base import Results
from benchmark.results.probes import ProbeView, views
from benchmark.spec.budget import Budget, at_budget

TOGETHER = 6  # models that one axis holds
CHARTS = 4  # of a suite with more models
Mark = tuple[str, str, float | None, float | None, float | None]


@dataclass(frozen=True)
class Strip:
    """A row: its name, a word behind it, and (class, text, low, high, at) of each mark, in percent of the axis."""

    name: str
    note: str
    marks: list[Mark]


@dataclass(frozen=True)
class Glance:
    """A chart of strips: a title, what its series mean, the ends of its axis; ``arrow``: one mark leads to the next."""

    title: str
    series: list[tuple[str, str]]
    ends: tuple[str, str]
    strips: list[Strip]
    arrow: bool = False


@dataclass(frozen=True)
class Asked:
    """A column of the leaderboard that says what an attack is about."""

    column: str
    title: str
    name: str
    note: str = ""


def glances(results: Results, board: pd.DataFrame) -> list[Glance]:
    """The headline of every model; without a headline threat model what each attack is about, beside no attack."""
    asked = [] if results.suite.threat is not None else list(_asked(results, board))
    first = _headline(results, board)
    if not asked:
        return [first] if first is not None else []
    if len(board) > TOGETHER:
        by_model = [_by_model(board, each.column, f"{each.title}: {each.name}") for each in asked]
        return [*([first] if first is not None else []), *by_model][:CHARTS]
    clean = results.task.columns(results.classes)[0].name
    if first is not None:
        asked = [Asked(clean, judgement_of(results.task).ordinary(results), "no attack"), *asked]
    titles = dict.fromkeys(each.title for each in asked)
    return [_by_attack(board, title, [each for each in asked if each.title == title]) for title in titles]


# -- a row a model -----------------------------------------------------------------------------------------


def _headline(results: Results, board: pd.DataFrame) -> Glance | None:
    """No attack beside the worst case; of a task that judges by numbers the column that ranks."""
    shown = judgement_of(results.task).glance(results, board)
    names, words, board = shown.columns, shown.words, shown.board
    if not names or names[0] not in board:
        return None
    looks = ["clean", "worst"][: len(names)]
    ends = scale(*(board[f"{name}{side}"] for name in names for side in ("", "_low", "_high")))
    marks = [_marks(board, name, look, ends) for name, look in zip(names, looks, strict=True)]
    ranked = board["rank"].notna()
    strips = [
        Strip(str(model), "no rank" if ranked.any() and not has else "", list(row))
        for model, has, row in zip(board["model"], ranked, zip(*marks, strict=True), strict=True)
    ]
    return Glance("", list(zip(looks, words, strict=True)), _ends(ends), strips, arrow=True)


def _by_model(board: pd.DataFrame, column: str, title: str) -> Glance:
    ends = scale(*(board[f"{column}{side}"] for side in ("", "_low", "_high")))
    marks = _marks(board, column, "clean", ends)
    strips = [Strip(str(model), "", [mark]) for model, mark in zip(board["model"], marks, strict=True)]
    return Glance(title, [], _ends(ends), strips)


# -- a row an attack ---------------------------------------------------------------------------------------


def _asked(results: Results, board: pd.DataFrame) -> Iterator[Asked]:
    """Of each attack at its largest budget the column that it is about, else the accuracy or norm that it leaves."""
    for view in views(results):
        eps = max((each for each in view.budgets if each is not None), default=None)
        found = next(iter([*_declared(view, eps), *_remaining(results, view, eps)]), None)
        if found is not None and f"{found[0]}_low" in board and board[found[0]].notna().any():
            n = subsets(results).get(view.name)
            note = ", ".join([*(["control"] if view.attack.control else []), *([f"{n} samples"] if n else [])])
            yield Asked(*found, at_budget(view.name, eps, " at "), note)


def _declared(view: ProbeView, eps: Budget | None) -> Iterator[tuple[str, str]]:
    suffix = at_budget(view.name, eps)
    for column in view.attack.columns():
        if column.glance:
            yield f"{column.name}_{suffix}", titled(column.glance, column.higher_is_better)


def _remaining(results: Results, view: ProbeView, eps: Budget | None) -> Iterator[tuple[str, str]]:
    found = judgement_of(results.task).remains(results, view, eps)
    if found is not None:
        yield found


def _by_attack(board: pd.DataFrame, title: str, asked: Sequence[Asked]) -> Glance:
    names = [each.column for each in asked]
    ends = scale(*(board[f"{name}{side}"] for name in names for side in ("", "_low", "_high")))
    looks = [f"m{i}" for i in range(len(board))]
    strips = []
    for each in asked:
        cells = interval_cells(board, each.column, ends)
        marks = [(look, cell.text, cell.low, cell.high, cell.at) for look, cell in zip(looks, cells, strict=True)]
        strips.append(Strip(each.name, each.note, marks))
    return Glance(title, list(zip(looks, map(str, board["model"]), strict=True)), _ends(ends), strips)


def _marks(board: pd.DataFrame, name: str, look: str, ends: tuple[float, float]) -> list[Mark]:
    return [(look, cell.text, cell.low, cell.high, cell.at) for cell in interval_cells(board, name, ends)]


def _ends(ends: tuple[float, float]) -> tuple[str, str]:
    return short(ends[0]).removesuffix(".000"), short(ends[1]).removesuffix(".000")
