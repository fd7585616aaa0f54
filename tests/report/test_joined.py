"""Suites joined into one table, and the Pareto mark.

Oracles: the definition of domination by brute force, the tables that the suites wrote, suites made by hand.
"""

from __future__ import annotations

import json
from math import isnan, nan

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.report.joined import joined
from benchmark.report.pareto import BEHIND, FRONT, OPEN, Axis, dominations, front_words, marks
from tests.conftest import REPOSITORY
from tests.report.test_combined import folder

RESULTS = REPOSITORY / "results"
AXES = [Axis("s", "s:clean", True), Axis("s", "s:error", False), Axis("t", "t:clean", True)]


@st.composite
def table(draw):
    n = draw(st.integers(1, 6))
    values = st.sampled_from([0.0, 0.25, 0.5, nan])
    data = {axis.name: draw(st.lists(values, min_size=n, max_size=n)) for axis in AXES}
    frame = pd.DataFrame(data, index=[f"m{i}" for i in range(n)])
    half = draw(st.sampled_from([0.05, 0.2]))
    for axis in AXES[:2]:
        frame[f"{axis.name}_low"], frame[f"{axis.name}_high"] = frame[axis.name] - half, frame[axis.name] + half
    return frame, half


def brute(frame, half):
    """Marks by the words of the definition."""
    found = {}
    for a in frame.index:
        compared, behind, sure = False, False, False
        for b in frame.index:
            suites = [
                s for s in "st" if not any(isnan(frame.at[m, x.name]) for m in (a, b) for x in AXES if x.suite == s)
            ]
            if a == b or not suites:
                continue
            compared = True
            axes = [axis for axis in AXES if axis.suite in suites]
            signs = [(1 if x.higher_is_better else -1) * (frame.at[b, x.name] - frame.at[a, x.name]) for x in axes]
            if all(sign >= 0 for sign in signs) and any(sign > 0 for sign in signs):
                behind = True
                wide = [abs(frame.at[b, x.name] - frame.at[a, x.name]) > 2 * half for x in axes if x.suite == "s"]
                sure = sure or any(wide)
        found[a] = "" if not compared else BEHIND if sure else OPEN if behind else FRONT
    return found


@settings(deadline=None)
@given(table())
def test_the_mark_is_the_definition(case):
    frame, half = case
    made = marks(frame, AXES)
    assert made == brute(frame, half)
    behind = {m for m, mark in made.items() if mark in (BEHIND, OPEN)}
    assert {each.worse for each in dominations(frame, AXES)} == behind
    lines = " ".join(front_words(dominations(frame, AXES), list(frame.index), made))
    assert all(model in lines for model in frame.index)


def test_somebody_is_on_the_front_of_models_with_the_same_axes():
    rng = np.random.default_rng(0)
    for _ in range(50):
        frame = pd.DataFrame(rng.integers(0, 3, (5, 3)) / 2, columns=[axis.name for axis in AXES], index=list("abcde"))
        assert FRONT in marks(frame, AXES).values()


def test_equal_models_do_not_dominate_one_another():
    frame = pd.DataFrame({axis.name: [0.5, 0.5] for axis in AXES}, index=["a", "b"])
    assert marks(frame, AXES) == {"a": FRONT, "b": FRONT}


@pytest.fixture(scope="module")
def boards():
    return joined([RESULTS / name for name in ("digits", "mri", "universal", "mri_sweep", "stripes")])


def test_suites_that_share_models_stand_in_one_table_and_tasks_apart(boards):
    assert [board.name for board in boards] == ["classification", "reconstruction", "classification"]
    assert [len(board.settings) for board in boards] == [2, 2, 1]
    assert list(boards[0].settings) == ["digits", "universal"]
    assert sorted(boards[0].frame["model"]) == ["digits_cnn", "digits_cnn_adv", "digits_mlp"]
    assert boards[0].frame["model"].is_unique


@pytest.mark.parametrize(("index", "suite", "ours", "theirs"), [
    (0, "digits", "clean_acc", "clean_acc"),
    (0, "digits", "robust_acc_worst", "robust_acc_worst"),
    (0, "universal", "robust_acc_worst", "robust_acc_worst"),
    (0, "universal", "rank", "rank"),
    (1, "mri", "amp_ratio_0.05", "amp_ratio_0.05"),
    (1, "mri_sweep", "psnr", "psnr"),
])  # fmt: skip
def test_cells_are_those_of_the_suites_own_tables(boards, index, suite, ours, theirs):
    own = pd.read_csv(RESULTS / suite / "leaderboard.csv").set_index("model")
    frame = boards[index].frame.set_index("model")
    for side in ("", "_low", "_high") if theirs != "rank" else ("",):
        made = frame[f"{suite}:{ours}{side}"].astype(float)
        for model, value in made.items():
            assert value == pytest.approx(own[theirs + side].get(model, nan), nan_ok=True), (model, side)


def test_explanation_quality_stands_beside_robustness(boards):
    explained = pd.read_csv(RESULTS / "digits" / "explanations.csv")
    real = explained[~explained["control"]].groupby("model")["efficient_mprt"].mean()
    frame = boards[0].frame.set_index("model")
    assert frame["digits:efficient_mprt"].to_dict() == pytest.approx(real.to_dict())
    assert "efficient_mprt" in next(line for line in boards[0].places if line.startswith("Compared"))
    assert "pixel_flipping" not in next(line for line in boards[0].places if line.startswith("Compared"))


def test_who_fails_the_gate_is_not_compared(boards):
    frame = boards[1].frame.set_index("model")
    assert frame.loc["zero_filled", "pareto"] == ""
    assert frame.loc["zero_filled", "mri:amp_ratio_0.05"] == 1.0  # shown all the same
    assert (frame["pareto"] == FRONT).any()


def test_a_suite_made_by_hand(tmp_path):
    """The first model has the better of both; all intervals that stand there are [0, 1] and [0.9, 1]."""
    made = folder(tmp_path, "one", ["a", "b"], [0.9, 0.5], [0.8, 0.4])
    plan = json.loads((made / "plan.json").read_text())
    plan |= {"cells": [], "entries": {"a": "ea", "b": "eb"}}
    plan["dataset"] |= {"n": 50}
    plan["suite"]["attacks"] = [{"name": "pgd", "use": "noise-linf", "budgets": ["1/10"]}]
    (made / "plan.json").write_text(json.dumps(plan))
    pd.read_csv(made / "leaderboard.csv").assign(rank=[1, 2]).to_csv(made / "leaderboard.csv", index=False)
    board = joined([made, tmp_path / "absent"])[0]
    assert board.frame["pareto"].tolist() == [FRONT, OPEN]
    assert "b is dominated by a on one (within the intervals: open)." in board.places
    assert "Ranks in one by robust_acc_worst: 1 a; 2 b (every place is decided)." in board.places
    assert board.about == {"one": "50 samples of digits, linf 1/10"}
    assert joined([tmp_path / "absent"]) == []
