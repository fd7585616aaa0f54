"""How often the intervals that reports print hold the truth: drawn data whose truth is known, at small and usual sizes.

``python -m benchmark.meta.coverage docs/statistics.md`` writes the table between the marks of that page (half a
minute). Every cell asks the functions that reports ask, not a copy of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, isnan, log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.intervals import (
    MANY,
    Groups,
    auc_interval,
    difference_interval,
    mean_interval,
    median_interval,
    rate_interval,
    wilson,
)
from benchmark.meta.marked import write_between
from benchmark.seeds import derive

BEGIN = "<!-- made by `python -m benchmark.meta.coverage docs/statistics.md`: begin -->"
END = "<!-- made by `python -m benchmark.meta.coverage docs/statistics.md`: end -->"
SIZES = (1, 2, 5, 10, 30, 100, 200)
DRAWS, BOOTSTRAPPED = 1000, 150  # data sets a cell; of those that are resampled
SEPARATED = 0.7602499389065233  # Phi(1 / sqrt 2): the area of two normal distributions that lie 1 apart
Floats = NDArray[np.float64]
Random = np.random.Generator


@dataclass(frozen=True)
class Kind:
    """One kind of interval on one kind of data.

    Attributes:
        name: of the interval; ``data``: what is drawn, in words.
        draw: a generator and a size (samples, or groups) to whether the interval holds the truth; None: there is none.
        control: an interval that is not printed, to show why.
        resampled: drawn fewer times at sizes where the bootstrap is asked.
    """

    name: str
    data: str
    draw: Callable[[Random, int], bool | None]
    control: bool = False
    resampled: bool = False


def held(interval: Sequence[Any], truth: float) -> bool | None:
    """Whether (low, high, ...) hold the truth; None where there is no interval."""
    low, high = interval[0], interval[1]
    return None if isnan(low) or isnan(high) else bool(low <= truth <= high)


# -- drawn data ----------------------------------------------------------------------------------------------------


def sizes_of(random: Random, count: int, *, equal: bool) -> NDArray[np.int64]:
    """Sizes of groups: eight each, or from one to about fifty."""
    return np.full(count, 8) if equal else np.maximum(1, np.rint(random.lognormal(1.5, 0.8, count))).astype(np.int64)


def grouped(random: Random, count: int, *, equal: bool) -> tuple[Groups, NDArray[np.int64]]:
    """Groups, and the number of each sample's group."""
    sizes = sizes_of(random, count, equal=equal)
    codes = np.repeat(np.arange(count), sizes)
    return Groups(codes, sizes), codes


def rates_of_groups(random: Random, truth: float, count: int, alike: float) -> Floats:
    """(count,) rates of groups around a truth; ``alike``: correlation of two samples of one group."""
    strength = 1 / alike - 1
    return random.beta(truth * strength, (1 - truth) * strength, count)


VALUES: dict[str, tuple[Callable[[Random, Any], Floats], float, float]] = {
    # draw, mean, median
    "normal": (lambda random, shape: random.normal(size=shape), 0.0, 0.0),
    "exponential": (lambda random, shape: random.exponential(size=shape), 1.0, log(2)),
    "log-normal": (lambda random, shape: random.lognormal(size=shape), exp(0.5), 1.0),
}


# -- kinds ---------------------------------------------------------------------------------------------------------


def kinds() -> Iterator[Kind]:
    """Over independent samples."""
    for p in (0.5, 0.8, 0.9):
        yield Kind("rate", f"right with probability {p:g}", _rate(p))
    yield Kind("difference of two rates, paired", "0.8 and 0.6, correlated", _difference)
    for name in VALUES:
        yield Kind("mean", f"{name} values", _mean(name), resampled=True)
    yield Kind("mean", "zeros and ones (0.9)", _share)
    for name in ("normal", "log-normal"):
        yield Kind("median", f"{name} values", _median(name), resampled=True)
    yield Kind("area under a ROC curve", "half of the samples each, 1 apart", _auc)
    yield Kind("mean, percentile bootstrap alone", "exponential values", _bootstrapped, control=True)


def grouped_kinds() -> Iterator[Kind]:
    """Over groups."""
    for equal in (True, False):
        sizes = "eight samples each" if equal else "one to fifty samples"
        for p in (0.5, 0.8):
            yield Kind("rate", f"{p:g}, {sizes}", _rate_of_groups(p, equal))
        yield Kind("difference of two rates, paired", sizes, _difference_of_groups(equal))
        for name in ("normal", "exponential"):
            yield Kind("mean", f"{name} values, {sizes}", _mean_of_groups(name, equal), resampled=True)
        yield Kind("median", f"normal values, {sizes}", _median_of_groups(equal), resampled=True)
    yield Kind("rate, as if samples were independent", "0.5, eight samples each", _ungrouped(0.5), control=True)


def _rate(p: float) -> Callable[[Random, int], bool | None]:
    return lambda random, n: held(rate_interval((random.random(n) < p).astype(float)), p)


