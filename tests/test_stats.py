"""Oracles: SciPy and statsmodels where they have the method, published worked examples, closed forms."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, wilcoxon

from benchmark import stats
from benchmark.intervals import wilson


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(k_n):
    k, n = k_n
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_is_nan():
    assert all(np.isnan(wilson(0, 0)))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [  # Newcombe 1998, Stat. Med. 17:2635, table II, method 10
        ((36, 12, 2, 0), (0.2000, 0.0569, 0.3404)),
        ((36, 14, 0, 0), (0.2800, 0.1528, 0.4167)),
        ((54, 0, 0, 0), (0.0, -0.0664, 0.0664)),
        ((0, 30, 0, 0), (1.0, 0.8395, 1.0)),
    ],
)
def test_newcombe_method_10_published_examples(cells, expected):
    yes, only_a, only_b, no = cells
    a = np.repeat([1, 1, 0, 0], [yes, only_a, only_b, no])
    b = np.repeat([1, 0, 1, 0], [yes, only_a, only_b, no])
    found = stats.paired_rates(a, b)
    assert (found.difference, found.low, found.high) == pytest.approx(expected, abs=2e-4)


def test_mcnemar_exact_equals_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar

    for only_a, only_b in [(1, 0), (5, 2), (12, 3), (7, 7)]:
        expected = mcnemar([[10, only_a], [only_b, 4]], exact=True).pvalue
        assert stats.mcnemar(only_a, only_b) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.01, 0.05, 1.0]), max_size=12))
def test_holm_is_statsmodels(p_values):
    from statsmodels.stats.multitest import multipletests

    with patch("gc.collect"):  # why we have our own: it takes a third of a second here
        expected = multipletests(p_values, method="holm")[1].tolist() if p_values else []
    assert stats.holm(p_values) == expected


def test_mcnemar_without_discordant_pairs_is_one():
    assert stats.mcnemar(0, 0) == 1.0


def test_missing_verdicts_leave_bounds_not_a_rate():
    found = stats.rate(np.array([1, 1, 0, np.nan]))
    assert np.isnan(found.value)
    assert (found.low, found.high, found.n, found.missing) == (0.5, 0.75, 4, 1)


def test_bootstrap_is_seeded_covers_and_counts_nan():
    values = np.random.default_rng(0).normal(3, 1, 400)
    values[:5] = np.nan
    found, again = stats.bootstrap(values, seed=1), stats.bootstrap(values, seed=1)
    assert found == again
    assert found.missing == 5
    half = 1.96 * np.nanstd(values) / np.sqrt(395)  # closed form of the mean's standard error
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_bootstrap_over_groups_is_wider_where_groups_agree():
    groups = [str(i // 20) for i in range(200)]
    values = np.repeat(np.random.default_rng(0).normal(size=10), 20)
    single, grouped = stats.bootstrap(values), stats.bootstrap(values, groups=groups)
    assert grouped.high - grouped.low > 3 * (single.high - single.low)


def test_ranks_count_only_significant_betters():
    good = np.ones(200)
    middle = np.r_[np.zeros(60), np.ones(140)]
    near = np.r_[np.zeros(2), np.ones(198)]
    assert stats.ranks({"good": good, "near": near, "middle": middle}) == {"good": 1, "near": 1, "middle": 3}


def test_a_group_of_equal_models_all_rank_first():
    same = np.r_[np.zeros(5), np.ones(5)]
    assert stats.ranks({"a": same, "b": same.copy()}) == {"a": 1, "b": 1}


def test_paired_values_is_scipys_wilcoxon():
    """Oracle: SciPy on the pairs that are whole; a pair without a value is left out."""
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=20), generator.normal(0.5, size=20)
    a[3] = np.nan
    whole = ~np.isnan(a)
    test = stats.paired_values(a, b)
    assert test.n == 19
    assert test.p == pytest.approx(wilcoxon(a[whole], b[whole], zero_method="zsplit").pvalue)
    assert test.difference == pytest.approx(float((a[whole] - b[whole]).mean()))
    assert stats.paired_values(b, b).p == 1
    assert stats.paired_values(np.zeros(0), np.zeros(0)).n == 0


def test_pairs_in_one_call_are_the_pairs_alone():
    """Oracle: SciPy on each, to the last bit; lengths around the one where it stops being exact, ties, zeros, NaN."""
    generator, pairs = np.random.default_rng(2), []
    for n in (1, 8, 50, 51, 60, 60, 60, 400, 400):
        a, b = generator.normal(size=n), generator.normal(0.2, size=n)
        pairs += [(a, b), (np.round(a, 1), np.round(b, 1)), (a, np.where(generator.random(n) < 0.3, a, b)), (a, a)]
        pairs.append((np.where(generator.random(n) < 0.1, np.nan, a), b))
    for (a, b), test in zip(pairs, stats.each_paired(pairs), strict=True):
        x, y = a[~np.isnan(a)], b[~np.isnan(a)]
        expected = wilcoxon(x, y, zero_method="zsplit").pvalue if len(x) and (x != y).any() else 1.0
        assert (test.p, test.n) == (expected, len(x))
    assert stats.each_paired([]) == []


def test_ranks_by_values():
    """Closed form: three models far apart, two of them alike; the direction turns the order round."""
    noise = np.random.default_rng(1).normal(0, 0.01, 16)
    values = {"low": 1 + noise, "alike": 1 + noise[::-1], "high": 5 + noise}
    assert stats.ranks_by_values(values, higher_is_better=False) == {"low": 1, "alike": 1, "high": 3}
    assert stats.ranks_by_values(values, higher_is_better=True) == {"low": 2, "alike": 2, "high": 1}
    assert stats.ranks_by_values({"one": noise}, higher_is_better=False) == {"one": 1}


def test_groups_of_one_mean_each_have_no_interval():
    """Every view of a sign is broken alike: nothing is known of other signs' spread, and nothing is divided by it."""
    values = np.tile([1.0, 2.0], 6)
    groups = np.repeat(np.array(list("abcdef"), dtype=object), 2)
    found = stats.bootstrap(values, "mean", groups, 0)
    assert (found.value, np.isnan(found.low), np.isnan(found.high)) == (1.5, True, True)
    assert found.why
