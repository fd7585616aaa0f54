"""Robustness beside explanation quality, and their correlation over models.

Oracles: tables written by hand, SciPy's permutation test, closed forms (all n! orders of a few models), made data in
which only the difference between two suites correlates.
"""

from __future__ import annotations

import json
from math import factorial, isnan

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, spearmanr

import benchmark
from benchmark.report.combined import FILES, combined, write_combined
from benchmark.report.correlation import correlations, rank_correlation

MODELS = [f"m{i}" for i in range(6)]
ROBUST = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]


def folder(root, name, models, robust, faithful, *, kept=None, attacks=True, explained=True):
    """The tables and the plan of a made suite: two real explainers around ``faithful`` and a control far below."""
    place = root / name
    place.mkdir()
    metrics = {"faith": {"use": "x", "higher_is_better": True}, "error-rate": {"use": "x", "higher_is_better": False}}
    metrics |= {"neutral": {"use": "x", "higher_is_better": None}}
    cells = [{"kind": "attack", "probe": "pgd", "threat": {"control": False}}]
    cells += [{"kind": "attack", "probe": "noise", "threat": {"control": True}}]
    suite = {"name": name, "dataset": {"use": "digits"}, "entries": models}
    suite |= {"threat": {"norm": "linf", "eps": "1/10"}} if attacks else {}
    plan = {"suite": suite, "metrics": metrics if explained else {}, "cells": cells, "dataset": {"classes": ["a", "b"]}}
    (place / "plan.json").write_text(json.dumps(plan))
    board = pd.DataFrame({"model": models, "n": 50, "clean_acc": 0.95, "clean_acc_low": 0.9, "clean_acc_high": 1.0})
    if attacks:
        bounds = {"robust_acc_worst_low": 0.0, "robust_acc_worst_high": 1.0}
        board = board.assign(robust_acc_worst=robust, **bounds)
    board.to_csv(place / "leaderboard.csv", index=False)
    rows = []
    for model, value in zip(models, faithful, strict=True):
        rows += [
            {"model": model, "explainer": "a", "control": False, "faith": value + 0.1, "error_rate": 1 - value},
            {"model": model, "explainer": "b", "control": False, "faith": value - 0.1, "error_rate": 0.5 - value},
            {"model": model, "explainer": "random", "control": True, "faith": -9.0, "error_rate": 9.0},
        ]
    if explained:
        pd.DataFrame(rows).to_csv(place / "explanations.csv", index=False)
    if kept is not None:
        rows = []
        for model, value in zip(models, kept, strict=True):
            for attack, shift in (("pgd", 0.0), ("noise", 0.1)):
                for explainer, control, own in (("a", False, value), ("b", False, value + 0.02), ("random", True, 1.0)):
                    for changed, extra in (("all", 5), ("no", 0), ("yes", 7)):
                        row = {"model": model, "explainer": explainer, "control": control, "attack": attack}
                        rows.append(row | {"changed": changed, "spearman": own + shift + extra})
        pd.DataFrame(rows).to_csv(place / "explanations_attacked.csv", index=False)
    return place


def test_one_row_a_model_with_means_over_real_explainers(tmp_path):
    place = folder(tmp_path, "suite", MODELS, ROBUST, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], kept=[0.5] * 6)
    found = write_combined([place])
    table = pd.read_csv(place / "combined.csv")
    assert table["model"].tolist() == MODELS
    assert table["faith"].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])  # the control's -9 is not in it
    assert set(table["best_faith"]) == {"a"}
    assert set(table["best_error_rate"]) == {"b"}  # lower is better
    assert set(table["threat"]) == {"linf 0.1"}
    assert table["attacked_spearman"].tolist() == pytest.approx([0.51] * 6)  # prediction kept, real ones, no noise
    assert table["noise_spearman"].tolist() == pytest.approx([0.61] * 6)
    assert "neutral" not in table
    rows = found.correlation.set_index("quality")
    assert rows.loc["faith", "rho"] == pytest.approx(-1)
    # lower errors are better, and error = 0.75 - faith: the less robust, the lower the error
    assert rows.loc["error_rate", "rho"] == pytest.approx(-1)
    assert rows.loc["faith", "p"] == pytest.approx(2 / factorial(6))
    assert "explained worse" in rows.loc["faith", "words"]
    assert isnan(rows.loc["attacked_spearman", "rho"])
    assert "does not vary" in rows.loc["attacked_spearman", "words"]
    text = (place / "combined.md").read_text()
    assert "faith ↑" in text
    assert "error_rate ↓" in text


def test_explainers_that_are_one_method_count_once(tmp_path):
    place = folder(tmp_path, "suite", MODELS, ROBUST, [0.5] * 6, kept=[0.5] * 6)
    rows = [("m0", "a", "b"), ("m0", "b", "a"), ("m1", "a", ""), ("m1", "b", "")]
    pd.DataFrame(rows, columns=["model", "explainer", "one_method_with"]).to_csv(place / "explainer_ranks.csv")
    table = combined([place]).table.set_index("model")
    assert table.loc["m0", ["faith", "attacked_spearman"]].tolist() == pytest.approx([0.6, 0.5])  # the first alone
    assert table.loc["m1", ["faith", "attacked_spearman"]].tolist() == pytest.approx([0.5, 0.51])


