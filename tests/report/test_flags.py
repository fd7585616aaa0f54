"""Flags. Oracle: models made so that they must trip them, through a real suite; a linear model is the control.

And the rules, on records written by hand, counted on paper.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from benchmark.report.doubts import least
from benchmark.report.flags import MEANS, flags
from benchmark.store.record import strings
from tests.conftest import REPOSITORY, Workplace, write_entry
from tests.report.test_leaderboard import L2_MINIMAL, LINF, Made

MODELS = """
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn


class Last(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        if self.how == "saturated":
            return x * 1e4
        if self.how == "softmax":
            return x.softmax(1)
        if self.how == "randomised":
            return x + 0.02 * torch.rand_like(x)
        if self.how == "batched":
            return x - 0.02 * x.mean(0)
        if self.how == "counting":
            self.calls = getattr(self, "calls", 0) + 1
        return x


class InPlace(nn.Module):
    def forward(self, x):
        return x.mul_(0.99)


class Quantised(nn.Module):
    def forward(self, x):
        return (x * 7).round() / 7


def build(how="linear"):
    "Ridge regression on the training digits, in closed form."
    data = load_digits()
    x, y = data.data / 16, np.eye(10)[data.target]
    x = np.hstack([x, np.ones((len(x), 1))])
    w = np.linalg.solve(x.T @ x + np.eye(65), x.T @ y) * 10
    linear = nn.Linear(64, 10)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(w[:-1].T))
        linear.bias.copy_(torch.tensor(w[-1]))
    first = Quantised() if how == "quantised" else InPlace() if how == "in_place" else nn.Identity()
    return nn.Sequential(first, nn.Flatten(), linear, Last(how))
"""
EXPECTED = {
    "linear": "",
    "saturated": "zero-gradient black-box-stronger unbounded-fails",
    "softmax": "softmax-output",
    "randomised": "randomised",
    "quantised": "zero-gradient black-box-stronger unbounded-fails",
    "batched": "batch-dependent",
    "in_place": "changes-input",
    "counting": "stateful",
}
SUITE = f"""
entries = [{", ".join(f'"{name}"' for name in EXPECTED)}]
dataset = {{ use = "digits", samples = 80 }}
threat = {{ norm = "linf", eps = "0.1" }}

[[attacks]]
name = "pgd"
use = "foolbox:LinfPGD"
budgets = ["0.1"]
params = {{ steps = 80, rel_stepsize = 0.1, random_start = false }}

[[attacks]]
name = "pgd-60"
use = "foolbox:LinfPGD"
budgets = ["0.1"]
params = {{ steps = 60, rel_stepsize = 0.1, random_start = false }}

[[attacks]]
name = "unbounded"
use = "foolbox:LinfPGD"
budgets = ["1"]
params = {{ steps = 40, rel_stepsize = 0.1, random_start = false }}

[[attacks]]
name = "square"
use = "torchattacks:Square"
budgets = ["0.1"]
params = {{ n_queries = 300 }}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("flags"))
    for name in EXPECTED:
        write_entry(place.root / "baselines" / name, MODELS, f'kwargs = {{ how = "{name}" }}')
    place.suite("doubtful", SUITE)
    ran = place.assay("run", "doubtful", "--workers", 1).stdout
    assert "Flags: " in ran
    assert "zero-gradient (" in ran
    done = place.assay("report", "doubtful")
    folder = place.root / "results" / "doubtful"
    return done.stdout, pd.read_csv(folder / "leaderboard.csv").set_index("model"), (folder / "leaderboard.md")


def test_each_model_trips_exactly_its_flags(ran):
    _, board, _ = ran
    assert board["flags"].fillna("").to_dict() == EXPECTED


def test_flags_are_said_in_words_with_their_numbers(ran):
    printed, board, markdown = ran
    text, printed = markdown.read_text(), " ".join(printed.split())
    right = int(board.loc["saturated", "n_correct"])
    words = f"the input gradient of the cross-entropy is zero, underflown or not finite for {right} of {right} right"
    number = re.search(r"^(\d+)\. \*\*zero-gradient\*\*: ", text, re.MULTILINE)
    assert number is not None
    assert f"   - saturated: {words}" in text[number.start() :]
    assert f" zero-gradient ({number[1]}) " in text.partition("\n\n- ")[0]  # in the table
    assert f"flag: saturated: zero-gradient: {words}" in printed
    assert "are broken by a black-box attack (square) and by no white-box one (pgd, pgd-60)" in printed
    assert "attacks without an effective budget (unbounded) leave " in printed
    assert "- linear: " not in text


def test_the_new_columns_are_there(ran):
    _, board, _ = ran
    row = board.loc["linear"]
    assert 0 < row["asr_8bit_pgd_0.1"] <= row["asr_pgd_0.1"]
    assert 1 < row["queries_square_0.1_low"] < row["queries_square_0.1"] < row["queries_square_0.1_high"] < 303
    assert row["n_queries_square_0.1"] == row["n_correct"]
    assert "queries_pgd_0.1" not in board


