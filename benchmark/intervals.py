"""95 % intervals of rates, means and medians: over samples, or over whole groups of them. NumPy alone.

What has no evidence has no interval: one sample, one group, fewer than six values of a mean or median, values that are
all the same. Bounds are then NaN, and ``why`` says it. How often each kind holds the truth is measured by
:mod:`benchmark.meta.coverage`; the table stands in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import atan, cbrt, ceil, comb, cos, floor, inf, nan, pi, sin, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
RESAMPLES = 2000
DRAWS_AT_ONCE = 4_000_000  # 32 MB of indices
FEW = 6  # values (or groups) below which a mean or median has no interval: even the smallest and the largest of five
# hold the median in less than 95 %, and no interval of five skewed values holds their mean in 90 %
MANY = 200  # values (or groups) from which on the percentile bootstrap holds the truth often enough
ONE_SAMPLE, ONE_GROUP = "one sample", "one group"
ALIKE = "all values are the same"
Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """Two bounds; NaN where there is no interval, and then ``why``."""

    low: float
    high: float
    why: str = ""


def no_interval(why: str) -> Interval:
    """None, for this reason."""
    return Interval(nan, nan, why)


@dataclass(frozen=True)
class Groups:
    """Groups of N samples: the number of each sample's group, and the groups' sizes.

    Attributes:
        codes: (N,) in [0, G).
        sizes: (G,) samples of each group.
    """

    codes: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, names: Sequence[str] | NDArray[Any] | None) -> Groups | None:
        """From the name of each sample's group; None where there are no names."""
        if names is None:
            return None
        _, codes = np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)
        return cls(codes.astype(np.int64), np.bincount(codes))

    def __len__(self) -> int:
        return len(self.sizes)

    def among(self, chosen: NDArray[np.bool_]) -> Groups:
        """Of some of the samples."""
        _, codes = np.unique(self.codes[chosen], return_inverse=True)
        return Groups(codes.astype(np.int64), np.bincount(codes))

    @property
    def single(self) -> bool:
        """Whether every sample is a group of its own: then groups say nothing."""
        return bool((self.sizes == 1).all())

    @property
    def effective(self) -> float:
        """How many groups of one size say as much: (sum of sizes)^2 / sum of squares (Kish 1965, section 8.2)."""
        return float(self.sizes.sum() ** 2 / (self.sizes.astype(float) ** 2).sum())

    @property
    def t(self) -> float:
        """Student's t for the effective number of groups less one, at least one degree of freedom."""
        return t_quantile(max(1, int(self.effective + 1e-9) - 1))

    def sums(self, values: Floats) -> Floats:
        """(G,) sums of N values by group."""
        return np.asarray(np.bincount(self.codes, values, len(self.sizes)), dtype=np.float64)

    def without_each(self, values: Floats) -> tuple[float, Floats]:
        """The mean of N values, and (G,) means with each group left out."""
        sums, n = self.sums(values), int(self.sizes.sum())
        total = float(sums.sum())
        return total / n, (total - sums) / (n - self.sizes)

    def variance(self, values: Floats) -> float:
        """Of the mean of N values: the jackknife's over groups (Miller 1974, Biometrika 61:1)."""
        mean, without = self.without_each(values)
        return float((len(self) - 1) / len(self) * ((without - mean) ** 2).sum())


@lru_cache(maxsize=1024)
def t_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, exact to 1e-9, without SciPy's slow import.

    Up to 200 degrees of freedom by bisection of its distribution function, a finite series of the angle
    (Abramowitz and Stegun 26.7.3 and 4); beyond by the expansion around the normal one (26.7.5).
    """
    if freedom > 200:
        z, v = Z95, float(freedom)
        return z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2) + _third(z) / (384 * v**3)
    low, high = 0.0, 13.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 0.95 else (low, middle)
    return (low + high) / 2


def _third(z: float) -> float:
    return 3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z


def _within(t: float, freedom: int) -> float:
    """P(|T| < t)."""
    angle = atan(t / sqrt(freedom))
    first = 1 + freedom % 2  # the series starts with cos^0 of even, cos^1 of odd degrees of freedom
    term, total = (cos(angle) if first == 2 else 1.0), 0.0
    for k in range(first, freedom, 2):
        total += term
        term *= k / (k + 1) * cos(angle) ** 2
    return sin(angle) * total if first == 1 else 2 / pi * (angle + sin(angle) * total)


# -- rates ---------------------------------------------------------------------------------------------------------


def wilson(k: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion k / n (Wilson 1927); (NaN, NaN) for n = 0.

    ``n`` may be an effective number of samples, no whole one.
    """
    if n == 0:
        return nan, nan
    p, z2 = k / n, Z95**2
    centre, half = p + z2 / (2 * n), Z95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = (centre - half) / (1 + z2 / n), (centre + half) / (1 + z2 / n)
    return (low if k else 0.0), (high if k < n else 1.0)  # exact there, and by rounding 1e-18 above or below


