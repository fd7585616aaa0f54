"""Estimates with their intervals, and paired tests. Own code only where SciPy does not have it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.intervals import FEW, Groups, difference_interval, mean_interval, median_interval, rate_interval
from benchmark.reported import EMPTY, Estimate

Names = Sequence[str] | NDArray[Any] | None
EXACT = 50  # pairs of samples up to which scipy's Wilcoxon test may be exact


def rate(outcomes: NDArray[Any], groups: Names = None) -> Estimate:
    """Share of true outcomes: 1, 0, or NaN for a sample without a valid verdict; Wilson's interval.

    Any NaN leaves the value blank with its two bounds.

    Args:
        outcomes: (N,).
        groups: name of each sample's group, where known: samples of one group are not taken as independent.
    """
    values = np.asarray(outcomes, dtype=float)
    missing, n = int(np.isnan(values).sum()), len(values)
    k = int(np.nansum(values))
    if n == 0:
        return EMPTY
    if missing:
        return Estimate(nan, k / n, (k + missing) / n, n, missing)
    low, high, why = rate_interval(values, Groups.of(groups))
    return Estimate(k / n, low, high, n, why=why)


def bootstrap(
    values: NDArray[Any],
    statistic: str = "mean",
    groups: Names = None,
    seed: int = 0,
    *,
    within: tuple[float, float] = (-inf, inf),
    successes: bool = False,
) -> Estimate:
    """Mean or median with its interval: of many values the seeded percentile bootstrap, of few another.

    NaN values are left out of the statistic and counted as missing. See :func:`benchmark.intervals.mean_interval` and
    :func:`benchmark.intervals.median_interval`.

    Args:
        values: (N,).
        statistic: ``"mean"`` or ``"median"``.
        groups: name of each sample's group, where known: then whole groups are drawn.
        seed: of the bootstrap.
        within: what a mean cannot leave.
        successes: the values are of successes alone: of fewer than six the number itself is blank.
    """
    numbers = np.asarray(values, dtype=float)
    finite = np.isfinite(numbers)
    missing, kept = int((~finite).sum()), numbers[finite]
    if not len(kept):
        return Estimate(nan, nan, nan, 0, missing)
    if successes and len(kept) < FEW:
        return Estimate(nan, nan, nan, len(kept), missing, f"fewer than {FEW} successes")
    of = Groups.of(None if groups is None else np.asarray(groups, dtype=object)[finite])
    if statistic == "mean":
        value, (low, high, why) = kept.mean(), mean_interval(kept, of, seed, within)
    else:
        value, (low, high, why) = np.median(kept), median_interval(kept, of, seed)
    return Estimate(float(value), low, high, len(kept), missing, why)


@dataclass(frozen=True)
class Paired:
    """A paired difference of two rates, a minus b, with Newcombe's interval and McNemar's exact p."""

    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    only_a: int
    only_b: int
    n: int


def paired_rates(a: NDArray[Any], b: NDArray[Any], groups: Names = None) -> Paired:
    """Compare two rates on the same samples (NaN in either leaves the pair out).

    Interval: Newcombe's, over groups where known (:func:`benchmark.intervals.difference_interval`).
    Test: McNemar's exact, samples taken as independent; p = 1 without a discordant pair.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both] > 0.5, y[both] > 0.5
    n = len(x)
    if n == 0:
        return Paired(nan, nan, nan, nan, nan, nan, 0, 0, 0)
    only_a, only_b, pa, pb = int((x & ~y).sum()), int((~x & y).sum()), float(x.mean()), float(y.mean())
    of = Groups.of(None if groups is None else np.asarray(groups, dtype=object)[both])
    low, high, _ = difference_interval(x.astype(float), y.astype(float), of)
    return Paired(pa, pb, pa - pb, low, high, mcnemar(only_a, only_b), only_a, only_b, n)


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p of McNemar's test; 1 without discordant pairs."""
    from scipy.stats import binomtest

    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values (Holm 1979), in the order given.

    Not statsmodels' ``multipletests``: it collects the process' garbage at every call, half the time of a report.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return [float(value) for value in adjusted]


@dataclass(frozen=True)
class Pair:
    """Two models on the same samples: the first's mean less the second's, and p after Holm over all pairs.

    ``better`` is the significantly better one (level 0.05), None where the data do not decide; ``alike``: rates of
    ``n`` samples of which not one is right in one model alone.
    """

    a: str
    b: str
    difference: float
    p: float
    better: str | None
    n: int = 0
    alike: bool = False


