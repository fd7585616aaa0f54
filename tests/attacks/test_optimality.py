"""Optimality and its tables. Oracles: a case computed by hand, the area by numerical integration, the extremes."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.attacks.base import attacks
from benchmark.attacks.observed.optimality import area, curve, optimality, reference
from benchmark.attacks.observed.tables import report
from tests.conftest import data_folder

INF = np.inf


def test_by_hand():
    # four samples, the first wrong without an attack; d_max = 4, clean accuracy 3/4
    best = np.array([0.0, 1.0, 2.0, 4.0])
    found = np.array([0.0, 1.0, 3.0, INF])
    # A* = (1 + 2 + 4)/4 = 7/4, A = (1 + 3 + 4)/4 = 2, nothing found: 3/4 * 4 = 3
    assert area(best, 4.0) == 1.75
    assert area(found, 4.0) == 2.0
    assert optimality(found, best) == pytest.approx(1 - (2 - 1.75) / (3 - 1.75))


def test_the_reference_has_one_and_an_attack_that_finds_nothing_zero():
    distances = np.array([[0, 1, INF, 3.0], [0, 2, 2, INF]])
    best = reference(distances)
    assert best.tolist() == [0, 1, 2, 3]
    assert optimality(best, best) == 1
    assert optimality(np.array([0, INF, INF, INF]), best) == 0
    assert 0 < optimality(distances[1], best) < 1
    assert 0 < optimality(distances[0], best) < 1


def test_a_sample_that_nothing_breaks_counts_at_the_largest_norm():
    best, found = np.array([1.0, 2.0, INF]), np.array([1.5, INF, INF])
    # d_max = 2: A* = (1 + 2 + 2)/3, A = (1.5 + 2 + 2)/3, nothing found: 2
    assert optimality(found, best) == pytest.approx(1 - (5.5 - 5) / (6 - 5))


def test_nothing_to_measure_is_nan():
    assert np.isnan(optimality(np.array([INF, 0]), np.array([INF, 0])))
    assert np.isnan(optimality(np.array([2.0]), np.array([2.0])))
    assert np.isnan(optimality(np.array([0.0]), np.array([0.0])))


@given(st.lists(st.floats(0.125, 4, width=16) | st.just(0.0) | st.just(INF), min_size=1, max_size=12))
def test_the_area_is_that_under_the_curve(values):
    distances = np.array(values)
    budgets, left = curve(distances, 4.0)
    assert budgets[0] == 0
    assert budgets[-1] == 4
    assert (np.diff(left) <= 0).all()
    assert left[0] == (distances > 0).mean()
    assert area(distances, 4.0) == pytest.approx(float((np.diff(budgets) * left[:-1]).sum()))


class Probe:
    """Results of one attack on two networks, as a report hands them over."""

    models = ("near", "far")

    def __init__(self, name, queries, distances, missing=(), plugin="x"):
        self.name, self.distances, self.missing, self.plugin = name, distances, missing, plugin
        self.attack = attacks.make("best-observed", {"attack": "deepfool", "queries": queries})

    def clean(self, model):
        return pd.DataFrame({"sample": list("abc")})

    def rows(self, model, eps=None):
        if model in self.missing:
            return pd.DataFrame()
        d = np.array(self.distances) * (1 if model == "near" else 2)
        order = [2, 0, 1]  # rows come in another order than the samples' names
        table = pd.DataFrame(
            {
                "sample": list("abc"), "status": "ok", "correct": [False, True, True], "success": np.isfinite(d),
                "norm_l2": np.where(np.isfinite(d), d, 0.0), "param_queries": [np.nan, 4.0, 8.0],
            }
        )  # fmt: skip
        table.loc[0, "success"] = False
        return table.iloc[order]

    def heads(self, model, eps=None):
        return [{"seconds": 1.5, "spec": {"plugin": {"use": self.plugin}}}]


def test_local_and_global_tables():
    probes = [
        Probe("weak", 2000, [0, 1, 4], plugin="w"), Probe("strong", 2000, [0, 1, 2], plugin="s"),
        Probe("none", 2000, [0, INF, INF], plugin="n"), Probe("half", 1000, [0, 1, 2], ["far"], plugin="h"),
    ]  # fmt: skip
    extra = report(probes)
    local, everywhere = extra.tables["optimality"], extra.tables["optimality_global"]
    assert extra.faults == []
    near = local[local["model"] == "near"].set_index("probe")
    assert near["optimality"].to_dict() == pytest.approx({"weak": 1.0, "strong": 1.0, "none": 0.0, "half": 1.0})
    assert near["place"].to_dict() == {"weak": 1, "strong": 1, "none": 3, "half": 1}
    assert near["success"].to_dict() == {"weak": 1, "strong": 1, "none": 0, "half": 1}
    medians = {"weak": 2.5, "strong": 1.5, "none": np.nan, "half": 1.5}
    assert near["median_norm"].to_dict() == pytest.approx(medians, nan_ok=True)
    assert (near["n"] == 2).all()
    assert (near["queries_made"] == 6).all()
    assert (near["seconds"] == 1.5).all()
    assert (near["attacks"] == 4).all()
    assert near["reference"].nunique() == 1
    assert set(local[local["model"] == "far"]["reference"]) != set(near["reference"])  # made of three attacks
    table = everywhere.set_index("probe")
    assert table.loc["strong", "optimality"] == 1
    assert np.isnan(table.loc["half", "optimality"])
    assert table.loc["half", "networks"] == 1
    assert table["seconds"].to_dict() == {"weak": 3, "strong": 3, "none": 3, "half": 1.5}
    figure = extra.figures["optimality_l2"]()
    assert [axes.get_title() for axes in figure.axes] == ["near", "far"]
    again = report([probes[1], probes[0], *probes[2:]])
    assert set(again.tables["optimality"]["reference"]) == set(local["reference"]), (
        "the order of probes does not matter"
    )
    other = report([*probes[:3], Probe("half", 1000, [0, 1, 2], ["far"], plugin="another")])
    assert not set(other.tables["optimality"]["reference"]) & set(near["reference"])


def test_the_page_is_filled_between_its_marks(tmp_path):
    from tests.attacks import attackbench

    local = report([Probe("l2-deepfool-2000", 2000, [0, 1, 4]), Probe("l2-deepfool-1000", 1000, [0, 2, 4])]).tables
    made = attackbench.tables(local["optimality"])
    assert "| l2 | 1.0000 (`l2-deepfool-2000`) | 0.6667 (`l2-deepfool-1000`) | – | – | – |" in made
    assert "| **deepfool** (ours) | 1.000 | 0.667 | 1.000 | 1.000 | 1.00 | 6 | – |" in made
    page = tmp_path / "page.md"
    page.write_text(f"before\n{attackbench.BEGIN}\nold\n{attackbench.END}\nafter\n")
    for _ in range(2):
        attackbench.fill(page, made)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("**deepfool** (ours)") == 1
    assert attackbench.BEGIN in attackbench.PAGE.read_text()
    assert attackbench.END in attackbench.PAGE.read_text()


def test_entries_of_the_checkpoints_are_built(tmp_path):
    from benchmark import build_model, load_entry
    from tests.attacks import attackbench

    weights = data_folder("weights_small")
    folder = attackbench.make_entries(tmp_path, weights.parent)
    for name in attackbench.ENTRIES:
        assert build_model(load_entry(name, [folder]))(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_no_rows_no_tables():
    assert report([Probe("a", 10, [0, 1, 2], ["near", "far"])]).tables == {}
