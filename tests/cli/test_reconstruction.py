"""Reconstruction from the command line and from Python: a new entry, a suite, a comparison, faults in words."""

import pytest
import torch
from torch import nn

import benchmark
from benchmark.errors import UsageError

SUITE = """
title = "Tiny reconstruction"
task = "reconstruction"
task_params = {{ against = "plain" }}
entries = ["plain"]

[dataset]
use = "phantoms"
size = 16
samples = 4
params = {{ train = 4, val = 2, test = 4 }}

[threat]
norm = "l2"
eps = "0.05"
domain = "measurement"

[run]
chunk = 2
keep_inputs = "all"

[[attacks]]
name = "worst"
use = "measurement-l2"
budgets = ["0.01", "0.05"]
params = {{ steps = 4, starts = 1 }}

[[attacks]]
name = "transfer"
use = "measurement-transfer"
budgets = ["0.05"]
of = "worst"
sources = ["plain"]

[[attacks]]
name = "random"
use = "measurement-noise"
budgets = ["0.01", "0.05"]
{more}
"""


class Amplifies(nn.Module):
    def forward(self, y, physics):
        return 2 * physics.A_adjoint(y)


@pytest.fixture
def place(workplace, monkeypatch, tmp_path_factory):
    """The workplace's folder."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.chdir(workplace.root)
    return workplace.root


def suite(place, more=""):
    (place / "suites" / "tiny.toml").write_text(SUITE.format(more=more))


@pytest.mark.long
def test_a_new_entry_is_checked_run_and_compared(assay, place):
    suite(place)
    for name in ("plain", "other"):
        made, _ = assay("new", name, "--task", "reconstruction", "--input-shape", "2,16,16")
        assert "untrained" in made
    checked, _ = assay("check", "plain")
    assert "zero-filled" in checked
    assay("run", "tiny")
    said, _ = assay("run", "tiny", "--models", "other")
    assert "amp_ratio_0.05" in said
    assert "0 out of budget" in assay("report", "tiny")[0]
    again, _ = assay("run", "tiny", "--models", "other")
    assert "computed 0," in again
    assert "amp_worst_0.05" in assay("compare", "tiny", "plain", "other")[0]
    board = (place / "results" / "tiny" / "leaderboard.csv").read_text()
    assert "kspace" in board.splitlines()[0]
    assert "simulated (phantoms)" in board


def test_a_module_in_python(place, assay):
    """Oracle: twice the zero-filled image amplifies everything by exactly 2, whatever the direction."""
    suite(place)
    assay("new", "plain", "--task", "reconstruction", "--input-shape", "2,16,16")
    run = benchmark.evaluate(Amplifies(), "tiny", name="twice", out=place / "results")
    row = run.leaderboard.to_pandas().set_index("model").loc["twice"]
    assert row["amp_worst_0.05"] == pytest.approx(2, rel=1e-4)
    assert row["amp_ratio_0.05"] == pytest.approx(1, rel=1e-4)
    assert row["halluc_0.05"] == pytest.approx(0, abs=1e-4)
    with pytest.raises(UsageError, match="classifier"):
        benchmark.evaluate(Amplifies(), "tiny", one_logit=True)
    assert torch.get_default_dtype() == torch.float32


TRANSFER = '\n[[attacks]]\nname = "t2"\nuse = "measurement-transfer"\n'


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            '\n[[attacks]]\nname = "pgd"\nuse = "noise-l2"\nbudgets = ["0.1"]',
            "'noise-l2' accepts 'image', the task 'reconstruction' asks with 'measurement'",
        ),
        (TRANSFER + 'budgets = ["0.05"]', "name that probe in `of`"),
        (TRANSFER + 'budgets = ["0.02"]\nof = "worst"\nsources = ["plain"]', "runs at each of its budgets"),
        (TRANSFER + 'budgets = ["0.05"]\nof = "worst"\nsources = ["nobody"]', "nobody"),
    ],
)
def test_faults_of_a_suite_are_named(assay, place, more, said):
    suite(place, more)
    assay("new", "plain", "--task", "reconstruction", "--input-shape", "2,16,16")
    assert said in assay("run", "tiny", "--dry-run", code=2)[1]


def test_against_must_be_an_entry(assay, place):
    """Without the reference there is no accuracy gate."""
    suite(place)
    file = place / "suites" / "tiny.toml"
    file.write_text(file.read_text().replace('against = "plain"', 'against = "plane"'))
    assay("new", "plain", "--task", "reconstruction", "--input-shape", "2,16,16")
    assert "against = 'plane'" in assay("run", "tiny", "--dry-run", code=2)[1]


def test_a_size_is_needed(assay, place):
    suite(place)
    file = place / "suites" / "tiny.toml"
    file.write_text(file.read_text().replace("size = 16\n", ""))
    assay("new", "plain", "--task", "reconstruction", "--input-shape", "2,16,16")
    assert "needs `size`" in assay("run", "tiny", "--dry-run", code=2)[1]
