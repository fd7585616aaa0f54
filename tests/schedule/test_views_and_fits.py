"""Cells that judge what they fit, under several views, and reports of cells that failed. Oracle: counts by hand."""

import pandas as pd

PLUGIN = """
from typing import Any, ClassVar
import numpy as np
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.reported import Column


@attacks.register("seen")
class Seen(Attack):
    fits: ClassVar[bool] = True
    judges_fit: ClassVar[bool] = True
    whole_batch: ClassVar[bool] = True
    break_fit: bool = False
    _view: int = 0

    @property
    def threat(self):
        return Threat(norm="linf", kind="fixed")

    def views(self):
        return 3

    def at_view(self, view):
        other = self.model_copy()
        other._view = view
        return other

    def columns(self):
        moved = lambda rows: np.asarray(rows["norm_linf"], dtype=float)
        shifted = lambda rows: np.asarray(rows["norm_linf"] > 0.07, dtype=float)
        rate = Column("shifted", "rate", shifted)
        return (Column("moved", "mean", moved), Column("moved_train", "mean", moved, kind="fit"), rate)

    def fit(self, model, inputs, labels, *, eps, generator):
        if self.break_fit:
            raise RuntimeError("no fit today")
        return {"step": np.asarray(eps / 2)}

    def run(self, model, inputs, labels, *, eps, generator, fitted=None):
        step = float(fitted["step"]) * self._view / 2
        return Perturbed((inputs - step).clamp(0, 1), reference=inputs)
"""

SUITE = """
entries = ["one"]
dataset = { use = "digits", samples = 10 }
run = { chunk = 5, batch_size = 4 }

[[attacks]]
name = "seen"
use = "seen"
budgets = ["0.2"]
fit_samples = 7
params = { break_fit = BREAK }
"""


def test_every_view_of_every_sample_is_a_row_and_fits_are_judged_too(workplace):
    (workplace.root / "seen.py").write_text(PLUGIN)
    workplace.suite("seen", SUITE.replace("BREAK", "false"))
    workplace.assay("run", "seen", "--include", "seen.py", "--workers", 1)
    rows = pd.read_parquet(workplace.root / "results/seen/records.parquet")
    judged = rows[rows["reference_correct"].notna()]
    assert len(judged) == 3 * (10 + 7)
    assert sorted(judged["view"].unique()) == [0, 1, 2]
    assert (judged.groupby("view")["norm_linf"].max().round(6).tolist()) == [0.0, 0.05, 0.1]
    assert "confidence_perturbed" not in judged.dropna(axis=1, how="all"), "of views it is most bytes"
    workplace.assay("report", "seen", "--include", "seen.py")
    board = pd.read_csv(workplace.root / "results/seen/leaderboard.csv").iloc[0]
    assert board["n_moved_seen_0.2"] == 30
    assert board["n_moved_train_seen_0.2"] == 21
    assert abs(board["moved_seen_0.2"] - 0.05) < 1e-5
    assert abs(board["shifted_seen_0.2"] - 1 / 3) < 1e-5, "a rate over views is a mean, one of three views"
    workplace.assay("report", "seen")  # a stranger's plugin is not here: its own columns go, all others stay
    again = pd.read_csv(workplace.root / "results/seen/leaderboard.csv").iloc[0]
    assert "moved_seen_0.2" not in again
    assert again["robust_acc_seen_0.2"] == board["robust_acc_seen_0.2"]


def test_a_fit_that_fails_leaves_a_report(workplace):
    (workplace.root / "seen.py").write_text(PLUGIN)
    workplace.suite("seen", SUITE.replace("BREAK", "true"))
    done = workplace.assay("run", "seen", "--include", "seen.py", "--workers", 1, code=1)
    assert "no fit today" in done.stdout
    board = pd.read_csv(workplace.root / "results/seen/leaderboard.csv").iloc[0]
    assert board["failed"] == 3
    assert pd.isna(board["moved_seen_0.2"])
