"""Comparing two models. Oracles: counts by hand, and SciPy's exact binomial test."""

from __future__ import annotations

from math import isnan, nan

import pandas as pd
import pytest
from scipy.stats import binomtest

from benchmark.report.comparisons import rates


def outcomes(values):
    return pd.Series(values, index=[f"s{i}" for i in range(len(values))], dtype=float)


def test_a_rate_with_every_verdict_is_compared_in_pairs():
    found = rates("clean_acc", "a", "b", outcomes([1] * 9 + [0]), outcomes([1, 1] + [0] * 7 + [1]))
    assert (found.a, found.b, found.n) == (0.9, 0.3, 10)
    assert found.difference == pytest.approx(0.6)
    assert found.p == pytest.approx(binomtest(7, 8, 0.5).pvalue)
    assert (found.words, found.only_a, found.only_b) == ("the data do not decide", 7, 1)


def test_samples_without_a_verdict_are_not_left_out_in_silence():
    """Only wrong and broken samples are decided where an attack is missing: those alone read as "no difference"."""
    found = rates("robust_acc_worst", "a", "b", outcomes([0, 0, nan, nan]), outcomes([0, 0, 0, nan]))
    assert all(isnan(value) for value in (found.a, found.b, found.difference, found.low, found.high, found.p))
    assert found.n == 2
    assert found.words == "not compared: 2 of 4 samples lack a verdict"


def test_agreement_is_said():
    assert rates("clean_acc", "a", "b", outcomes([1, 0]), outcomes([1, 0])).words.startswith("no difference")
