"""Judgement by numbers: no sample is right or broken, scores say how far an attack moves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import ClassVar

import pandas as pd

from benchmark.report.comparisons import Comparison, compared_scores
from benchmark.report.doubts import Flag
from benchmark.report.events import Events, measured_samples
from benchmark.report.judgement.base import Claim, Glance, Judgement, directed
from benchmark.results.base import Results
from benchmark.results.heads import Head, Row
from benchmark.results.probes import ProbeView
from benchmark.results.scores import (
    gates,
    headline_name,
    put_scores,
    score_flags,
    score_headline,
    score_name,
    score_pairs,
    score_verdicts,
    seed_spreads,
)
from benchmark.spec.budget import Budget
from benchmark.spec.suite import SuiteSpec
from benchmark.stats import Pair
from benchmark.tasks.base import Task


class ByNumbers(Judgement):
    """Means of scores; the task's own headline at the headline budget ranks, behind the accuracy gate."""

    smallest_first: ClassVar[bool] = True
    order: ClassVar[str] = ", the worst first"
    share: ClassVar[str] = "The mean over samples of what each attack reaches; darker is worse."

    def headline(self, suite: SuiteSpec, task: Task, classes: Sequence[str]) -> str:
        """The task's headline at the headline budget, else the first clean column."""
        return score_headline(suite, task) or task.columns(classes)[0].name

    def fill(self, results: Results, model: str, row: Row) -> None:
        """Gate, scores and clean means."""
        put_scores(results, model, row)

    def across(self, results: Results, table: pd.DataFrame, headline: str) -> Mapping[str, list[float]]:
        """How far networks lie apart that differ in their seed alone."""
        spread = seed_spreads(results, dict(zip(table["model"], table[headline].astype(float), strict=True)))
        return {"seed_spread": [spread.get(model, nan) for model in table["model"]]}

    def pairs(self, results: Results) -> tuple[list[str], list[Pair]]:
        """See :func:`benchmark.results.scores.score_pairs`."""
        return score_pairs(results)

    def pair_words(self, results: Results) -> list[str]:
        """Each model against the reference."""
        return score_verdicts(results)

    def barred(self, results: Results) -> set[str]:
        """Those that fail the accuracy gate."""
        return {model for model, gate in gates(results).items() if not gate.passed}

    def nothing_ranks(self, results: Results) -> bool:
        """Without a headline threat model."""
        return not headline_name(results)

    def flags(self, results: Results) -> tuple[Flag, ...]:
        """The accuracy gate, and attacks that were still gaining."""
        return tuple(Flag(*each) for each in score_flags(results))

    def comparisons(self, results: Results, a: str, b: str) -> list[Comparison]:
        """See :func:`benchmark.report.comparisons.compared_scores`."""
        return compared_scores(results, a, b)

    def shown(
        self, results: Results, board: pd.DataFrame, heads: Mapping[str, Head], hidden: frozenset[str]
    ) -> list[str]:
        """Rank, gate, the scores at the headline's budget, what is clean, facts."""
        threat, scores = results.suite.threat, results.task.scores()
        at = [score_name(score, threat.eps) for score in scores] if threat is not None else []
        clean = [column.name for column in results.task.columns(results.classes)]
        facts = [name for model in results.models for name in results.facts(model)]
        spread = ["seed_spread"] if board["seed_spread"].notna().any() else []
        flagged = ["flags"] if board["flags"].any() else []
        return ["model", "rank", "gate", *flagged, *at, *clean, *spread, *dict.fromkeys(facts)]

    def claims(self, suite: SuiteSpec, task: Task, classes: Sequence[str]) -> list[Claim]:
        """The gate, what is measured clean, and what ranks."""
        clean, lead = task.columns(classes)[0], self.headline(suite, task, classes)
        found = [Claim("gate", "gate", None, axis=False), Claim(clean.name, clean.name, clean.higher_is_better)]
        return found + ([Claim(lead, lead, self._better(suite, task, classes))] if lead != clean.name else [])

    def glance(self, results: Results, board: pd.DataFrame) -> Glance:
        """The column that ranks."""
        headline = self.headline(results.suite, results.task, results.classes)
        return Glance([headline] if headline in board else [], [self.ordinary(results)], board)

    def ordinary(self, results: Results) -> str:
        """What ranks, with its direction."""
        task, classes = results.task, results.classes
        words = self.headline(results.suite, task, classes).replace("_", " ")
        return directed(words, self._better(results.suite, task, classes))

    @staticmethod
    def _better(suite: SuiteSpec, task: Task, classes: Sequence[str]) -> bool:
        """Direction of the column that ranks."""
        ranking = [score for score in task.scores() if score.name == task.headline]
        if ranking and score_headline(suite, task):
            return ranking[0].higher_is_better
        return task.columns(classes)[0].higher_is_better

    def events(
        self, results: Results, model: str, view: ProbeView, eps: Budget | None, norm: str, rows: pd.DataFrame
    ) -> Events | None:
        """See :func:`benchmark.report.events.measured_samples`."""
        return measured_samples(results, norm, rows)

    def darkest(self, shares: Sequence[float]) -> float:
        """The largest mean."""
        return max(shares, default=1.0) or 1.0