def effective_size(values: Floats, groups: Groups) -> float:
    """Samples that would say as much if they were independent: n over the design effect, for Student's t; at most n.

    Where all values are alike the design effect is unknown: as if those of a group always agreed. Wilson's interval of
    an effective size: Dean and Pagano 2015 (J. Surv. Stat. Methodol. 3:484), with the degrees of freedom as in Korn and
    Graubard 1998.

    Args:
        values: (N,), 0 or 1.
        groups: of the values, two at least.
    """
    rate, variance, n = float(values.mean()), groups.variance(values), float(len(values))
    independent = min(n, rate * (1 - rate) / variance) if variance > 0 else n
    return (independent if 0 < rate < 1 else groups.effective) * (Z95 / groups.t) ** 2


def rate_interval(values: Floats, groups: Groups | None = None) -> Interval:
    """Of a share of N values that are 0 or 1: Wilson's, over samples or over whole groups."""
    n, k = len(values), int(values.sum())
    if n < 2:
        return no_interval(ONE_SAMPLE)
    if groups is None or groups.single:
        return Interval(*wilson(k, n))
    if len(groups) < 2:
        return no_interval(ONE_GROUP)
    size = effective_size(values, groups)
    return Interval(*wilson(size if k == n else k / n * size, size))


def difference_interval(a: Floats, b: Floats, groups: Groups | None = None) -> Interval:
    """Of the difference of two rates on the same N samples, a minus b.

    Newcombe 1998 (Stat. Med. 17:2635), method 10: square-and-add of the two Wilson intervals, with phi corrected for
    continuity. Over groups the two intervals are those of :func:`rate_interval`.

    Args:
        a, b: (N,), 0 or 1.
        groups: of the samples.
    """
    n, x, y = len(a), a > 0.5, b > 0.5
    one, other = (rate_interval(each.astype(float), groups) for each in (x, y))
    if one.why:
        return one
    yes, only_a, only_b, no = (int(v.sum()) for v in (x & y, x & ~y, ~x & y, ~x & ~y))
    pa, pb, phi = (yes + only_a) / n, (yes + only_b) / n, _phi(yes, only_a, only_b, no)
    da, db, dua, dub = pa - one.low, other.high - pb, one.high - pa, pb - other.low
    low = pa - pb - sqrt(max(0.0, da**2 - 2 * phi * da * db + db**2))
    high = pa - pb + sqrt(max(0.0, dua**2 - 2 * phi * dua * dub + dub**2))
    return Interval(low, high)


def _phi(yes: int, only_a: int, only_b: int, no: int) -> float:
    n = yes + only_a + only_b + no
    product = float(yes + only_a) * (only_b + no) * (yes + only_b) * (only_a + no)
    if product == 0:
        return 0.0
    top = float(yes * no - only_a * only_b)
    if top > 0:
        top = max(top - n / 2, 0.0)
    return top / sqrt(product)


# -- means ---------------------------------------------------------------------------------------------------------


