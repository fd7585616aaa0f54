"""`assay verify` and `assay validate`: honest records pass, and each lie is found. Oracle: lies told on purpose."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from benchmark.results.versions import outdated
from benchmark.schedule.recompute import _refutations, choose, compare_rows
from benchmark.store.folder import Store
from tests.conftest import write_entry
from tests.schedule.test_queue import cell

KINDS = ("clean", "attack", "explain", "score", "similarity")


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run that a test may damage."""
    return finished.copy(tmp_path)


def repack(place, change, suite="tiny"):
    """Change the packed records by hand, as somebody would who hands them in; cells/ is not handed in."""
    import shutil

    folder = place.root / "results" / suite
    table = pd.read_parquet(folder / "records.parquet")
    table = change(table)
    table.to_parquet(folder / "records.parquet")
    shutil.rmtree(folder / "cells")


def test_records_are_reproduced_and_kept_inputs_confirmed(finished):
    done = finished.assay("verify", "tiny", "--sample", 1, "--workers", 1)
    assert "36 cells computed again: 36 the same, 0 within rounding, 0 not reproduced" in done.stdout
    judged = int(done.stdout.split(" kept perturbed inputs judged again: 0 verdicts")[0].split()[-1])
    success = sum(
        Store(finished.root / "results" / "tiny").rows(head["hash"])["success"].sum()
        for head in finished.heads()
        if head["spec"]["kind"] == "attack"
    )
    assert judged == success > 10


def test_a_share_is_a_share_and_brings_what_it_needs(finished):
    done = finished.assay("verify", "tiny", "--sample", 0.05, "--workers", 1, "--models", "one")
    n = int(done.stdout.split(" cells computed again")[0].split()[-1])
    drawn, whole = (int(word) for word in re.search(r"tiny: (\d+) of (\d+) records drawn", done.stdout).groups())
    assert drawn == len(KINDS)  # a small share is one of each kind, and what these stand on
    assert drawn <= n < whole
    again = finished.assay("verify", "tiny", "--sample", 0.05, "--workers", 1, "--models", "nope", code=2)
    assert "unknown model 'nope'" in again.stderr
    assert {c.hash for c in choose([cell("attack", f"p{i}") for i in range(40)], 0.1, 0)} == {
        c.hash for c in choose([cell("attack", f"p{i}") for i in range(40)][::-1], 0.1, 0)
    }
    assert len(choose([cell("attack", f"p{i}") for i in range(40)], 0.1, 0)) == 4


def test_a_better_number_is_not_reproduced(copy):
    def better(table):
        won = table["success"].fillna(False).astype(bool) & table["json"].isna()
        first = table.index[won][0]
        table.loc[first, "success"] = False
        return table

    repack(copy, better)
    done = copy.assay("verify", "tiny", "--sample", 1, "--workers", 1, code=1)
    assert "1 not reproduced" in done.stdout
    assert "success of 1 of 10 samples" in done.stdout
    assert "artefacts are not here" in done.stdout


