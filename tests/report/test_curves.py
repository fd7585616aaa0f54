"""Curves, areas, optimality, success after rounding and queries. Oracle: closed forms, counted on paper."""

from __future__ import annotations

from math import isnan

import numpy as np
import pandas as pd
import pytest

from benchmark.drawing.curves import as_png, draw_curves
from benchmark.intervals import wilson
from benchmark.report import write
from benchmark.report.curves import curves
from benchmark.store.record import strings
from tests.report.test_leaderboard import L2_MINIMAL, LINF, Made, pgd


def at(made, attack, model="a", norm="linf"):
    points = pd.read_csv(made.store.folder / "curves.csv")
    part = points[(points["model"] == model) & (points["attack"] == attack) & (points["norm"] == norm)]
    return part.set_index("eps")


def areas(made, norm="linf"):
    table = pd.read_csv(made.store.folder / "curve_area.csv")
    return table[table["norm"] == norm].set_index(["model", "attack"])


def two_attacks(folder, **second):
    made = Made(folder, chunks=(4,), attacks=[pgd("1/10", "1/5"), pgd("1/10", "1/5", name="apgd", **second)])
    made.clean("a", [1, 1, 1, 0])
    made.attack("a", "pgd", "1/10", [0.1, None, None, None])
    made.attack("a", "pgd", "1/5", [0.2, 0.15, None, None])
    made.attack("a", "apgd", "1/10", [None, 0.05, None, None])
    made.attack("a", "apgd", "1/5", [None, None, 0.2000000001, None])  # one rounding above its budget
    made.report()
    return made


def test_a_curve_falls_where_the_smallest_verified_norm_lies(tmp_path):
    made = two_attacks(tmp_path)
    curve = at(made, "pgd")
    assert list(curve.index) == sorted({*np.round(np.linspace(0, 0.2, 41), 6), 0.1, 0.2})
    assert curve.loc[0.0, "robust_acc"] == 0.75  # one is wrong already
    assert curve.loc[0.095, "robust_acc"] == 0.75
    assert curve.loc[0.1, "robust_acc"] == 0.5
    assert curve.loc[0.145, "robust_acc"] == 0.5
    assert curve.loc[0.15, "robust_acc"] == 0.25
    assert curve.loc[0.1, ["low", "high"]].tolist() == pytest.approx(wilson(2, 4), abs=1e-6)
    assert (curve["n"] == 4).all()
    assert at(made, "apgd").loc[0.2, "robust_acc"] == 0.25
    together = at(made, "worst")["robust_acc"]
    assert together.loc[[0.045, 0.05, 0.1, 0.2]].tolist() == [0.75, 0.5, 0.25, 0]
    assert (together <= at(made, "pgd")["robust_acc"]).all()


def test_area_is_the_mean_distance_and_optimality_is_attackbenchs(tmp_path):
    table = areas(two_attacks(tmp_path))
    a_pgd, a_apgd, best = (0.1 + 0.15 + 0.2 + 0) / 4, (0.2 + 0.05 + 0.2 + 0) / 4, (0.1 + 0.05 + 0.2 + 0) / 4
    assert table["area"].tolist() == pytest.approx([a_pgd, a_apgd, best], abs=1e-6)
    most = 0.75 * 0.2
    expected = [1 - (a - best) / (most - best) for a in (a_pgd, a_apgd, best)]
    assert table["optimality"].tolist() == pytest.approx(expected, abs=1e-5)
    assert (table["d_max"] == 0.2).all()
    curve = at(two_attacks(tmp_path / "again"), "worst")["robust_acc"]
    steps = np.diff(curve.index.to_numpy())
    assert float((curve.to_numpy()[:-1] * steps).sum()) == pytest.approx(best, abs=1e-4)  # the integral itself


def test_the_reference_is_a_version_of_all_attacks_that_were_run(tmp_path):
    one, same = (areas(two_attacks(tmp_path / name))["reference"].unique() for name in "ab")
    other = areas(two_attacks(tmp_path / "c", params={"draws": 2}))["reference"].unique()
    assert len(one) == len(other) == 1
    assert one[0] == same[0] != other[0]
    assert len(one[0]) == 12


def test_a_missing_verdict_blanks_the_curve_from_where_it_matters(tmp_path):
    made = Made(tmp_path, chunks=(4,), attacks=[pgd("1/10")])
    made.clean("a", [1, 1, 1, 0])
    made.attack("a", "pgd", "1/10", [0.05, "nan", None, None])
    made.report()
    point = at(made, "pgd").loc[0.1]
    assert isnan(point["robust_acc"])
    assert (point["low"], point["high"]) == (0.25, 0.5)
    area = areas(made).loc[("a", "pgd")]
    assert isnan(area["area"])
    assert isnan(area["optimality"])
    assert (area["area_low"], area["area_high"]) == pytest.approx(((0.05 + 0 + 0.1) / 4, (0.05 + 0.1 + 0.1) / 4))


