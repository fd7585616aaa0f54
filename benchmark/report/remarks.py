"""What must be said of the numbers in a table: which have no interval and why, and which are over fewer samples."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from benchmark.report.gaps import gaps
from benchmark.report.rows import headline_column, heads_of, rows_of
from benchmark.results.base import Condition, Results
from benchmark.results.heads import NORMS, OWN, QUERIES
from benchmark.sentences import listed


def remarks(results: Results, board: pd.DataFrame) -> list[str]:
    """The lines on a leaderboard: samples that numbers do not share, then numbers without an interval, then blanks."""
    return [*scope(results, board), *gaps(leaderboard_whys(results))]


# -- numbers without an interval -----------------------------------------------------------------------------------


def leaderboard_whys(results: Results) -> list[tuple[str, str, str]]:
    """(model, column, why it has no interval or no number) of the leaderboard."""
    found = []
    for row in rows_of(results):
        bounded = {name.removesuffix("_low") for name in row if name.endswith("_low")}
        known = {name for name in bounded if not pd.isna(row[name])}
        alone = [name for name in known if row.whys.get(name) == row.whys.get(next(iter(known)))]
        whys = dict(row.whys)
        if known and len(alone) == len(known) and (why := whys.get(alone[0])):
            found.append((str(row["model"]), "every number", why))
            whys = {name: text for name, text in whys.items() if name not in known}
        found += [(str(row["model"]), name, text) for name, text in whys.items()]
    return found


# -- samples that numbers do not share -----------------------------------------------------------------------------


def denominators(results: Results, board: pd.DataFrame) -> dict[str, str]:
    """Column to the one that holds its n, of those that are over other samples than the table."""
    fewer = set(subsets(results))
    of = {name: head.probe for name, head in heads_of(results).items() if head.group in (OWN, QUERIES, NORMS)}
    every = [str(name) for name in board if f"{name}_low" in board and f"n_{name}" in board]
    return {name: f"n_{name}" for name in every if of.get(name, next(iter(fewer), "")) in fewer}


@lru_cache(maxsize=4)
def subsets(results: Results) -> dict[str, int]:
    """Probes that run on fewer samples than the suite's, and on how many."""
    model, found = results.models[0], dict[str, int]()
    for probe in results.suite.attacks:
        if results.threat(probe.name):
            eps = max(probe.budgets) if results.threat(probe.name).get("kind") == "fixed" and probe.budgets else None
            n = len(results.attacked_samples(model, Condition(probe.name, eps)))
            if 0 < n < results.planned(model):
                found[probe.name] = n
    return found


def scope(results: Results, board: pd.DataFrame) -> list[str]:
    """Which probes and which columns are over fewer samples than the table, and what the ranks compare."""
    by_size: dict[int, list[str]] = {}
    for name, n in subsets(results).items():
        by_size.setdefault(n, []).append(name)
    whole, lead = results.planned(results.models[0]), headline_column(results)
    lines = [f"Over {n} of the {whole} samples: {listed(names)}." for n, names in sorted(by_size.items())]
    if f"n_{lead}" in board and board[f"n_{lead}"].notna().any():
        lines.append(
            f"{lead} and the ranks are over {int(board[f'n_{lead}'].max())} of the {whole} samples: those that every"
            " attack of the headline threat model was asked for."
        )
    return lines