def test_a_kept_input_that_breaks_nothing_is_refuted(copy):
    """The verifier alone: the artefact holds other inputs than the record says, with a matching sha256."""
    store = Store(copy.root / "results" / "tiny")
    head = next(h for h in copy.heads() if h["spec"]["kind"] == "attack" and h["artefacts"])
    arrays = store.artefact(head["hash"], "perturbed")
    file = store.artefacts / head["artefacts"]["perturbed"]["file"]
    arrays["inputs"] = np.zeros_like(arrays["inputs"])
    np.savez_compressed(file, **arrays)
    import hashlib

    head["artefacts"]["perturbed"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (store.cells / f"{head['hash']}.json").write_text(json.dumps(head))
    done = copy.assay("verify", "tiny", "--sample", 0.05, "--workers", 1, code=1)
    assert "not confirmed: " in done.stdout
    assert "the verifier says" in done.stdout


def test_an_entry_that_is_another_one_is_said(copy):
    write_entry(copy.root / "baselines" / "one", extra="kwargs = { seed = 8 }")
    done = copy.assay("verify", "tiny", "--sample", 0.05, "--workers", 1, code=1)
    assert "cannot be computed here" in done.stdout
    assert "one · clean: entry " in done.stdout


@pytest.mark.parametrize("share", [0, 1.5])
def test_a_share_that_is_none_is_refused(finished, share):
    assert "expected a share" in finished.assay("verify", "tiny", "--sample", share, code=2).stderr


def test_rows_are_compared_column_by_column():
    rows = {"sample": np.array(["a", "b"], object), "pred": np.array([1, 2]), "norm_l2": np.array([0.5, np.nan])}
    assert compare_rows(rows, dict(rows)) == ("same", "")
    near = {**rows, "norm_l2": np.array([0.5 + 1e-5, np.nan])}
    assert compare_rows(rows, near)[0] == "close"
    assert compare_rows(rows, {**rows, "norm_l2": np.array([0.6, np.nan])}) == (
        "differs",
        "norm_l2 of 1 of 2 samples by up to 0.1",
    )
    assert compare_rows(rows, {**rows, "norm_l2": np.array([0.5, 0.1])})[0] == "differs"
    assert compare_rows(rows, {**rows, "pred": np.array([1, 3])}) == ("differs", "pred of 1 of 2 samples")
    effort = {"forwards": np.array([3.0, 4.0])}
    assert compare_rows(effort, {"forwards": np.array([3.0, 9.0])})[0] == "close"
    assert compare_rows(rows, {})[0] == "differs"
    assert compare_rows({**rows}, {**rows, "confidence": np.zeros(2)}) == ("same", "")  # a later version keeps more


def test_scores_without_a_value_agree_with_one_another_and_others_do_not():
    recorded, again = {"amp": np.array([np.nan, 1.0, 2.0])}, {"amp": np.array([np.nan, 1.0, 2.5])}
    said = list(_refutations(recorded, np.arange(3), again, np.array(["a", "b", "c"]), ["amp"]))
    assert said == ["sample c: amp recorded as 2.0, the verifier says 2.5"]


def test_a_whole_folder_is_good(finished):
    done = finished.assay("validate", "results")
    assert "results/tiny: 36 records of 36 cells: good" in done.stdout


LIES = {
    "a success turned into a failure changes the table": (
        lambda t: t.assign(success=t["success"].where(t["success"].isna(), False)),
        "leaderboard.csv, row ",
    ),
    "a norm beyond the budget": (
        lambda t: t.assign(norm_linf=t["norm_linf"] * 2),
        "successes beyond the budget 1/10",
    ),
    "samples left out": (lambda t: t.drop(t.index[5]), "9 rows, its JSON says 10"),
    "another budget in a spec": (
        lambda t: t.assign(json=t["json"].str.replace('"eps": "1/20"', '"eps": "1/10"')),
        "its hash should be ",
    ),
    "no provenance": (
        lambda t: t.assign(json=t["json"].str.replace('"torch":', '"tortch":')),
        "its provenance lacks torch",
    ),
    "a record gone": (
        lambda t: t[t["cell"] != t["cell"].iloc[0]],
        "1 planned cells have no record, such as one · clean",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_each_lie_is_found(copy, lie):
    change, said = LIES[lie]
    repack(copy, change)
    done = copy.assay("validate", "results/tiny", code=1)
    assert said in done.stdout, done.stdout


def test_a_table_changed_by_hand_is_found(copy):
    file = copy.root / "results" / "tiny" / "leaderboard.csv"
    board = pd.read_csv(file)
    board.loc[0, "clean_acc"] = 0.999
    board.to_csv(file, index=False)
    assert "column " in copy.assay("validate", "results/tiny", code=1).stdout


def test_a_suite_made_easier_is_found(copy):
    """The plan is of a suite whose attack is weaker than the one that stands here."""
    copy.edit('budgets = ["0.05", "0.1"]', 'budgets = ["0.05", "0.1", "0.2"]')
    said = copy.assay("validate", "results", code=1).stdout
    assert "attacks.fgsm.budgets = ['1/20', '1/10'], in the suite here ['1/20', '1/10', '1/5']" in said


def test_an_entry_that_is_not_the_one_here_is_found(copy):
    write_entry(copy.root / "baselines" / "two", extra="kwargs = { seed = 9 }")
    assert "entry 'two': the records are of " in copy.assay("validate", "results", code=1).stdout


def test_nothing_to_validate_is_said(copy, tmp_path):
    assert "no plan.json in " in copy.assay("validate", tmp_path / "suites", code=2).stderr
    broken = tmp_path / "results" / "broken"
    broken.mkdir()
    (broken / "plan.json").write_text('{"cells": 3}')
    assert "plan.json is no plan" in copy.assay("validate", broken, code=1).stdout


def test_records_of_an_older_version_are_shown_and_computed_again(copy):
    """The control: with the version as it is nothing is said and nothing computed."""
    plan = json.loads((copy.root / "results" / "tiny" / "plan.json").read_text())
    assert outdated(plan) == []
    plan["versions"]["deepfool"] = "1"
    plan["versions"]["saliency"] = "1+captum==0.1"
    found = {each.name: each for each in outdated(plan)}
    assert (found["deepfool"].recorded, found["deepfool"].own) == ("1", True)
    assert not found["saliency"].own
    assert "deepfool: these records are of version 1, here is " in found["deepfool"].words
    (copy.root / "results" / "tiny" / "plan.json").write_text(json.dumps(plan))
    for command in (("report", "tiny"), ("status", "tiny"), ("validate", "results")):
        said = copy.assay(*command, code=None).stdout
        assert said.count("deepfool: these records are of version 1, here is ") == 1, command
        assert said.count("saliency: these records are of version 1+captum==0.1, here is ") == 1, command
    assert "version 1, here is " in (copy.root / "results" / "tiny" / "leaderboard.md").read_text()
