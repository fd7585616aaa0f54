"""Intervals. Oracles: SciPy where it has the method, closed forms, and the truth of drawn data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, bootstrap, mannwhitneyu, t

from benchmark import intervals
from benchmark.intervals import (
    FEW,
    Groups,
    auc_interval,
    difference_interval,
    mean_interval,
    median_interval,
    rate_interval,
    t_quantile,
    wilson,
)

FLOATS = st.floats(-1e3, 1e3, allow_subnormal=False)


def draws(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("freedom", [*range(1, 60), 199, 200, 201, 1000, 100_000])
def test_student_is_scipy_s(freedom):
    assert t_quantile(freedom) == pytest.approx(t.ppf(0.975, freedom), abs=2e-9)


@pytest.mark.parametrize("n", range(6, 200))
def test_order_statistics_are_the_binomial_s(n):
    """The most values left out at either end that keep at least 95 %."""
    outside = intervals._outside(n)
    assert 2 * binom.cdf(outside, n, 0.5) <= 0.05 < 2 * binom.cdf(outside + 1, n, 0.5)


def test_one_sample_and_one_group_have_none():
    one, alike = np.array([0.3]), Groups.of(["p"] * 30)
    for found in (mean_interval(one), median_interval(one), rate_interval(np.ones(1))):
        assert found == pytest.approx((np.nan, np.nan, "one sample"), nan_ok=True)
    values, right = draws(0, 30), np.r_[np.zeros(10), np.ones(20)]
    for found in (mean_interval(values, alike), median_interval(values, alike), rate_interval(right, alike)):
        assert np.isnan(found[:2]).all()
        assert found.why == "one group"
    assert np.isnan(difference_interval(np.ones(1), np.zeros(1))[:2]).all()
    assert np.isnan(difference_interval(right, 1 - right, alike)[:2]).all()
    estimate, low, high = auc_interval(np.arange(4.0), np.arange(4) > 2)
    assert (estimate, np.isnan(low), np.isnan(high)) == (1, True, True)


@pytest.mark.parametrize("of", [mean_interval, median_interval])
def test_few_values_or_groups_have_none(of):
    assert np.isnan(of(draws(0, FEW - 1)).low)
    assert of(draws(0, FEW - 1)).why == "fewer than 6 samples"
    assert of(draws(0, 20), Groups.of(list("abcde" * 4))).why == "fewer than 6 groups"
    assert np.isfinite(of(draws(0, FEW)).low)
    assert np.isfinite(of(draws(0, 24), Groups.of(list("abcdef" * 4))).low)


@given(st.integers(6, 400), FLOATS)
def test_values_without_spread_have_none(n, value):
    """Property: no interval is a point."""
    if value not in (0, 1):
        assert mean_interval(np.full(n, value)).why == "all values are the same"
    assert median_interval(np.full(n, value)).why == "all values are the same"


@given(st.lists(FLOATS, min_size=2, max_size=60), st.integers(1, 8))
def test_an_interval_holds_its_estimate_and_is_no_point(values, count):
    numbers = np.asarray(values)
    for groups in (None, Groups.of([str(i % count) for i in range(len(numbers))])):
        for of, statistic in ((mean_interval, np.mean), (median_interval, np.median)):
            low, high, why = of(numbers, groups)
            assert why or low - 1e-9 <= statistic(numbers) <= high + 1e-9
            assert bool(why) == bool(np.isnan(low))
            assert why or low < high or np.ptp(numbers) < 1e-6 * np.abs(numbers).max()


def test_a_mean_of_zeros_and_ones_is_a_rate():
    assert mean_interval(np.ones(40)) == (*wilson(40, 40), "")
    assert mean_interval(np.r_[np.zeros(10), np.ones(390)]) == (*wilson(390, 400), "")


def test_of_symmetric_values_it_is_student_s_and_of_skewed_ones_longer_on_their_long_side():
    values = np.r_[-draws(1, 15), draws(1, 15)]
    half = t.ppf(0.975, 29) * values.std(ddof=1) / np.sqrt(30)
    assert mean_interval(values)[:2] == pytest.approx((-half, half), abs=1e-6)
    skewed = np.exp(values)
    low, high, _ = mean_interval(skewed)
    half = t.ppf(0.975, 29) * skewed.std(ddof=1) / np.sqrt(30)
    assert low == pytest.approx(skewed.mean() - half)
    assert high > skewed.mean() + 1.1 * half


def test_many_values_are_resampled_as_scipy_does():
    values = np.random.default_rng(2).exponential(size=300)
    expected = bootstrap((values,), np.mean, method="percentile", rng=0, n_resamples=4000).confidence_interval
    assert mean_interval(values)[:2] == pytest.approx((expected.low, expected.high), abs=0.01)
    expected = bootstrap((values,), np.median, method="percentile", rng=0, n_resamples=4000).confidence_interval
    assert median_interval(values)[:2] == pytest.approx((expected.low, expected.high), abs=0.01)


@pytest.mark.parametrize("of", [mean_interval, median_interval])
@pytest.mark.parametrize("n", [40, 300])
def test_groups_of_one_sample_say_nothing(of, n):
    """A sample that is a group of its own is a sample."""
    values, single = draws(3, n), Groups.of([str(i) for i in range(n)])
    alone, grouped = of(values), of(values, single)
    assert grouped[:2] == pytest.approx(alone[:2], rel=0.2)
    assert n > 200 or grouped == alone
    right = (values > 0).astype(float)
    assert rate_interval(right, single) == rate_interval(right)


@pytest.mark.parametrize("count", [10, 60])
def test_groups_that_agree_in_themselves_count_once(count):
    """Closed form: copies of a value say no more than the value."""
    values = draws(4, count)
    groups = Groups.of([str(i) for i in range(count) for _ in range(7)])
    assert mean_interval(np.repeat(values, 7), groups)[:2] == pytest.approx(mean_interval(values)[:2])
    right = (values > 0).astype(float)
    low, high = rate_interval(np.repeat(right, 7), groups)[:2]
    alone = wilson(right.sum(), count)
    assert low < alone[0]  # for Student's t
    assert high > alone[1]
    assert (low, high) == pytest.approx(alone, abs=0.1 if count < 20 else 0.01)


@given(st.integers(2, 12), st.integers(1, 9), st.integers(0, 1000))
def test_groups_never_make_a_rate_more_certain(count, size, seed):
    right = (np.random.default_rng(seed).random(count * size) < 0.7).astype(float)
    groups = Groups.of(np.repeat(np.arange(count).astype(str), size))
    (low, high, why), (least, most, _) = rate_interval(right, groups), rate_interval(right)
    assert why or (low <= least + 1e-12 and high >= most - 1e-12)


def test_the_difference_over_groups_is_wider():
    a, b = np.repeat(draws(5, 20) > -1, 5).astype(float), np.repeat(draws(6, 20) > 0.3, 5).astype(float)
    plain, grouped = difference_interval(a, b), difference_interval(a, b, Groups.of(np.repeat(np.arange(20), 5)))
    assert grouped.high - grouped.low > 1.8 * (plain.high - plain.low)  # the root of five, or a little less for Wilson


def test_the_area_is_the_mann_whitney_statistic():
    values, positive = np.round(draws(7, 60), 1), np.arange(60) < 25
    expected = mannwhitneyu(values[positive], values[~positive]).statistic / (25 * 35)
    assert auc_interval(values, positive)[0] == pytest.approx(expected)