def _difference(random: Random, n: int) -> bool | None:
    common = random.random(n)
    a, b = ((0.5 * common + 0.5 * random.random(n)) for _ in range(2))
    x, y = (a < _triangular(0.8)).astype(float), (b < _triangular(0.6)).astype(float)
    return held(difference_interval(x, y), 0.2)


def _triangular(p: float) -> float:
    """The p quantile of the mean of two uniform numbers, p of at least one half."""
    return float(1 - ((1 - p) / 2) ** 0.5)


def _mean(name: str) -> Callable[[Random, int], bool | None]:
    draw, truth, _ = VALUES[name]
    return lambda random, n: held(mean_interval(draw(random, n)), truth)


def _share(random: Random, n: int) -> bool | None:
    return held(mean_interval((random.random(n) < 0.9).astype(float)), 0.9)


def _median(name: str) -> Callable[[Random, int], bool | None]:
    draw, _, truth = VALUES[name]
    return lambda random, n: held(median_interval(draw(random, n)), truth)


def _auc(random: Random, n: int) -> bool | None:
    positive = np.arange(n) < n / 2
    return held(auc_interval(random.normal(positive.astype(float)), positive)[1:], SEPARATED)


def _bootstrapped(random: Random, n: int) -> bool | None:
    values = random.exponential(size=n)
    drawn = values[random.integers(0, n, (400, n))].mean(axis=1)
    return held(np.quantile(drawn, [0.025, 0.975]), 1.0)


def _rate_of_groups(p: float, equal: bool) -> Callable[[Random, int], bool | None]:
    def draw(random: Random, count: int) -> bool | None:
        groups, codes = grouped(random, count, equal=equal)
        right = random.random(len(codes)) < rates_of_groups(random, p, count, 0.3)[codes]
        return held(rate_interval(right.astype(float), groups), p)

    return draw


def _ungrouped(p: float) -> Callable[[Random, int], bool | None]:
    def draw(random: Random, count: int) -> bool | None:
        _, codes = grouped(random, count, equal=True)
        right = random.random(len(codes)) < rates_of_groups(random, p, count, 0.3)[codes]
        return held(wilson(int(right.sum()), len(codes)), p)

    return draw


def _difference_of_groups(equal: bool) -> Callable[[Random, int], bool | None]:
    def draw(random: Random, count: int) -> bool | None:
        groups, codes = grouped(random, count, equal=equal)
        first, second = (rates_of_groups(random, p, count, 0.3)[codes] for p in (0.7, 0.5))
        x, y = (random.random(len(codes)) < rates for rates in (first, second))
        return held(difference_interval(x.astype(float), y.astype(float), groups), 0.2)

    return draw


def _mean_of_groups(name: str, equal: bool) -> Callable[[Random, int], bool | None]:
    values, truth, _ = VALUES[name]

    def draw(random: Random, count: int) -> bool | None:
        groups, codes = grouped(random, count, equal=equal)
        both = (values(random, count)[codes] + values(random, len(codes))) / 2
        return held(mean_interval(both, groups), truth)

    return draw


def _median_of_groups(equal: bool) -> Callable[[Random, int], bool | None]:
    def draw(random: Random, count: int) -> bool | None:
        groups, codes = grouped(random, count, equal=equal)
        both = random.normal(size=count)[codes] + random.normal(size=len(codes))
        return held(median_interval(both, groups), 0.0)

    return draw


# -- the table -----------------------------------------------------------------------------------------------------


def coverage(kind: Kind, n: int, draws: int) -> float:
    """Share of drawn data sets whose interval holds the truth, of those that have one; NaN where fewer than half do."""
    random = np.random.default_rng(derive("coverage", kind.name, kind.data, n))
    if kind.resampled and n >= MANY:
        draws = min(draws, BOOTSTRAPPED)
    samples = [kind.draw(random, n) for _ in range(draws)]
    known = [each for each in samples if each is not None]
    return float(np.mean(known)) if 2 * len(known) > len(samples) else float("nan")


def table(every: Sequence[Kind], head: str, draws: int = DRAWS) -> list[str]:
    """A Markdown table: a row a kind, a column a size; ``–`` where no interval is printed."""
    lines = [f"| interval | drawn | {' | '.join(f'{head} {n}' for n in SIZES)} |", "|" + "---|" * (2 + len(SIZES))]
    for kind in every:
        cells = [coverage(kind, n, draws) for n in SIZES]
        shown = ["–" if isnan(share) else f"{100 * share:.1f}" for share in cells]
        name = f"*{kind.name} (not printed)*" if kind.control else kind.name
        lines.append(f"| {name} | {kind.data} | {' | '.join(shown)} |")
    return lines


def generated(draws: int = DRAWS) -> str:
    """Both tables."""
    lines = [*table(list(kinds()), "n =", draws), "", *table(list(grouped_kinds()), "groups =", draws)]
    return "\n".join(lines)


def write_page(file: Path, draws: int = DRAWS) -> None:
    """Put the tables between their marks.

    Raises:
        UsageError: the file is missing, or has no marks.
    """
    write_between(file, BEGIN, END, lambda: f"\n\n{generated(draws)}\n\n")


if __name__ == "__main__":
    write_page(Path(sys.argv[1]))