def test_an_unlimited_budget_does_not_stretch_the_curve_and_norms_stand_apart(tmp_path):
    deepfool = {"name": "deepfool", "use": "deepfool", "threat": L2_MINIMAL}
    made = Made(tmp_path, chunks=(2,), attacks=[pgd("1/10"), pgd("1", name="unbounded"), deepfool])
    made.clean("a", [1, 1])
    made.attack("a", "pgd", "1/10", [0.1, None])
    made.attack("a", "unbounded", "1", [0.9, 0.08])
    made.attack("a", "deepfool", None, [1.5, 3.0], norm="l2")
    made.report()
    assert (areas(made)["d_max"] == 0.1).all()
    assert at(made, "worst").loc[0.1, "robust_acc"] == 0
    assert (areas(made, "l2")["d_max"] == 3).all()  # no budget was given: the largest norm that was needed
    assert areas(made, "l2").loc[("a", "deepfool"), "area"] == pytest.approx(2.25)
    stems = [file.stem for file in sorted((made.store.folder / "figures").glob("*.png"))]
    assert stems == ["curves_l2", "curves_linf"]


def test_an_attack_on_fewer_samples_is_measured_against_the_best_on_those(tmp_path):
    made = Made(tmp_path, chunks=(2, 2), attacks=[pgd("1/10"), pgd("1/10", name="few", samples=2)])
    made.clean("a", [1, 1], [1, 1])
    made.attack("a", "pgd", "1/10", [0.02, 0.02], [0.02, 0.02])
    made.attack("a", "few", "1/10", [0.06, 0.02])
    made.report()
    row = areas(made).loc[("a", "few")]
    assert row["n"] == 2
    assert row["optimality"] == pytest.approx(1 - (0.04 - 0.02) / (0.1 - 0.02))


def test_a_suite_without_attacks_has_no_curves_and_old_ones_go(tmp_path):
    made = two_attacks(tmp_path)
    folder = made.store.folder
    made.plan["cells"] = [cell for cell in made.plan["cells"] if cell["kind"] == "clean"]
    made.plan["suite"]["attacks"] = []
    made.report()
    assert not list(folder.glob("curve*.csv"))
    assert not list((folder / "figures").glob("curves_*"))


def test_a_picture_is_drawn_once(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "picture", lambda draw, note: as_png(draw(), note))  # not the copy that tests share
    made = two_attacks(tmp_path)
    file = made.store.folder / "figures" / "curves_linf.png"
    before = file.stat().st_mtime_ns
    made.report()
    assert file.stat().st_mtime_ns == before
    file.write_bytes(b"no picture")
    made.report()
    assert file.read_bytes()[:4] == b"\x89PNG"


def test_the_picture_has_a_panel_a_model_and_a_line_an_attack(tmp_path):
    made = two_attacks(tmp_path)
    figure = draw_curves(curves(made.results).points, "linf", {"apgd"}, 0.1)
    (panel,) = figure.axes
    assert panel.get_title() == "a"
    assert [line.get_label() for line in panel.lines[:3]] == ["pgd", "apgd", "all together"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["pgd", "apgd", "all together"]


# -- columns of the leaderboard ------------------------------------------------------------------------------------


def test_success_after_rounding_has_the_denominator_of_success(tmp_path):
    made = Made(tmp_path, chunks=(4,), attacks=[pgd("1/10", "1/5")])
    made.clean("a", [1, 1, 1, 0])
    for eps, norms, kept in (("1/10", [0.1, 0.1, 0, 0], [1, 0, 0, 0]), ("1/5", [0, 0, 0.2, 0], [0, 0, 1, 0])):
        rows = {"status": strings(["ok"] * 4), "success": np.array(norms) > 0, "norm_linf": np.array(norms, float)}
        made.cell("attack", "a", 0, rows | {"success_8bit": np.array(kept, bool)}, probe="pgd", eps=eps)
    row = made.report().loc["a"]
    assert (row["asr_pgd_0.1"], row["asr_8bit_pgd_0.1"]) == pytest.approx((2 / 3, 1 / 3))
    assert (row["asr_pgd_0.2"], row["asr_8bit_pgd_0.2"]) == pytest.approx((1, 2 / 3))  # what 0.1 kept, 0.2 keeps
    assert (row["asr_8bit_pgd_0.1_low"], row["asr_8bit_pgd_0.1_high"]) == pytest.approx(wilson(1, 3))


def test_queries_are_counted_over_attacked_samples_of_black_box_attacks(tmp_path):
    black = LINF | {"knowledge": "score"}
    made = Made(tmp_path, chunks=(4,), attacks=[pgd("1/10"), pgd("1/10", name="square", threat=black)])
    made.clean("a", [1, 1, 1, 0])
    for probe in ("pgd", "square"):
        rows = {"status": strings(["ok"] * 4), "success": np.zeros(4, bool), "norm_linf": np.zeros(4)}
        made.cell("attack", "a", 0, rows | {"forwards": np.array([10.0, 20, 60, 1])}, probe=probe, eps="1/10")
    row = made.report().loc["a"]
    assert row["queries_square_0.1"] == 30
    assert row["n_queries_square_0.1"] == 3
    assert np.isnan([row["queries_square_0.1_low"], row["queries_square_0.1_high"]]).all()  # of three values none
    assert "queries_pgd_0.1" not in row.index
    page = (made.store.folder / "leaderboard.md").read_text()
    assert "| a | 30.000 |" in page
    assert "No interval (fewer than 6 samples): queries_square_0.1 of a." in page
