"""Quantus' own metrics beside ours in the tracked tables. Oracle: each other."""

from math import sqrt

import pandas as pd
import pytest

from tests.conftest import REPOSITORY

SUBSETS = (20, 100)  # a sample: of Quantus in these suites, of ours


@pytest.fixture(params=["digits"])
def table(request):
    return pd.read_csv(REPOSITORY / "results" / request.param / "explanations.csv")


def test_sparseness_is_quantus_own(table):
    both = table[["quantus_sparseness", "sparseness"]].dropna()
    assert len(both) >= 18
    assert (both.quantus_sparseness - both.sparseness).abs().max() <= 2e-6  # printed to six digits
    constant = table.explainer == "constant"  # ours is 0 where nothing stands out, Quantus' is not defined
    assert table.quantus_sparseness[~constant].isna().equals(table.sparseness[~constant].isna())


def test_faithfulness_correlation_is_quantus_up_to_the_subsets_drawn(table):
    """Both correlate over random subsets of a quarter of the pixels; a correlation of k of them has a standard error of
    about 1 / sqrt(k), or less."""
    names = ["n", "quantus_faithfulness_correlation", "faithfulness_correlation"]
    n, theirs, ours = (table[names].dropna()[name] for name in names)
    error = (sum(1 / k for k in SUBSETS) / n).map(sqrt)
    assert len(n) >= 18
    assert ((theirs - ours).abs() <= 3 * error).all()
    assert theirs.corr(ours, method="spearman") > 0.98