def test_every_flag_is_explained():
    """The table of docs/evaluation.md against the names in the program, and those that a test here raises."""
    text = (REPOSITORY / "docs" / "evaluation.md").read_text().partition("\n## Flags\n")[2].partition("\n## ")[0]
    explained = set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE))
    assert explained == set(MEANS) - {"accuracy-gate"}
    assert explained == {name for names in EXPECTED.values() for name in names.split()} | {
        "more-steps-gain",
        "cannot-cross",
    }


# -- the rules -----------------------------------------------------------------------------------------------------

WHITE, BLACK = LINF | {"knowledge": "white-box"}, LINF | {"knowledge": "score"}


def probe(name, *budgets, threat=WHITE, use="noise-linf", **more):
    return {"name": name, "use": use, "budgets": budgets, "threat": threat} | more


def raised(made):
    made.report()
    return {flag.name: flag.words for flag in flags(made.results)}


def broken(*which, n=10, norm=0.1):
    return [norm if i in which else None for i in range(n)]


def test_what_is_little():
    assert [least(n) for n in (10, 1000, 1001, 1500, 5000)] == [2, 2, 3, 3, 10]


@pytest.mark.parametrize(("black", "flagged"), [((0, 1, 5), False), ((0, 5, 6), True)])
def test_black_box_beats_white_box_from_two_samples_on(tmp_path, black, flagged):
    made = Made(tmp_path, chunks=(10,), attacks=[probe("pgd", "1/10"), probe("square", "1/10", threat=BLACK)])
    made.clean("a", [1] * 10)
    made.attack("a", "pgd", "1/10", broken(0, 1))
    made.attack("a", "square", "1/10", broken(*black))
    found = raised(made)
    assert set(found) == ({"black-box-stronger"} if flagged else set())
    if flagged:
        assert "at linf 0.1, 2 of 10 samples" in found["black-box-stronger"]


def test_black_box_is_compared_at_the_same_budget_and_norm_only(tmp_path):
    l2 = L2_MINIMAL | {"knowledge": "decision"}
    attacks = [probe("pgd", "1/10"), probe("square", "1/5", threat=BLACK), probe("boundary", threat=l2)]
    made = Made(tmp_path, chunks=(10,), attacks=attacks)
    made.clean("a", [1] * 10)
    made.attack("a", "pgd", "1/10", broken(0))
    made.attack("a", "square", "1/5", broken(*range(9), norm=0.2))
    made.attack("a", "boundary", None, broken(*range(9), norm=0.1), norm="l2")
    assert raised(made) == {}


def test_a_black_box_success_of_a_small_norm_counts_at_the_white_boxs_budget(tmp_path):
    minimal = {"norm": "linf", "kind": "minimal", "control": False, "knowledge": "decision"}
    made = Made(tmp_path, chunks=(10,), attacks=[probe("pgd", "1/10"), probe("hsj", threat=minimal)])
    made.clean("a", [1] * 10)
    made.attack("a", "pgd", "1/10", broken(0))
    made.attack("a", "hsj", None, [0.05, 0.05, 0.05, *[0.3] * 7])
    assert "2 of 10" in raised(made)["black-box-stronger"]


def test_what_a_white_box_attack_broke_at_a_smaller_budget_is_broken_here_too(tmp_path):
    attacks = [probe("pgd", "1/10"), probe("unbounded", "1/5"), probe("square", "1/5", threat=BLACK)]
    made = Made(tmp_path, chunks=(10,), attacks=attacks)
    made.clean("a", [1] * 10)
    made.attack("a", "pgd", "1/10", broken(*range(6)))
    made.attack("a", "unbounded", "1/5", broken(0, 1))
    made.attack("a", "square", "1/5", broken(*range(2, 7), norm=0.2))
    assert raised(made) == {}


def steps(name, steps):
    return probe(name, "1/10", use="foolbox:LinfPGD", params={"steps": steps})


@pytest.mark.parametrize(
    ("names", "verdicts", "flagged"),
    [
        ((10, 100), (broken(0, n=20), broken(*range(8), n=20)), True),  # 7 more, none lost: p = 1/128
        ((10, 100), (broken(0, n=20), broken(*range(7), n=20)), False),  # 6 more may be luck
        ((10, 100), (broken(*range(8), n=20), broken(0, n=20)), False),  # the shorter one breaks more
    ],
)
def test_more_steps_still_gain(tmp_path, names, verdicts, flagged):
    made = Made(tmp_path, chunks=(20,), attacks=[steps("long", names[1]), steps("short", names[0])])
    made.clean("a", [1] * 20)
    made.attack("a", "short", "1/10", verdicts[0])
    made.attack("a", "long", "1/10", verdicts[1])
    assert ("more-steps-gain" in raised(made)) == flagged