def test_over_three_models_nothing_can_be_decided(tmp_path):
    place = folder(tmp_path, "suite", MODELS[:3], ROBUST[:3], [0.3, 0.2, 0.1])
    rows = combined([place]).correlation.set_index("quality")
    assert rows.loc["faith", "rho"] == pytest.approx(1)
    assert rows.loc["faith", "p"] == pytest.approx(2 / 6)  # of 3! orders two are as extreme
    assert rows.loc["faith", "words"] == "faith: over 3 models nothing can be decided"


def test_suites_and_parts_stand_in_one_table_in_the_first_folder(tmp_path):
    base = folder(tmp_path, "suite", MODELS, ROBUST, [0.1] * 5 + [0.2])
    part = folder(tmp_path, "suite-part", ["x", "y"], None, [0.7, 0.8], attacks=False)
    write_combined([base, part, tmp_path / "absent"])
    table = pd.read_csv(base / "combined.csv")
    assert table["suite"].tolist() == ["suite"] * 6 + ["suite-part"] * 2
    assert table.loc[table["suite"] == "suite-part", "robust_acc_worst"].isna().all()
    assert not (part / "combined.csv").exists()
    assert set(pd.read_csv(base / "combined_correlation.csv")["over"]) == {"suite", "all"}


@pytest.mark.parametrize("made", [{"attacks": False}, {"explained": False}])
def test_nothing_is_written_where_one_of_the_two_is_missing_and_old_files_go(tmp_path, made):
    place = folder(tmp_path, "suite", MODELS, ROBUST, ROBUST, **made)
    for name in FILES:
        (place / name).write_text("old")
    assert write_combined([place]) is None
    assert not [name for name in FILES if (place / name).exists()]


@given(st.integers(0, 10_000), st.integers(3, 6), st.booleans())
@example(10_000, 6, True)  # a correlation of zero, which rounding makes 1e-17
@settings(max_examples=20, deadline=None)
def test_one_group_is_scipys_spearman_with_its_exact_permutation_test(seed, n, ties):
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=(2, n))
    if ties:
        a, b = a.round(), b.round()
    if len(set(a)) == 1 or len(set(b)) == 1:
        return
    count, rho, p = rank_correlation(a, b, np.array(["s"] * n, dtype=object))
    assert count == n
    assert rho == pytest.approx(spearmanr(a, b).statistic)
    expected = permutation_test(
        (b,), lambda y: abs(spearmanr(a, y).statistic), permutation_type="pairings", alternative="greater",
        n_resamples=np.inf, vectorized=False,
    )  # fmt: skip
    assert p == pytest.approx(expected.pvalue)


def test_many_models_are_permuted_at_random_and_always_alike():
    generator = np.random.default_rng(0)
    a = generator.normal(size=12)
    groups = np.array(["s"] * 12, dtype=object)
    assert rank_correlation(a, a, groups)[2] == pytest.approx(1e-4)  # the observed order counts as one
    b = generator.normal(size=12)
    first, again = rank_correlation(a, b, groups), rank_correlation(a, b, groups)
    assert first == again
    assert first[2] == pytest.approx(spearmanr(a, b).pvalue, abs=0.05)


def test_a_difference_between_data_sets_makes_no_correlation_over_all():
    """Within each suite the two go against one another; pooled, without regard to the suite, they would agree."""
    a = np.array([1, 2, 3, 4, 11, 12, 13, 14], float)
    b = np.array([4, 3, 2, 1, 14, 13, 12, 11], float)
    groups = np.array(["easy"] * 4 + ["hard"] * 4, dtype=object)
    assert spearmanr(a, b).statistic > 0.5
    n, rho, p = rank_correlation(a, b, groups)
    assert (n, rho) == (8, pytest.approx(-1))
    assert p == pytest.approx(2 / 24**2, abs=0.004)
    alone = rank_correlation(np.append(a, 5.0), np.append(b, 99.0), np.append(groups, "one"))
    assert alone[:2] == (8, pytest.approx(-1))  # a model without another of its suite says nothing


def test_the_correlations_of_a_group_are_corrected_for_one_another():
    table = pd.DataFrame({"suite": "s", "robust": range(6), "good": range(6), "other": [3, 1, 2, 0, 5, 4]})
    found = correlations(table, "robust", {"good": True, "other": True}).set_index("quality")
    assert found.loc["good", "p_holm"] == pytest.approx(2 * found.loc["good", "p"])
    assert "explained better" in found.loc["good", "words"]
    assert "do not decide" in found.loc["other", "words"]


def test_run_and_report_write_it_and_print_it(workplace, monkeypatch):
    workplace.edit('use = "sparseness"', 'use = "faithfulness-correlation"')
    part = '\n[parts.few]\nentries = ["one"]\ndataset = { use = "digits", samples = 8 }\n'
    file = workplace.root / "suites" / "tiny.toml"
    file.write_text(file.read_text().replace('name = "sparseness"', 'name = "faith"') + part)
    monkeypatch.chdir(workplace.root)
    benchmark.run("tiny")
    base = workplace.root / "results" / "tiny"
    before = {name: (base / name).read_bytes() for name in FILES}
    assert pd.read_csv(base / "combined.csv")["suite"].tolist() == ["tiny", "tiny", "tiny-few"]
    (base / "combined.csv").unlink()
    out = workplace.assay("report", "tiny").stdout
    assert "Robustness and explanation quality" in out
    assert "nothing can be decided (fewer than 5 models" in out
    assert {name: (base / name).read_bytes() for name in FILES} == before
