"""Comparisons of two models quantity by quantity: paired, with intervals, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Any

import pandas as pd

from benchmark import stats
from benchmark.intervals import FEW
from benchmark.report.explanations import score_rows
from benchmark.report.soundness import direction
from benchmark.results.base import Results
from benchmark.results.rates import headline_outcomes, robust_head
from benchmark.results.scores import score_budgets, score_name, scored
from benchmark.seeds import derive

OfSamples = Callable[[Any], Any]  # samples to the name of each one's group, or None


def no_groups(_: Any) -> None:
    """Samples without groups."""


@dataclass(frozen=True)
class Comparison:
    """One compared quantity; ``difference`` is A minus B, the interval and p are paired.

    ``only_a`` and ``only_b`` count the samples that only one of the two gets right. A rate for which any sample lacks a
    verdict is not compared: its numbers are NaN, and ``words`` says so. ``low`` and ``high`` are NaN where there is no
    interval.
    """

    quantity: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    n: int
    words: str
    only_a: int | None = None
    only_b: int | None = None


def compared_rates(results: Results, a: str, b: str) -> list[Comparison]:
    """Every rate of two models, the norms of minimal-norm attacks, and every metric of explainers."""
    columns, groups = results.task.columns(results.classes), partial(results.groups, a)
    found = [rates(columns[0].name, a, b, results.correct(a), results.correct(b), groups)]
    for condition in results.conditions():
        if condition.eps is None and results.threat(condition.probe).get("kind") == "minimal":
            found += _norms(results, condition.probe, a, b)
            continue
        name = robust_head(results, condition).name
        found.append(rates(name, a, b, results.outcome(a, condition), results.outcome(b, condition), groups))
    if results.suite.threat is not None and results.suite.attacks:
        outcomes = [headline_outcomes(results, name) for name in (a, b)]
        found.append(rates(robust_head(results).name, a, b, outcomes[0], outcomes[1], groups))
    return found + _metrics(results, a, b)


def compared_scores(results: Results, a: str, b: str) -> list[Comparison]:
    """Clean columns, then every score at every budget, of a task that judges by numbers."""
    found = []
    for column in results.task.columns(results.classes):
        parts = [pd.Series(column.values(results.clean(m)), index=results.clean(m).index) for m in (a, b)]
        found += _paired_values(results, column.name, a, b, parts, column.higher_is_better)
    for score in results.task.scores():
        for eps in score_budgets(results):
            parts = [scored(results, model, score, eps) for model in (a, b)]
            found += _paired_values(results, score_name(score, eps), a, b, parts, score.higher_is_better)
    return found


def rates(quantity: str, a: str, b: str, x: pd.Series, y: pd.Series, groups: OfSamples = no_groups) -> Comparison:
    """Two rates, of samples that both have a verdict for."""
    first, second = x.to_numpy(dtype=float), y.reindex(x.index).to_numpy(dtype=float)
    test = stats.paired_rates(first, second, groups(x.index))
    if test.n < len(first) or not len(first):
        # what is decided without every verdict are the wrong and the broken ones: no fair sample of the pairs
        words = f"not compared: {len(first) - test.n} of {len(first)} samples lack a verdict"
        return Comparison(quantity, nan, nan, nan, nan, nan, nan, test.n, words)
    if test.only_a + test.only_b == 0:
        words = f"no difference: they agree on all {test.n} samples"
    else:
        words = _words(a, b, test.difference, test.p, better_is_higher=True)
    numbers = (test.a, test.b, test.difference, test.low, test.high, test.p, test.n)
    return Comparison(quantity, *numbers, words, test.only_a, test.only_b)


def _norms(results: Results, probe: str, a: str, b: str) -> list[Comparison]:
    """Norms of a minimal-norm attack, on the samples of which it breaks both; larger is more robust."""
    norm = f"norm_{results.threat(probe)['norm']}"
    columns = []
    for model in (a, b):
        rows = results.attack_rows(model, probe)
        if rows.empty or norm not in rows:
            return []
        won = rows[(rows["status"] == "ok") & rows["success"].fillna(False).astype(bool)]
        columns.append(won.set_index("sample")[norm].astype(float))
    quantity, both = f"{probe} · {norm}", len(columns[0].index.intersection(columns[1].index))
    if 0 < both < FEW:
        words = f"not compared: the attack breaks both on {both} samples, fewer than {FEW}"
        return [Comparison(quantity, nan, nan, nan, nan, nan, nan, both, words)]
    return _paired_values(results, quantity, a, b, columns, True)


def _metrics(results: Results, a: str, b: str) -> list[Comparison]:
    scores = score_rows(results)
    found = []
    real = [probe for probe in results.suite.explainers if not results.plan["explainers"][probe.name]["control"]]
    for probe in real:
        for metric in results.suite.metrics:
            part = scores[(scores["probe"] == probe.name) & (scores["metric"] == metric.name)]
            if part.empty:  # nothing scored yet: then there may be no column to read either
                continue
            x, y = (part[part["model"] == name].set_index("sample")["value"].astype(float) for name in (a, b))
            better = direction(results.suite, results.plan["metrics"], metric.name)
            found += _paired_values(results, f"{probe.name} · {metric.name}", a, b, [x, y], better)
    return found


def _paired_values(
    results: Results, quantity: str, a: str, b: str, columns: list[pd.Series], better_is_higher: bool | None
) -> list[Comparison]:
    """The mean difference on the samples that both have, if there are any; over groups where known."""
    both = pd.concat(columns, axis=1, join="inner").dropna()
    if both.empty:
        return []
    x, y = both.to_numpy(dtype=float).T
    groups = results.groups(a, both.index)
    estimate = stats.bootstrap(x - y, "mean", groups, derive("compare", quantity))
    test = stats.paired_values(x, y)
    words = _words(a, b, estimate.value, test.p, better_is_higher)
    numbers = (test.a, test.b, estimate.value, estimate.low, estimate.high, test.p, test.n)
    return [Comparison(quantity, *numbers, words)]


def _words(a: str, b: str, difference: float, p: float, better_is_higher: bool | None) -> str:
    if p >= 0.05 or difference == 0:
        return "the data do not decide"
    first, second = (a, b) if difference > 0 else (b, a)
    if better_is_higher is None:
        return f"{first} is higher"
    return f"{first if better_is_higher else second} is better"
