"""Judgement by verdicts: a sample is right, and right it stays or is broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import pandas as pd

from benchmark.report.comparisons import Comparison, compared_rates
from benchmark.report.doubts import Flag, rate_flags
from benchmark.report.events import Events, broken_samples
from benchmark.report.judgement.base import Claim, Glance, Judgement, titled
from benchmark.results.base import NORMS, Condition, Results
from benchmark.results.heads import NORMS as NORM_COLUMNS
from benchmark.results.heads import OWN, QUERIES, ROUNDED, SUCCESS, Head, Row
from benchmark.results.probes import ProbeView
from benchmark.results.rates import (
    headline_outcomes,
    median_head,
    put_rates,
    rate_pair_words,
    rate_pairs,
    robust_head,
)
from benchmark.spec.budget import Budget
from benchmark.spec.suite import SuiteSpec
from benchmark.stats import Pair
from benchmark.tasks.base import Task


class ByVerdicts(Judgement):
    """Rates over all samples; the worst case in the headline threat model ranks."""

    smallest_first: ClassVar[bool] = False
    curve_norms: ClassVar[tuple[str, ...]] = NORMS
    breaks: ClassVar[bool] = True
    order: ClassVar[str] = ", sorted by norm"
    share: ClassVar[str] = "The share of samples that each attack breaks, of those that are right without it."

    def headline(self, suite: SuiteSpec, task: Task, classes: Sequence[str]) -> str:
        """The worst case in the headline threat model, else the clean rate."""
        attacked = suite.threat is not None and suite.attacks
        return f"{task.robust_name}_worst" if attacked else task.columns(classes)[0].name

    def fill(self, results: Results, model: str, row: Row) -> None:
        """Clean, robust and attack success rates, queries, norms."""
        put_rates(results, model, row)

    def pairs(self, results: Results) -> tuple[list[str], list[Pair]]:
        """See :func:`benchmark.results.rates.rate_pairs`."""
        return rate_pairs(results)

    def pair_words(self, results: Results) -> list[str]:
        """A line a pair."""
        return rate_pair_words(results, self.headline(results.suite, results.task, results.classes))

    def flags(self, results: Results) -> tuple[Flag, ...]:
        """See :mod:`benchmark.report.doubts`."""
        return rate_flags(results)

    def comparisons(self, results: Results, a: str, b: str) -> list[Comparison]:
        """See :func:`benchmark.report.comparisons.compared_rates`."""
        return compared_rates(results, a, b)

    def shown(
        self, results: Results, board: pd.DataFrame, heads: Mapping[str, Head], hidden: frozenset[str]
    ) -> list[str]:
        """Rates, then norms; success, queries, classes and attacks' own columns stand in tables of their own."""
        elsewhere = {column.name for column in results.task.columns(results.classes) if column.table}
        names = [
            name
            for name in map(str, board)
            if name in heads and f"{name}_low" in board and name not in hidden | elsewhere
        ]
        later = (SUCCESS, ROUNDED, QUERIES, NORM_COLUMNS, OWN)
        rates = [name for name in names if heads[name].group not in later]
        norms = [name for name in names if heads[name].group == NORM_COLUMNS]
        flagged = ["flags"] if board["flags"].any() else []
        return ["model", "rank", "n", *flagged, *rates, *norms]

    def claims(self, suite: SuiteSpec, task: Task, classes: Sequence[str]) -> list[Claim]:
        """Clean and robust rate, under the names that all such tasks share there."""
        clean, worst = task.columns(classes)[0].name, f"{task.robust_name}_worst"
        return [Claim("clean_acc", clean, True, "share"), Claim("robust_acc_worst", worst, True, "share")]

    def glance(self, results: Results, board: pd.DataFrame) -> Glance:
        """No attack beside the worst case; a pair compares the same samples."""
        clean, threat = results.task.columns(results.classes)[0].name, results.suite.threat
        headline = self.headline(results.suite, results.task, results.classes)
        names = [clean, *([headline] if headline != clean and headline in board else [])]
        words = ["no attack"]
        if threat is not None and len(names) > 1:
            words.append(f"worst case over all attacks within {threat.norm} {threat.eps}")
        if len(names) > 1 and f"n_{headline}" in board:
            board, n = _on_headline(results, board, clean), int(board[f"n_{headline}"].max())
            words = [f"no attack, on the same {n} samples", f"{words[1]}, over the {n} samples that all were asked for"]
        return Glance(names, words, board)

    def ordinary(self, results: Results) -> str:
        """An accuracy."""
        return titled("accuracy", True)

    def remains(self, results: Results, view: ProbeView, eps: Budget | None) -> tuple[str, str] | None:
        """The norm that breaks a sample, or the rate of those that stay right."""
        threat = view.attack.threat
        if view.attack.generates or not view.attack.breaks:
            return None
        if threat.kind == "minimal":
            return median_head(results, view.name).name, titled(f"median {threat.norm} norm that breaks a sample", True)
        return robust_head(results, Condition(view.name, eps)).name, titled("accuracy", True)

    def events(
        self, results: Results, model: str, view: ProbeView, eps: Budget | None, norm: str, rows: pd.DataFrame
    ) -> Events | None:
        """See :func:`benchmark.report.events.broken_samples`."""
        return broken_samples(results, model, Condition(view.name, eps), norm, rows)

    def darkest(self, shares: Sequence[float]) -> float:
        """All of the samples."""
        return 1.0


def _on_headline(results: Results, board: pd.DataFrame, name: str) -> pd.DataFrame:
    """The leaderboard with a clean rate over the headline's samples alone."""
    found = board.copy()
    for at, model in board["model"].items():
        right = results.correct(model).reindex(headline_outcomes(results, model).index)
        rate = results.rate(model, right)
        found.loc[at, [name, f"{name}_low", f"{name}_high"]] = [rate.value, rate.low, rate.high]
    return found
