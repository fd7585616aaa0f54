"""Intervals and paired tests. Own code only where SciPy does not have it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
RESAMPLES = 2000
DRAWS_AT_ONCE = 4_000_000  # 32 MB of indices


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and denominator.

    ``missing`` samples have no valid verdict: the value is then NaN and (low, high) are the two bounds that they leave
    open, all of them bad and all of them good.
    """

    value: float
    low: float
    high: float
    n: int
    missing: int = 0


EMPTY = Estimate(nan, nan, nan, 0)


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion (Wilson 1927); (NaN, NaN) for n = 0."""
    if n == 0:
        return nan, nan
    p, z2 = k / n, Z95**2
    centre, half = p + z2 / (2 * n), Z95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = (centre - half) / (1 + z2 / n), (centre + half) / (1 + z2 / n)
    return (low if k else 0.0), (high if k < n else 1.0)  # exact there, and by rounding 1e-18 above or below


def rate(outcomes: NDArray[Any]) -> Estimate:
    """Share of true outcomes: 1, 0, or NaN for a sample without a valid verdict.

    Any NaN leaves the value blank with its two bounds.
    """
    values = np.asarray(outcomes, dtype=float)
    missing, n = int(np.isnan(values).sum()), len(values)
    k = int(np.nansum(values))
    if n == 0:
        return EMPTY
    if missing:
        return Estimate(nan, k / n, (k + missing) / n, n, missing)
    low, high = wilson(k, n)
    return Estimate(k / n, low, high, n)


def bootstrap(
    values: NDArray[Any], statistic: str = "mean", groups: Sequence[str] | NDArray[Any] | None = None, seed: int = 0
) -> Estimate:
    """Mean or median with a seeded percentile bootstrap (2,000 resamples) over samples, or over groups where given.

    NaN values are left out of the statistic and counted as missing.
    """
    numbers = np.asarray(values, dtype=float)
    finite = np.isfinite(numbers)
    missing, kept = int((~finite).sum()), numbers[finite]
    if not len(kept):
        return Estimate(nan, nan, nan, 0, missing)
    compute = np.mean if statistic == "mean" else np.median
    generator = np.random.default_rng(seed)
    if groups is None:
        at_once = max(1, DRAWS_AT_ONCE // len(kept))
        sizes = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
        resampled = np.concatenate(
            [compute(kept[generator.integers(0, len(kept), size=(n, len(kept)))], axis=1) for n in sizes]
        )
    else:
        resampled = _by_groups(kept, np.asarray(groups, dtype=object)[finite], compute, generator)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(float(compute(kept)), float(low), float(high), len(kept), missing)


def _by_groups(values: NDArray[Any], groups: NDArray[Any], compute: Any, generator: Any) -> NDArray[Any]:
    _, codes = np.unique(groups.astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    parts = np.split(values[order], np.flatnonzero(np.diff(codes[order])) + 1)
    draws = generator.integers(0, len(parts), size=(RESAMPLES, len(parts)))
    if compute is np.mean:  # the same from the groups' sums, without putting samples together
        sums, sizes = np.array([part.sum() for part in parts]), np.array([len(part) for part in parts])
        return np.asarray(sums[draws].sum(axis=1) / sizes[draws].sum(axis=1))
    return np.asarray([compute(np.concatenate([parts[i] for i in row])) for row in draws])


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


def paired_rates(a: NDArray[Any], b: NDArray[Any]) -> Paired:
    """Compare two rates on the same samples (NaN in either leaves the pair out).

    Interval: Newcombe 1998 (Stat. Med. 17:2635), method 10 (square-and-add with phi corrected for continuity).
    Test: McNemar's exact; p = 1 without a discordant pair.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both] > 0.5, y[both] > 0.5
    n = len(x)
    if n == 0:
        return Paired(nan, nan, nan, nan, nan, nan, 0, 0, 0)
    yes, only_a, only_b, no = (int(v.sum()) for v in (x & y, x & ~y, ~x & y, ~x & ~y))
    pa, pb = x.mean(), y.mean()
    (la, ua), (lb, ub) = wilson(int(x.sum()), n), wilson(int(y.sum()), n)
    phi = _phi(yes, only_a, only_b, no)
    da, db, dua, dub = pa - la, ub - pb, ua - pa, pb - lb
    low = pa - pb - sqrt(max(0.0, da**2 - 2 * phi * da * db + db**2))
    high = pa - pb + sqrt(max(0.0, dua**2 - 2 * phi * dua * dub + dub**2))
    return Paired(float(pa), float(pb), float(pa - pb), low, high, mcnemar(only_a, only_b), only_a, only_b, n)


def _phi(yes: int, only_a: int, only_b: int, no: int) -> float:
    n = yes + only_a + only_b + no
    product = float(yes + only_a) * (only_b + no) * (yes + only_b) * (only_a + no)
    if product == 0:
        return 0.0
    top = float(yes * no - only_a * only_b)
    if top > 0:
        top = max(top - n / 2, 0.0)
    return top / sqrt(product)


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
    names: Sequence[str], test: Callable[[str, str], Paired | PairedValues], *, higher_is_better: bool
) -> list[Pair]:
    between = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    tests = [test(a, b) for a, b in between]
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
    return _pairs(list(outcomes), lambda a, b: paired_rates(outcomes[a], outcomes[b]), higher_is_better=True)


def pairs_of_values(values: dict[str, NDArray[Any]], *, higher_is_better: bool) -> list[Pair]:
    """Every pair of models by Wilcoxon's signed-rank test, Holm over all pairs."""
    return _pairs(list(values), lambda a, b: paired_values(values[a], values[b]), higher_is_better=higher_is_better)


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
    from scipy.stats import wilcoxon

    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    if not len(x):
        return PairedValues(nan, nan, nan, 1.0, 0)
    p = 1.0 if np.all(x == y) else float(wilcoxon(x, y, zero_method="zsplit").pvalue)
    return PairedValues(float(x.mean()), float(y.mean()), float((x - y).mean()), p, len(x))


def ranks_by_values(values: dict[str, NDArray[Any]], *, higher_is_better: bool) -> dict[str, int]:
    """Ranks by :func:`pairs_of_values`."""
    return ranks_of(values, pairs_of_values(values, higher_is_better=higher_is_better))