@pytest.mark.parametrize(
    ("tried", "flagged"),
    [
        ({8: 1.0, 9: 0.0}, True),  # half of the 12 that were left: 6 more of 20
        ({8: 0.0, 9: 0.0}, False),
        ({8: 1.0}, True),  # one sample is enough to try
        ({i: float(i == 8) for i in range(8, 20)}, False),  # 1 of 12: one sample is no gain
        ({i: float(i < 10) for i in range(8, 20)}, True),  # 2 of 12
    ],
)
def test_ten_more_steps_on_a_few_samples(tmp_path, tried, flagged):
    made = Made(tmp_path, chunks=(20,), attacks=[steps("pgd", 20)])
    made.clean("a", [1] * 20)
    rows = {
        "status": strings(["ok"] * 20),
        "success": np.arange(20) < 8,
        "norm_linf": np.where(np.arange(20) < 8, 0.1, 0.0),
        "more_steps": np.array([tried.get(i, np.nan) for i in range(20)]),
    }
    made.cell("attack", "a", 0, rows, probe="pgd", eps="1/10", n=20)
    words = raised(made)
    assert set(words) == ({"more-steps-gain"} if flagged else set())
    if flagged:
        assert (
            f"ten more steps of pgd break {int(sum(tried.values()))} of {len(tried)} samples"
            in words["more-steps-gain"]
        )


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"steps": 20}, ""),
        ({"steps": 10, "rel_stepsize": 0.1}, ""),  # exactly to the border
        (
            {"steps": 20, "rel_stepsize": 0.01 / 0.3},
            "at linf 0.1 (and at 1 smaller budgets), the steps of pgd together cover 0.67",
        ),
        ({"steps": 20, "abs_stepsize": 0.0026}, "at linf 0.1, the steps of pgd together cover 0.52"),
    ],
)
def test_an_attack_whose_steps_are_too_short_cannot_cross(tmp_path, params, words):
    made = Made(tmp_path, chunks=(5,), attacks=[probe("pgd", "1/20", "1/10", use="foolbox:LinfPGD", params=params)])
    made.clean("a", [1] * 5)
    for eps in ("1/20", "1/10"):
        made.attack("a", "pgd", eps, broken(n=5))
    found = raised(made)
    assert words in found.get("cannot-cross", "") if words else found == {}


def test_only_the_two_longest_say_whether_more_steps_still_gain(tmp_path):
    made = Made(tmp_path, chunks=(20,), attacks=[steps("a10", 10), steps("a40", 40), steps("a99", 99)])
    made.clean("a", [1] * 20)
    for name, found in (("a10", broken(n=20)), ("a40", broken(*range(9), n=20)), ("a99", broken(*range(9), n=20))):
        made.attack("a", name, "1/10", found)
    assert raised(made) == {}


def test_the_library_default_is_a_number_of_steps_too(tmp_path):
    default = probe("pgd", "1/10", use="foolbox:LinfPGD")  # 40 steps
    other = probe("other", "1/10", use="foolbox:LinfPGD", params={"steps": 100, "rel_stepsize": 0.5})
    made = Made(tmp_path, chunks=(20,), attacks=[default, steps("long", 100), other])
    made.clean("a", [1] * 20)
    made.attack("a", "pgd", "1/10", broken(n=20))
    made.attack("a", "long", "1/10", broken(*range(9), n=20))
    made.attack("a", "other", "1/10", broken(n=20))
    assert "long breaks 9 and pgd 0 of 20" in raised(made)["more-steps-gain"]


def test_unbounded_attacks_count_together_and_must_break_everything_that_was_right(tmp_path):
    for name, found, flagged in (("some", [1.0, 1.0, None], True), ("all", [1.0, 1.0, 3.0], False)):
        deepfool = {"name": "deepfool", "use": "deepfool", "threat": L2_MINIMAL | {"knowledge": "white-box"}}
        made = Made(tmp_path / name, chunks=(4,), attacks=[probe("pgd", "1/10", "1"), deepfool])
        made.clean("a", [1, 1, 1, 0])
        made.attack("a", "pgd", "1/10", [None] * 4)
        made.attack("a", "pgd", "1", [0.9, None, None, None])
        made.attack("a", "deepfool", None, [None, *found[1:], None], norm="l2")
        words = raised(made)
        assert set(words) == ({"unbounded-fails"} if flagged else set())
        if flagged:
            assert "(pgd, deepfool) leave 1 of 3 right samples" in words["unbounded-fails"]


def test_a_bounded_attack_need_not_break_everything(tmp_path):
    made = Made(tmp_path, chunks=(4,), attacks=[probe("pgd", "1/10")])
    made.clean("a", [1] * 4)
    made.attack("a", "pgd", "1/10", [None] * 4)
    assert raised(made) == {}
