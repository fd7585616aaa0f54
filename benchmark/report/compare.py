"""Is the difference between two models real? Paired, with intervals, in words."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd

from benchmark.errors import UnknownNameError
from benchmark.report import stats
from benchmark.report.leaderboard import headline_column, headline_outcomes
from benchmark.report.results import Results
from benchmark.seeds import derive


@dataclass(frozen=True)
class Comparison:
    """One compared quantity; ``difference`` is A minus B, the interval and p are paired.

    A rate for which any sample lacks a verdict is not compared: its numbers are NaN, and ``words`` says so.
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


def compare(results: Results, a: str, b: str) -> list[Comparison]:
    """Every rate of two models, and every metric of explainers that both have.

    Raises:
        UnknownNameError: a model that is not in the results.
    """
    for name in (a, b):
        if name not in results.models:
            raise UnknownNameError("model", name, results.models, str(results.store.folder))
    columns = results.task.columns(results.plan["dataset"]["classes"])
    robust = results.task.robust_name
    found = [_rates(columns[0].name, a, b, results.correct(a), results.correct(b))]
    for condition in results.conditions():
        name = f"{robust}_{condition.suffix}"
        found.append(_rates(name, a, b, results.outcome(a, condition), results.outcome(b, condition)))
    if results.suite.threat is not None and results.suite.attacks:
        outcomes = [headline_outcomes(results, name) for name in (a, b)]
        found.append(_rates(headline_column(results), a, b, *outcomes))
    return found + _metrics(results, a, b)


def _rates(quantity: str, a: str, b: str, x: pd.Series, y: pd.Series) -> Comparison:
    first, second = x.to_numpy(dtype=float), y.reindex(x.index).to_numpy(dtype=float)
    test = stats.paired_rates(first, second)
    if test.n < len(first) or not len(first):
        # what is decided without every verdict are the wrong and the broken ones: no fair sample of the pairs
        words = f"not compared: {len(first) - test.n} of {len(first)} samples lack a verdict"
        return Comparison(quantity, nan, nan, nan, nan, nan, nan, test.n, words)
    if test.only_a + test.only_b == 0:
        words = f"no difference: they agree on all {test.n} samples"
    else:
        words = _words(a, b, test.difference, test.p, better_is_higher=True)
        words += f" ({test.only_a} samples only {a} gets right, {test.only_b} only {b})"
    return Comparison(quantity, test.a, test.b, test.difference, test.low, test.high, test.p, test.n, words)


def _metrics(results: Results, a: str, b: str) -> list[Comparison]:
    scores = results.rows[results.rows["kind"] == "score"]
    found = []
    for probe in results.suite.explainers:
        for metric in results.suite.metrics:
            part = scores[(scores["probe"] == probe.name) & (scores["metric"] == metric.name)]
            if part.empty:  # nothing scored yet: then there may be no column to read either
                continue
            x, y = (part[part["model"] == name].set_index("sample")["value"].astype(float) for name in (a, b))
            both = pd.concat([x, y], axis=1, join="inner").dropna()
            if len(both):
                better = results.plan["metrics"][metric.name]["higher_is_better"]
                values = both.to_numpy()
                found.append(_values(f"{probe.name} · {metric.name}", a, b, values[:, 0], values[:, 1], better))
    return found


def _values(quantity: str, a: str, b: str, x: np.ndarray, y: np.ndarray, better_is_higher: bool | None) -> Comparison:
    from scipy.stats import wilcoxon

    estimate = stats.bootstrap(x - y, "mean", seed=derive("compare", quantity))
    p = 1.0 if np.all(x == y) else float(wilcoxon(x, y, zero_method="zsplit").pvalue)
    words = _words(a, b, estimate.value, p, better_is_higher)
    return Comparison(
        quantity, float(x.mean()), float(y.mean()), estimate.value, estimate.low, estimate.high, p, len(x), words
    )


def _words(a: str, b: str, difference: float, p: float, better_is_higher: bool | None) -> str:
    if p >= 0.05 or difference == 0:
        return "the data do not decide"
    first, second = (a, b) if difference > 0 else (b, a)
    if better_is_higher is None:
        return f"{first} is higher than {second}"
    return f"{first if better_is_higher else second} is better than {second if better_is_higher else first}"
