"""Explanations under attack, from a suite to its tables.

Oracles: captum and scipy on the inputs that the attack cells left, closed forms (a linear network's gradient does not
move, a random explainer with the same draws neither), counts made from the records.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

import benchmark
from benchmark.errors import SpecError
from benchmark.explainers.base import explainers
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.registry import include
from benchmark.results.base import Results
from benchmark.seeds import Draws
from benchmark.store.folder import Store
from tests.conftest import REPOSITORY

SUITE = """
title = "drift"
entries = ["digits_cnn"]
dataset = { use = "digits", samples = 30 }
threat = { norm = "linf", eps = "0.2" }

[run]
chunk = 20

[[attacks]]
name = "pgd"
use = "foolbox:LinfPGD"
budgets = ["0.05", "0.2"]
params = { steps = 5 }

[[attacks]]
name = "noise"
use = "noise-linf"
budgets = ["0.2"]
samples = 25

[[explainers]]
name = "saliency"
use = "saliency"

[[explainers]]
name = "random"
use = "random"
"""
READS = 'use = "saliency"\nattacked = ["pgd", "noise"]\n'


@pytest.fixture(autouse=True)
def _here(workplace, monkeypatch):
    include([REPOSITORY / "tests" / "toys" / "fitted_attack.py", REPOSITORY / "tests" / "toys" / "nothing_attack.py"])
    monkeypatch.chdir(workplace.root)
    workplace.suite("drift", SUITE)


def results(workplace):
    return Results(Store(workplace.root / "results" / "drift"))


def test_the_drift_is_that_of_the_inputs_that_the_attacks_left(workplace):
    workplace.edit('use = "saliency"\n', READS, "drift")
    workplace.edit('use = "random"\n', 'use = "random"\nattacked = ["noise"]\n', "drift")
    run = benchmark.run("drift")
    assert run.counts["failed"] == run.counts["skipped"] == 0
    found = results(workplace)
    rows = found.rows[found.rows["kind"] == "drift"].set_index(["probe", "metric", "eps", "sample"]).sort_index()
    model, store = build_model(load_entry("digits_cnn"), "cpu"), found.store
    clean, checked = found.clean("digits_cnn"), 0
    for hash_, head in found.heads.items():
        spec = head["spec"]
        if spec["kind"] != "drift" or spec["probe"] != "saliency":
            continue
        kept = store.artefact(spec["needs"]["attack"], "perturbed")
        before = store.artefact(spec["needs"]["explain"], "attributions")["attributions"]
        targets = torch.tensor(np.array(store.rows(spec["needs"]["explain"])["target"]))
        for i, sample in enumerate(spec["samples"]):
            row = rows.loc["saliency", spec["metric"], spec["eps"], sample]
            if not clean.loc[sample, "correct"]:
                assert row["status"] == "not_attacked"
                assert np.isnan(row[["value", "own_topk", "own_ssim", "own_changed"]].astype(float)).all()
                continue
            x = torch.as_tensor(kept["inputs"][list(kept["samples"]).index(sample)])[None]
            after = explainers.make("saliency").explain(model, x, targets[i : i + 1], generator=Draws([0])).numpy()
            assert row["value"] == pytest.approx(spearmanr(before[i].ravel(), after.ravel()).statistic, abs=1e-3)
            assert row["own_changed"] == float(model(x).argmax(1).item() != clean.loc[sample, "pred_clean"])
            checked += 1
        assert len(store.rows(hash_)["sample"]) == len(spec["samples"])
    assert checked > 60
    still = rows.loc["random"]
    same = still.loc[still["status"] == "ok", ["value", "own_topk", "own_ssim"]].to_numpy(float)
    np.testing.assert_allclose(same, 1)  # the same draws
    assert rows.loc[("saliency", "noise")].index.get_level_values("sample").nunique() == 25  # the attack's own limit


def test_the_table_counts_by_whether_the_prediction_changed(workplace):
    workplace.edit('use = "saliency"\n', READS, "drift")
    benchmark.run("drift")
    folder, found = workplace.root / "results" / "drift", results(workplace)
    table = pd.read_csv(folder / "explanations_attacked.csv")
    drift = found.rows[found.rows["kind"] == "drift"]
    assert len(table) == 3 * 3  # pgd at two budgets and noise; all, no, yes
    for _, row in table.iterrows():
        exact = {0.05: "1/20", 0.2: "1/5"}[row["eps"]]
        part = drift[(drift["metric"] == row["attack"]) & (drift["eps"] == exact)]
        part = part[part["status"] == "ok"]
        part = part if row["changed"] == "all" else part[part["own_changed"] == (row["changed"] == "yes")]
        assert row["n"] == len(part)
        for column, own in (("spearman", "value"), ("topk", "own_topk"), ("ssim", "own_ssim")):
            if len(part):
                assert row[column] == pytest.approx(part[own].mean(), abs=1e-5)
            if len(part) >= 6 and part[own].nunique() > 1:  # of fewer, or of equal ones, there is no interval
                assert row[f"{column}_low"] <= row[column] <= row[f"{column}_high"]
    whole = table[table["changed"] == "all"]
    assert (whole["n"] + whole["not_attacked"]).tolist() == [30, 30, 25]
    large = table[(table["attack"] == "pgd") & (table["eps"] == 0.2)].set_index("changed")
    board = pd.read_csv(folder / "leaderboard.csv").iloc[0]
    assert large.loc["yes", "n"] == round((board["clean_acc"] - board["robust_acc_pgd_0.2"]) * 30)
    assert "## Explanations under attack" in (folder / "leaderboard.md").read_text()


def test_explaining_attacked_inputs_changes_no_other_cell(workplace):
    benchmark.run("drift")
    before = {head["hash"]: head["spec"]["kind"] for head in workplace.heads("drift")}
    kept = [head for head in workplace.heads("drift") if head["spec"]["kind"] == "attack"]
    assert {head["spec"]["keep_inputs"] for head in kept} == {"broken"}
    workplace.edit('use = "saliency"\n', READS, "drift")
    run = benchmark.run("drift")
    after = {head["hash"]: head["spec"]["kind"] for head in workplace.heads("drift")}
    assert before.items() <= after.items()
    assert set(after) - set(before) == {name for name, kind in after.items() if kind == "drift"}
    # attack records that kept the broken inputs alone are made again, with all of them; the rest is known
    assert run.counts["done"] == 6 + 6
    assert benchmark.run("drift").counts["done"] == 0


def test_a_linear_networks_gradient_is_the_same_everywhere(workplace):
    workplace.edit('"digits_cnn"', '"one", "two"', "drift")
    workplace.edit('use = "saliency"\n', READS, "drift")
    benchmark.run("drift")
    rows = results(workplace).rows
    values = rows.loc[(rows["kind"] == "drift") & (rows["status"] == "ok"), ["value", "own_topk", "own_ssim"]]
    assert len(values)
    np.testing.assert_allclose(values.to_numpy(float), 1)


OVERSHOOT = '''
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks

@attacks.register("overshoot")
class Overshoot(Attack):
    """Twice the budget, in every second sample of a batch."""

    @property
    def threat(self):
        return Threat(norm="linf", kind="fixed")

    def run(self, model, inputs, labels, *, eps, generator, fitted=None):
        found = (inputs + eps).clamp(0, 1)
        found[::2] = (inputs[::2] + 2 * eps).clamp(0, 1)
        return Perturbed(found)
'''


def test_inputs_out_of_budget_are_not_judged(workplace):
    (workplace.root / "overshoot.py").write_text(OVERSHOOT)
    include([workplace.root / "overshoot.py"])
    suite = workplace.root / "suites" / "drift.toml"
    suite.write_text(suite.read_text() + '\n[[attacks]]\nname = "over"\nuse = "overshoot"\nbudgets = ["0.1"]\n')
    workplace.edit('use = "saliency"\n', 'use = "saliency"\nattacked = ["over"]\n', "drift")
    benchmark.run("drift")
    rows = results(workplace).rows
    out = set(rows.loc[(rows["kind"] == "attack") & (rows["status"] == "out_of_budget"), "sample"])
    drift = rows[rows["kind"] == "drift"].set_index("sample")
    assert out
    assert set(drift.index[drift["status"] == "not_judged"]) == out
    assert drift.loc[list(out), "value"].isna().all()
    table = pd.read_csv(workplace.root / "results" / "drift" / "explanations_attacked.csv")
    assert table.loc[table["changed"] == "all", "not_judged"].tolist() == [len(out)]


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ('name = "nothing"\nuse = "fooling-noise"', "makes inputs from nothing"),
        ('name = "nothing"\nuse = "sticker-random"\nparams = { mask = "two-bars" }', "under several views"),
    ],
)
def test_attacks_that_leave_no_perturbed_sample_are_refused(workplace, attack, words):
    suite = workplace.root / "suites" / "drift.toml"
    suite.write_text(suite.read_text() + f"\n[[attacks]]\n{attack}\n")
    workplace.edit('use = "saliency"\n', 'use = "saliency"\nattacked = ["nothing"]\n', "drift")
    with pytest.raises(SpecError, match=words):
        benchmark.run("drift")


def test_an_unknown_attack_is_refused(workplace):
    workplace.edit('use = "saliency"\n', 'use = "saliency"\nattacked = ["fgsm"]\n', "drift")
    with pytest.raises(SpecError, match="attacked names 'fgsm'"):
        benchmark.run("drift")


def test_manipulation_has_columns_of_its_own_and_no_robust_accuracy(workplace):
    suite = workplace.root / "suites" / "drift.toml"
    attack = 'name = "manipulation"\nuse = "explanation-manipulation"\nbudgets = ["0.2"]\nparams = { steps = 20 }'
    suite.write_text(suite.read_text() + f"\n[[attacks]]\n{attack}\n")
    workplace.edit('use = "saliency"\n', 'use = "saliency"\nattacked = ["noise", "manipulation"]\n', "drift")
    board = benchmark.run("drift").leaderboard.to_pandas().iloc[0]
    assert not [name for name in board.index if name.startswith(("robust_acc_manip", "asr_manip", "asr_8bit_manip"))]
    assert board["manipulated_manipulation_0.2"] > 0.9
    assert board["objective_after_manipulation_0.2"] < board["objective_before_manipulation_0.2"] - 0.1
    assert board["probability_change_manipulation_0.2"] <= 0.05
    plan = json.loads((workplace.root / "results" / "drift" / "plan.json").read_text())
    threat = next(cell["threat"] for cell in plan["cells"] if cell["probe"] == "manipulation")
    assert (threat["domain"], threat["breaks"]) == ("explanation", False)
    assert "breaks" not in next(cell["threat"] for cell in plan["cells"] if cell["probe"] == "pgd")
    table = pd.read_csv(workplace.root / "results" / "drift" / "explanations_attacked.csv").set_index(
        ["attack", "changed"]
    )
    assert table.loc[("manipulation", "yes"), "n"] == 0
    assert table.loc[("manipulation", "no"), "spearman_high"] < table.loc[("noise", "no"), "spearman_low"]
    curves = pd.read_csv(workplace.root / "results" / "drift" / "curves.csv")
    assert "manipulation" not in set(curves["attack"])
