"""IAC, IEC and MC. Oracles: MetaQuantus' definitions written as loops, and its two sanity checks (an estimator that
never moves, one that moves as it should)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from benchmark.meta.consistency import inter_consistency, intra_consistency, meta_consistency


def all_four(before, minor, disruptive, higher):
    values = {
        "iac_nr": np.mean([intra_consistency(b, a, disruptive=False) for b, a in zip(before, minor, strict=True)]),
        "iac_ar": np.mean([intra_consistency(b, a, disruptive=True) for b, a in zip(before, disruptive, strict=True)]),
        "iec_nr": inter_consistency(before, minor, disruptive=False, higher_is_better=higher),
        "iec_ar": inter_consistency(before, disruptive, disruptive=True, higher_is_better=higher),
    }
    return values, meta_consistency(values)


@pytest.mark.parametrize("higher", [True, False])
def test_an_estimator_that_reacts_as_it_should_has_mc_one(higher):
    before = np.random.default_rng(0).normal(size=(4, 40)) + np.arange(4)[:, None]
    worse = before - 9 if higher else before + 9
    values, mc = all_four(before, before, worse, higher)
    assert values == pytest.approx({"iac_nr": 1, "iac_ar": 1, "iec_nr": 1, "iec_ar": 1}, abs=1e-6)
    assert mc == pytest.approx(1, abs=1e-6)


def test_an_estimator_that_never_moves_has_mc_one_half():
    before = np.random.default_rng(0).normal(size=(4, 40))
    values, mc = all_four(before, before, before, higher=True)
    assert values == {"iac_nr": 1, "iac_ar": 0, "iec_nr": 1, "iec_ar": 0}
    assert mc == 0.5


def test_intra_is_the_p_value():
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=50), generator.normal(0.4, 1, size=50)
    p = wilcoxon(a, b, zero_method="zsplit", method="approx").pvalue
    assert intra_consistency(a, b, disruptive=False) == pytest.approx(p)
    assert intra_consistency(a, b, disruptive=True) == pytest.approx(1 - p)
    a[3] = np.nan
    keep = np.arange(50) != 3
    p = wilcoxon(a[keep], b[keep], zero_method="zsplit", method="approx").pvalue
    assert intra_consistency(a, b, disruptive=False) == pytest.approx(p)
    assert np.isnan(intra_consistency(a[:1], b[:1], disruptive=False))


@given(seed=st.integers(0, 999), higher=st.booleans())
def test_inter_is_the_mean_of_the_agreement_matrix(seed, higher):
    generator = np.random.default_rng(seed)
    before, after = generator.normal(size=(2, 3, 7))
    order, worse = [], []
    for i in range(7):
        order += list(np.argsort(before[:, i]) == np.argsort(after[:, i]))
        worse += [b > a if higher else b < a for b, a in zip(before[:, i], after[:, i], strict=True)]
    kind = {"higher_is_better": higher}
    assert inter_consistency(before, after, disruptive=False, **kind) == pytest.approx(np.mean(order))
    assert inter_consistency(before, after, disruptive=True, **kind) == pytest.approx(np.mean(worse))