def mean_interval(
    values: Floats, groups: Groups | None = None, seed: int = 0, within: tuple[float, float] = (-inf, inf)
) -> Interval:
    """Of the mean of N values.

    Of 0 and 1 alone: that of a rate. Of fewer than 200 values: the wider of Student's t and of Hall's t without
    skewness on either side; with groups over the jackknife's pseudo-values of the groups. Of more: the percentile
    bootstrap, 2,000 seeded resamples of samples or of whole groups.

    Args:
        values: (N,), finite.
        groups: of the values.
        seed: of the bootstrap.
        within: what the mean cannot leave.
    """
    n = len(values)
    if n < 2 or (groups is not None and len(groups) < 2):
        return no_interval(ONE_SAMPLE if n < 2 else ONE_GROUP)
    if ((values == 0) | (values == 1)).all():
        return rate_interval(values, groups)
    if (values == values[0]).all():
        return no_interval(ALIKE)
    count = n if groups is None else len(groups)
    if count < FEW:
        return no_interval(f"fewer than {FEW} {'samples' if groups is None or groups.single else 'groups'}")
    if count >= MANY:
        drawn = bootstrap_means(values, groups, seed)
        low, high = np.quantile(drawn, [0.025, 0.975])
    else:
        alone = groups is None or groups.single
        used = values if groups is None or groups.single else _pseudo(values, groups)
        if float(used.std()) <= 1e-12 * float(abs(used).max()):  # equal, or groups of one mean each
            return no_interval(ALIKE)
        low, high = skewed_t(used, t_quantile(n - 1) if alone or groups is None else groups.t)
    return Interval(max(float(low), within[0]), min(float(high), within[1]))


def skewed_t(values: Floats, t: float) -> tuple[float, float]:
    """The wider of Student's interval of a mean and of Hall's, on either side.

    Student's is too short on the long side of skewed values. Hall's transformation takes the skewness out of t by a
    monotone cubic (Hall 1992, J. R. Stat. Soc. B 54:221, eq. 2.2, with a = 1/3 and b = 1/6) and is turned back.

    Args:
        values: (N,) with N > 2, not all the same.
        t: Student's quantile.
    """
    n, mean = len(values), float(values.mean())
    spread = float(values.std(ddof=1))
    third = float(((values - mean) ** 3).mean()) * n**2 / ((n - 1) * (n - 2))
    error, skew = spread / sqrt(n), third / spread**3 / sqrt(n)
    skew = skew if abs(skew) > 1e-9 else 1e-9

    def back(quantile: float) -> float:
        return 3 / skew * (cbrt(1 + skew * (quantile - skew / 6)) - 1)

    return min(mean - t * error, mean - back(t) * error), max(mean + t * error, mean - back(-t) * error)


def _pseudo(values: Floats, groups: Groups) -> Floats:
    """(G,) Tukey's pseudo-values of the groups, moved so that their mean is that of all samples."""
    mean, without = groups.without_each(values)
    pseudo = mean + (len(groups) - 1) * (mean - without)
    return np.asarray(pseudo - pseudo.mean() + mean, dtype=np.float64)


def bootstrap_means(values: Floats, groups: Groups | None, seed: int) -> Floats:
    """Means of 2,000 resamples of the samples, or of whole groups."""
    generator = np.random.default_rng(seed)
    if groups is None:
        return _resampled(values, np.mean, generator)
    sums, sizes = groups.sums(values), groups.sizes
    draws = generator.integers(0, len(groups), size=(RESAMPLES, len(groups)))
    return np.asarray(sums[draws].sum(axis=1) / sizes[draws].sum(axis=1))