def _pairs(
    names: Sequence[str],
    test: Callable[[Sequence[tuple[str, str]]], Sequence[Paired | PairedValues]],
    *,
    higher_is_better: bool,
) -> list[Pair]:
    between = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    tests = test(between)
    found = []
    for (a, b), made, p in zip(between, tests, holm([1.0 if isnan(t.p) else t.p for t in tests]), strict=True):
        first = (made.difference > 0) == higher_is_better
        decided = p < 0.05 and made.difference != 0
        alike = isinstance(made, Paired) and made.only_a + made.only_b == 0
        found.append(Pair(a, b, made.difference, p, (a if first else b) if decided else None, made.n, alike))
    return found


def pairs_of_rates(outcomes: dict[str, NDArray[Any]]) -> list[Pair]:
    """Every pair of models by McNemar's exact test, Holm over all pairs.

    Args:
        outcomes: model to its per-sample outcomes (1 or 0), all on the same samples.
    """
    return _pairs(
        list(outcomes),
        lambda between: [paired_rates(outcomes[a], outcomes[b]) for a, b in between],
        higher_is_better=True,
    )


def pairs_of_values(values: dict[str, NDArray[Any]], *, higher_is_better: bool) -> list[Pair]:
    """Every pair of models by Wilcoxon's signed-rank test, Holm over all pairs."""
    return _pairs(
        list(values),
        lambda between: each_paired([(values[a], values[b]) for a, b in between]),
        higher_is_better=higher_is_better,
    )


def ranks_of(names: Iterable[str], pairs: Iterable[Pair]) -> dict[str, int]:
    """rank = 1 + number of models significantly better."""
    rank = dict.fromkeys(names, 1)
    for pair in pairs:
        if pair.better is not None:
            rank[pair.b if pair.better == pair.a else pair.a] += 1
    return rank


def ranks(outcomes: dict[str, NDArray[Any]]) -> dict[str, int]:
    """Ranks by :func:`pairs_of_rates`."""
    return ranks_of(outcomes, pairs_of_rates(outcomes))


@dataclass(frozen=True)
class PairedValues:
    """A paired difference of two means, a minus b, with the p of Wilcoxon's signed-rank test."""

    a: float
    b: float
    difference: float
    p: float
    n: int


def paired_values(a: NDArray[Any], b: NDArray[Any]) -> PairedValues:
    """Compare numbers on the same samples (NaN in either leaves the pair out); Wilcoxon's signed-rank test.

    Zero differences count as half a rank to either side (``zsplit``); p = 1 where all are zero.
    """
    return each_paired([(a, b)])[0]


def each_paired(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> list[PairedValues]:
    """:func:`paired_values` of every pair. Pairs of as many samples are tested in one call: a report asks for
    thousands, and a call of scipy's costs many times the test."""
    known = [_both(a, b) for a, b in pairs]
    p = [1.0] * len(known)
    alike: dict[int, list[int]] = {}
    for i, (x, y) in enumerate(known):
        if len(x) and not np.all(x == y):
            alike.setdefault(len(x), []).append(i)
    for chosen in alike.values():
        for i, value in zip(chosen, _wilcoxon([known[i] for i in chosen]), strict=True):
            p[i] = value
    return [
        PairedValues(float(x.mean()), float(y.mean()), float((x - y).mean()), at, len(x))
        if len(x)
        else PairedValues(nan, nan, nan, at, 0)
        for (x, y), at in zip(known, p, strict=True)
    ]


def _both(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values of the samples that have both."""
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    both = ~(np.isnan(x) | np.isnan(y))
    return x[both], y[both]


def _wilcoxon(pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> list[float]:
    """p of pairs of the same length."""
    from scipy.stats import wilcoxon

    if len(pairs[0][0]) <= EXACT:  # there scipy chooses the method by the ties of all rows that it is given
        return [float(wilcoxon(x, y, zero_method="zsplit").pvalue) for x, y in pairs]
    first, second = (np.stack(side) for side in zip(*pairs, strict=True))
    return [float(p) for p in np.atleast_1d(wilcoxon(first, second, zero_method="zsplit", axis=1).pvalue)]


def ranks_by_values(values: dict[str, NDArray[Any]], *, higher_is_better: bool) -> dict[str, int]:
    """Ranks by :func:`pairs_of_values`."""
    return ranks_of(values, pairs_of_values(values, higher_is_better=higher_is_better))
