"""Leaderboards of tasks that judge by numbers, from made records.

Oracles: closed forms of the made numbers (the worst per image before the mean, budgets within, a paired gate).
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmark.results import scores
from benchmark.spec.budget import Budget
from benchmark.stats import ranks_of
from benchmark.tasks.base import Score, tasks

SAMPLES = [f"s{i}" for i in range(8)]
SMALL, LARGE = Budget.parse("0.01"), Budget.parse("1/20")


class Made:
    """As much of :class:`benchmark.results.base.Results` as scores ask for."""

    def __init__(self, rows, clean):
        self.models, self._rows, self._clean = list(clean), rows, clean
        self.task = tasks.make("reconstruction", {"against": "plain"})
        probes = [SimpleNamespace(name=name, budgets=(SMALL, LARGE)) for name in ("worst", "transfer", "random")]
        threat = SimpleNamespace(norm="l2", eps=LARGE, domain="measurement")
        self.suite = SimpleNamespace(threat=threat, attacks=probes)
        self.plan = {"dataset": {"classes": []}, "facts": {"b": {"seed_of": "a"}}}

    def of_norm(self, norm):
        return self.suite.attacks

    def threat(self, probe):
        return {"kind": "fixed", "control": probe == "random"}

    def attack_rows(self, model, probe):
        return self._rows[(self._rows["model"] == model) & (self._rows["probe"] == probe)]

    def valid(self, rows, condition):
        at = (rows["eps"] == condition.eps.text) & (rows["status"] == "ok")
        return set(rows["sample"][at])

    def attacked_samples(self, model, condition):
        return SAMPLES

    def clean(self, model):
        return pd.DataFrame({"rel_err": self._clean[model]}, index=SAMPLES)

    def groups(self, model, samples):
        return None

    def verified(self):
        return 0, 0, 0


def made(values, clean=None):
    """Rows from {(model, probe, eps): (amp, rel_err) a sample}."""
    rows = []
    for (model, probe, eps), (ratio, error) in values.items():
        for i, sample in enumerate(SAMPLES):
            row = {"model": model, "probe": probe, "eps": eps.text, "sample": sample, "status": "ok"}
            rows.append(row | {"amp": ratio[i], "amp_noise": 1.0, "rel_err": error[i], "param_gain": 0.0})
    models = dict.fromkeys(model for model, _, _ in values)
    return Made(pd.DataFrame(rows), clean or {model: np.full(8, 0.1) for model in models})


def flat(ratio, error):
    return np.full(8, float(ratio)), np.full(8, float(error))


def both(model, ratio, error):
    jitter = np.linspace(0, 0.01, 8)
    found = {}
    for probe in ("worst", "transfer", "random"):
        for eps in (SMALL, LARGE):
            found[model, probe, eps] = (ratio + jitter, error + jitter)
    return found


def test_the_worst_is_taken_image_by_image_before_the_mean():
    values = both("a", 1, 1)
    up, down = np.arange(8.0), np.arange(8.0)[::-1]
    values["a", "worst", LARGE], values["a", "transfer", LARGE] = (up, up), (down, down)
    found = scores.scored(made(values), "a", Score("x", "amp"), LARGE)
    assert found.tolist() == np.maximum(up, down).tolist()


def test_a_ratio_has_one_denominator_for_all_attacks():
    """The mean over the draws of attacks and controls: a lucky draw of one attack cannot raise its own ratio."""
    values = both("a", 2, 1)
    results = made(values)
    results._rows.loc[results._rows["probe"] == "worst", "amp_noise"] = 0.5
    found = scores.scored(results, "a", Score("x", "amp", over="amp_noise"), LARGE)
    np.testing.assert_allclose(found, (2 + np.linspace(0, 0.01, 8)) / ((0.5 + 1 + 1) / 3))


def test_smaller_budgets_count_where_a_score_is_within():
    """A weak attack at the large budget cannot make the curve fall."""
    values = both("a", 1, 1)
    values["a", "worst", SMALL] = flat(5, 5)
    results = made(values)
    assert scores.scored(results, "a", Score("x", "rel_err", within=True), LARGE).min() == 5
    assert scores.scored(results, "a", Score("x", "rel_err"), LARGE).max() < 2


def test_controls_are_averaged_and_kept_apart():
    values = both("a", 1, 1)
    values["a", "random", LARGE] = flat(9, 9)
    results = made(values)
    assert scores.scored(results, "a", Score("x", "rel_err", of="control"), LARGE).tolist() == [9] * 8
    assert scores.scored(results, "a", Score("x", "rel_err"), LARGE).max() < 2


def test_a_missing_verdict_leaves_a_blank_and_no_rank():
    results = made(both("plain", 1, 1) | both("a", 1, 1))
    lost = (results._rows["model"] == "a") & (results._rows["sample"] == "s3") & (results._rows["probe"] == "worst")
    results._rows.loc[lost, "status"] = "nan"
    values = scores.scored(results, "a", Score("x", "amp"), LARGE)
    assert values.isna().sum() == 1
    assert np.isnan(scores.mean(results, "a", "x", values).value)
    assert ranks_of(*scores.score_pairs(results)) == {"plain": 1}
    assert any("a is not ranked: samples" in line for line in scores.score_verdicts(results))


@pytest.mark.parametrize(("error", "passed"), [(0.1, True), (0.09, True), (0.11, False)])
def test_the_gate_is_one_sided_and_paired(error, passed):
    """Images differ far more than the two methods do: only the paired difference can tell."""
    spread = np.linspace(0, 1, 8)
    results = made(both("plain", 1, 1) | both("a", 3, 1), {"plain": 0.1 + spread, "a": error + spread})
    assert scores.gates(results)["a"].passed is passed
    assert ("a" in ranks_of(*scores.score_pairs(results))) is passed
    assert any(flag == "accuracy-gate" for _, flag, _ in scores.score_flags(results)) is not passed
    said = " ".join(scores.score_verdicts(results))
    assert "a is less stable than plain" in said, "a row that fails the gate can still show instability"


def test_late_gains_are_flagged():
    results = made(both("plain", 1, 1))
    results._rows["param_gain"] = 0.05
    assert [flag for _, flag, _ in scores.score_flags(results)] == ["more-steps-gain"]


def test_the_spread_of_seeds():
    results = made(both("a", 1, 1) | both("b", 1, 1) | both("plain", 1, 1))
    spread = scores.seed_spreads(results, {"a": 1.0, "b": 1.5, "plain": 2.0})
    assert spread == {"a": 0.5, "b": 0.5}
