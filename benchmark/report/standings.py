"""In words, which places of a leaderboard the data decide and which not: a few lines for any number of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from benchmark.report.judgement.choice import judgement_of
from benchmark.report.rows import headline_column, pairs
from benchmark.results.base import Results
from benchmark.sentences import listed
from benchmark.stats import Pair

FEW = 3  # decided pairs within an undecided group that are named one by one


@dataclass(frozen=True)
class Group:
    """Models whose order is not decided as a whole; a group of one has its place decided.

    Attributes:
        places: 1-based, in the order of the leaderboard.
        models: in the same order.
        better: (better, worse) of the pairs within that are decided all the same.
    """

    places: tuple[int, ...]
    models: tuple[str, ...]
    better: tuple[tuple[str, str], ...] = ()


def groups(order: Sequence[str], tests: Sequence[Pair]) -> list[Group]:
    """Models joined by pairs that are not decided, best first.

    A place is decided where its model differs significantly from every other one.
    """
    joined = {model: {model} for model in order}
    for pair in tests:
        if pair.better is None and joined[pair.a] is not joined[pair.b]:
            both = joined[pair.a] | joined[pair.b]
            joined |= dict.fromkeys(both, both)
    found = []
    for members in {id(each): each for each in (joined[model] for model in order)}.values():
        places = tuple(i for i, model in enumerate(order, 1) if model in members)
        inside = [pair for pair in tests if pair.better is not None and {pair.a, pair.b} <= members]
        better = tuple((str(p.better), p.b if p.better == p.a else p.a) for p in inside)
        found.append(Group(places, tuple(order[i - 1] for i in places), better))
    return found


def standing_words(results: Results, board: pd.DataFrame) -> list[str]:
    """A sentence on the places that are decided, one on each group of those that are not, one on who has none.

    Args:
        board: the suite's leaderboard, for the order.
    """
    if judgement_of(results.task).nothing_ranks(results):
        return ["No place is decided: without a headline threat model nothing ranks."]
    ranked, tests = pairs(results)
    order = [model for model in board["model"] if model in ranked]
    column, found = headline_column(results), groups(order, tests)
    sure, open_ = [g for g in found if len(g.models) == 1], [g for g in found if len(g.models) > 1]
    lines = []
    if len(order) == 1:
        lines.append(f"{order[0]} alone has a rank on {column}: there is no place to decide.")
    elif sure:
        named = listed([f"{group.places[0]} ({group.models[0]})" for group in sure])
        every = "it differs" if len(sure) == 1 else "each differs"
        lines.append(f"Decided on {column}: place{_s(sure)} {named}; {every} significantly from every other model.")
    lines += [_open(group, column, len(order)) for group in open_]
    left = [str(model) for model in board["model"] if model not in ranked]
    if left:
        barred = judgement_of(results.task).barred(results) & set(left)
        lost = [model for model in left if model not in barred]
        reasons = [f"{listed(names)} ({why})" for names, why in _reasons(left, barred, lost, column) if names]
        lines.append(f"Without a place: {'; '.join(reasons)}.")
    return lines


def _reasons(left: list[str], barred: set[str], lost: list[str], column: str) -> list[tuple[list[str], str]]:
    failed = [model for model in left if model in barred]
    fails = "fails" if len(failed) == 1 else "fail"
    return [(failed, f"{fails} the accuracy gate"), (lost, f"samples lack a verdict on {column}")]


def _open(group: Group, column: str, n: int) -> str:
    whole = "No place is decided" if len(group.models) == n else f"Not decided: places {_numbers(group.places)}"
    text = f"{whole} on {column}: the data do not tell {listed(list(group.models))} apart"
    several = len(group.models) * (len(group.models) - 1) // 2
    if not group.better:
        return f"{text}."
    if len(group.better) <= FEW:
        return f"{text}, save that {listed([f'{a} is better than {b}' for a, b in group.better])}."
    return f"{text} as a whole; {len(group.better)} of the {several} pairs among them are decided."


def _numbers(places: Sequence[int]) -> str:
    """``1 to 3 and 5``."""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]} {'and' if len(run) == 2 else 'to'} {run[-1]}" for run in runs]
    return listed(texts) if len(texts) < 3 else ", ".join(texts)


def _s(many: Sequence[object]) -> str:
    return "" if len(many) == 1 else "s"