def _resampled(values: Floats, statistic: Any, generator: np.random.Generator) -> Floats:
    at_once = max(1, DRAWS_AT_ONCE // len(values))
    sizes = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
    drawn = [statistic(values[generator.integers(0, len(values), size=(n, len(values)))], axis=1) for n in sizes]
    return np.concatenate(drawn)


# -- medians -------------------------------------------------------------------------------------------------------


def median_interval(values: Floats, groups: Groups | None = None, seed: int = 0) -> Interval:
    """Of the median of N values.

    Of fewer than 200 values the exact one between two order statistics; with groups Woodruff's, the quantiles at the
    ends of the interval of the share below the median. Of more: the percentile bootstrap, as of a mean.

    Args:
        values: (N,), finite.
        groups: of the values.
        seed: of the bootstrap.
    """
    n = len(values)
    if n < 2:
        return no_interval(ONE_SAMPLE)
    if groups is not None and len(groups) < 2:
        return no_interval(ONE_GROUP)
    count = n if groups is None else len(groups)
    if count < FEW:
        return no_interval(f"fewer than {FEW} {'samples' if groups is None or groups.single else 'groups'}")
    if (values == values[0]).all():
        return no_interval(ALIKE)
    if count >= MANY:
        low, high = np.quantile(_bootstrap_medians(values, groups, seed), [0.025, 0.975])
    elif groups is None or groups.single:
        low, high = ordered(values)
    else:
        low, high = woodruff(values, groups)
    return Interval(float(low), float(high))


def ordered(values: Floats) -> tuple[float, float]:
    """Two order statistics between which the median lies in at least 95 % (the inverted sign test); N > 5 values."""
    arranged, outside = np.sort(values), _outside(len(values))
    return float(arranged[outside]), float(arranged[len(values) - 1 - outside])


@lru_cache(maxsize=256)
def _outside(n: int) -> int:
    """How many values at either end may be left out: the most k with P(Binomial(n, 1/2) < k + 1) <= 2.5 %."""
    total, k = 0, -1
    while total + comb(n, k + 1) <= 0.025 * 2**n:
        k += 1
        total += comb(n, k)
    return k


def woodruff(values: Floats, groups: Groups) -> tuple[float, float]:
    """Quantiles at the ends of the interval of the share below the median (Woodruff 1952, JASA 47:635).

    The share's variance is the jackknife's over groups, for Student's t of the effective number of groups; never
    shorter than of as many independent samples.
    """
    n, arranged = len(values), np.sort(values)
    below = (values <= np.median(values)).astype(float)
    half = max(groups.t * sqrt(groups.variance(below)), Z95 / (2 * sqrt(n)))
    low, high = max(0, floor(n * (0.5 - half))), min(n - 1, ceil(n * (0.5 + half)) - 1)
    return float(arranged[low]), float(arranged[high])


def _bootstrap_medians(values: Floats, groups: Groups | None, seed: int) -> Floats:
    generator = np.random.default_rng(seed)
    if groups is None:
        return _resampled(values, np.median, generator)
    draws = generator.integers(0, len(groups), size=(RESAMPLES, len(groups)))
    order = np.argsort(values, kind="stable")
    arranged, codes, medians = values[order], groups.codes[order], []
    at_once = max(1, DRAWS_AT_ONCE // len(values))
    for part in np.array_split(draws, -(-RESAMPLES // at_once)):  # how often each group was drawn weighs its samples
        times = np.stack([np.bincount(row, minlength=len(groups)) for row in part])
        passed = np.cumsum(times[:, codes], axis=1)
        lower, upper = (passed[:, -1] - 1) // 2, passed[:, -1] // 2
        ends = [arranged[(passed > place[:, None]).argmax(axis=1)] for place in (lower, upper)]
        medians.append((ends[0] + ends[1]) / 2)
    return np.concatenate(medians)


# -- curves --------------------------------------------------------------------------------------------------------


def auc_interval(values: Floats, positive: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Area under the ROC curve, and its interval (Newcombe 2006, Stat. Med. 25:559, method 5).

    The interval solves |estimate - t| = 1.96 sqrt(V(t)) with the Hanley-McNeil variance, in which both sizes are
    replaced by their mean: it does not shrink to a point at 0 or 1.

    Args:
        values: (N,) scores, NaN left out; ties count one half.
        positive: (N,) what is to be found.

    Returns:
        estimate, low, high; all NaN where one of the two kinds is absent, the bounds where there is one sample of it.
    """
    known = np.isfinite(values)
    values, positive = values[known], positive[known]
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return nan, nan, nan
    positives, against = values[positive], np.sort(values[~positive])
    below = [np.searchsorted(against, positives, side) for side in ("left", "right")]
    estimate = float((below[0].sum() + below[1].sum()) / (2 * m * n))
    if min(m, n) < 2:
        return estimate, nan, nan
    mean = (m + n) / 2 - 1

    def beyond(t: float) -> float:
        variance = t * (1 - t) / (m * n) * (1 + mean * (1 - t) / (2 - t) + mean * t / (1 + t))
        return (estimate - t) ** 2 - Z95**2 * variance

    inner = min(max(estimate, 1e-9), 1 - 1e-9)  # at 0 and 1 the variance is 0, and they solve the equation as well
    low = 0.0 if estimate == 0 else _root(beyond, 0.0, inner)
    return estimate, low, 1.0 if estimate == 1 else _root(beyond, 1.0, inner)


def _root(of: Callable[[float], float], outer: float, inner: float) -> float:
    """Where a function that is positive at ``outer`` and negative at ``inner`` is 0, by bisection."""
    while abs(outer - inner) > 1e-12:
        middle = (outer + inner) / 2
        outer, inner = (middle, inner) if of(middle) > 0 else (outer, middle)
    return (outer + inner) / 2
