"""Tables from records written by hand. Oracle: closed forms, counted on paper in each test."""

from __future__ import annotations

import csv
import io
from math import isnan

import numpy as np
import pytest

from benchmark import intervals, stats
from benchmark.errors import NoRecordsError
from benchmark.intervals import wilson
from benchmark.report.write import write_report
from benchmark.spec.suite import SuiteSpec
from benchmark.store.folder import Store
from benchmark.store.record import Record, strings
from benchmark.tasks.base import tasks

LINF = {"norm": "linf", "kind": "fixed", "control": False}
L2_MINIMAL = {"norm": "l2", "kind": "minimal", "control": False}


class Made:
    """A results folder made by hand: cells are added one by one, then reported."""

    def __init__(self, folder, models=("a",), chunks=(2, 2), *, attacks=(), threat=None, explainers=(), **suite):
        self.store, self.chunks, self.models = Store(folder / "made"), chunks, models
        self.threats = {probe["name"]: probe.pop("threat") for probe in attacks}
        spec = SuiteSpec(
            name="made",
            dataset={"use": "digits"},
            entries=models,
            attacks=attacks,
            threat=threat,
            explainers=[{"name": name, "use": "random"} for name in explainers],
            metrics=[{"name": "sparseness", "use": "sparseness"}] if explainers else [],
            **suite,
        )
        self.plan = {
            "plan_version": 1,
            "suite": spec.model_dump(mode="json"),
            "task": tasks.make("classification", {"per_class": 0}).identity(),
            "dataset": {"digest": "d", "classes": [str(k) for k in range(10)], "n": sum(chunks)},
            "entries": dict.fromkeys(models, "e"),
            "explainers": {name: {"use": "random", "control": True} for name in explainers},
            "metrics": {"sparseness": {"use": "sparseness", "higher_is_better": None}} if explainers else {},
            "cells": [],
        }
        self.plan["suite"]["task_params"] = {"per_class": 0}

    def cell(self, kind, model, chunk, rows=None, *, probe="", eps=None, metric="", status="done", n=None, name=None):
        """One planned cell; ``rows`` None leaves it without a record unless ``status`` says how it ended."""
        start = sum(self.chunks[:chunk])
        samples = [f"s{i}" for i in range(start, start + (n or self.chunks[chunk]))]
        name = name or f"{kind}-{model}-{probe}-{eps}-{metric}-{chunk}".replace("/", "_")
        self.plan["cells"].append(
            {"hash": name, "kind": kind, "model": model, "probe": probe, "metric": metric, "eps": eps}
            | {"n": len(samples), "threat": {"domain": "image"} | self.threats.get(probe, {})}
        )
        if rows is not None or status != "done":
            columns = {} if rows is None else {"sample": strings(samples), **rows}
            reason = "" if status == "done" else "Error: =1+1 <b>boom</b> | `x` [link](http://x)"
            spec = {"samples": samples, "kind": kind, "model": model}
            self.store.write(Record(hash=name, spec=spec, status=status, reason=reason, rows=columns))

    def clean(self, model, *chunks, group=None):
        for i, correct in enumerate(chunks):
            if isinstance(correct, str):
                self.cell("clean", model, i, status=correct)
                continue
            right = np.array(correct, bool)
            rows = {"label": np.zeros(len(right), int), "pred_clean": np.where(right, 0, 1), "correct": right}
            if group:
                rows["group"] = strings(group[i])
            self.cell("clean", model, i, rows)

    def attack(self, model, probe, eps, *chunks, norm="linf", **options):
        """Per chunk: a list of norms of successes, None for a sample that held, or a status such as "nan"."""
        for i, verdicts in enumerate(chunks):
            if verdicts is None or isinstance(verdicts, str):
                self.cell("attack", model, i, probe=probe, eps=eps, status=verdicts or "done", **options)
                continue
            won = [isinstance(v, float) for v in verdicts]
            rows = {
                "status": strings([v if isinstance(v, str) else "ok" for v in verdicts]),
                "success": np.array(won),
                f"norm_{norm}": np.array([v if isinstance(v, float) else 0.0 for v in verdicts]),
            }
            self.cell("attack", model, i, rows, probe=probe, eps=eps, n=len(verdicts), **options)

    def report(self):
        self.store.write_plan(self.plan)
        results, board, explained, _ = write_report(self.store.folder)
        self.results, self.explained = results, explained
        return board.set_index("model")


def pgd(*budgets, name="pgd", **more):
    return {"name": name, "use": "noise-linf", "budgets": budgets, "threat": LINF} | more


def shown(row, name):
    return row[name], row[f"{name}_low"], row[f"{name}_high"]


def test_rates_have_their_own_denominators(tmp_path):
    made = Made(tmp_path, attacks=[pgd("1/10", "1/5")], threat={"norm": "linf", "eps": "1/5"})
    made.clean("a", [1, 1], [1, 0])
    made.attack("a", "pgd", "1/10", [0.1, None], [None, None])
    made.attack("a", "pgd", "1/5", [None, None], [0.2, None])
    row = made.report().loc["a"]
    assert (row["n"], row["n_correct"]) == (4, 3)
    assert shown(row, "clean_acc") == (0.75, *wilson(3, 4))
    assert shown(row, "robust_acc_pgd_0.1") == (0.5, *wilson(2, 4))
    assert shown(row, "asr_pgd_0.1") == pytest.approx((1 / 3, *wilson(1, 3)))
    # broken at 0.1 is broken at 0.2 too, although that run did not find it: curves are monotone
    assert shown(row, "robust_acc_pgd_0.2") == (0.25, *wilson(1, 4))
    assert shown(row, "robust_acc_worst") == shown(row, "robust_acc_pgd_0.2")
    assert row["rank"] == 1


def test_the_worst_case_combines_per_sample_and_within_one_norm(tmp_path):
    deepfool = {"name": "deepfool", "use": "deepfool", "budgets": ["1"], "threat": L2_MINIMAL}
    attacks = [pgd("1/10"), pgd("1/10", name="apgd"), pgd("1/10", name="noise"), deepfool]
    made = Made(tmp_path, chunks=(4,), attacks=attacks, threat={"norm": "linf", "eps": "1/10"})
    made.clean("a", [1, 1, 1, 1])
    made.attack("a", "pgd", "1/10", [0.1, None, None, None])
    made.attack("a", "apgd", "1/10", [None, 0.1, None, None])
    made.attack("a", "noise", "1/10", [None, None, None, None])
    made.attack("a", "deepfool", None, [0.5, 0.5, 2.0, 3.0], norm="l2")
    row = made.report().loc["a"]
    assert row["robust_acc_worst"] == 0.5
    assert row["robust_acc_deepfool_1"] == 0.5
    assert row["asr_deepfool"] == 1
    assert row["asr_deepfool_1"] == 0.5
    assert isnan(row["median_l2_deepfool"])  # of four successes there is no median to print
    assert row["n_median_l2_deepfool"] == 4
    assert "robust_acc_deepfool" not in row.index


def test_a_minimal_norm_attack_of_the_headline_norm_counts_within_eps(tmp_path):
    deepfool = {"name": "deepfool", "use": "deepfool", "threat": L2_MINIMAL}
    made = Made(tmp_path, attacks=[deepfool], threat={"norm": "l2", "eps": "1"})
    made.clean("a", [1, 1], [1, 1])
    made.attack("a", "deepfool", None, [0.5, 1.0], [1.5, None], norm="l2")
    row = made.report().loc["a"]
    assert row["robust_acc_worst"] == 0.5
    assert isnan(row["median_l2_deepfool"])
    assert row["n_median_l2_deepfool"] == 3  # the successes
    assert row["asr_deepfool"] == 0.75


@pytest.mark.parametrize("lost", ["nan", "out_of_budget"])
def test_a_sample_without_a_verdict_blanks_the_rate_and_the_rank(tmp_path, lost):
    made = Made(tmp_path, ("a", "b"), attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"})
    for model in ("a", "b"):
        made.clean(model, [1, 1], [1, 1])
    made.attack("a", "pgd", "1/10", [0.1, None], [lost, None])
    made.attack("b", "pgd", "1/10", [0.1, None], [None, None])
    board = made.report()
    row = board.loc["a"]
    for name, bounds in (("robust_acc_worst", (0.5, 0.75)), ("asr_pgd_0.1", (0.25, 0.5))):
        assert isnan(row[name])
        assert (row[f"{name}_low"], row[f"{name}_high"]) == bounds
    assert row[lost] == 1
    assert board.index.tolist() == ["b", "a"]  # unranked below
    assert board["rank"].isna().tolist() == [False, True]


@pytest.mark.parametrize("end", ["failed", "skipped", None])
def test_a_lost_attack_chunk_leaves_bounds(tmp_path, end):
    made = Made(tmp_path, attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"})
    made.clean("a", [1, 1], [1, 0])
    made.attack("a", "pgd", "1/10", [0.1, None], end)
    row = made.report().loc["a"]
    assert isnan(row["robust_acc_worst"])
    # of the lost chunk one sample was wrong before, so only one is open
    assert (row["robust_acc_worst_low"], row["robust_acc_worst_high"]) == (0.25, 0.5)
    assert row[end or "missing"] == 1


def test_a_lost_clean_chunk_leaves_bounds_everywhere(tmp_path):
    """Whether those samples are right is unknown, so they are open in the success rate's denominator too."""
    made = Made(tmp_path, ("a", "b"), attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"})
    made.clean("a", [1, 1], "failed")
    made.clean("b", [1, 1], [1, 1])
    made.attack("a", "pgd", "1/10", [0.1, None], "failed")
    made.attack("b", "pgd", "1/10", [0.1, None], [None, None])
    row = made.report().loc["a"]
    for name, bounds in (
        ("clean_acc", (0.5, 1.0)),
        ("robust_acc_pgd_0.1", (0.25, 0.75)),
        ("robust_acc_worst", (0.25, 0.75)),
        ("asr_pgd_0.1", (0.25, 0.75)),
    ):
        assert isnan(row[name]), name
        assert (row[f"{name}_low"], row[f"{name}_high"]) == bounds, name


def test_nothing_but_failures_still_gives_a_row(tmp_path):
    made = Made(tmp_path, attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"}, explainers=["random"])
    made.clean("a", "failed", "failed")
    made.attack("a", "pgd", "1/10", "failed", "failed")
    for chunk in (0, 1):
        made.cell("explain", "a", chunk, probe="random", status="failed")
        made.cell("score", "a", chunk, probe="random", metric="sparseness", status="failed")
    row = made.report().loc["a"]
    for name in ("clean_acc", "robust_acc_worst"):
        assert isnan(row[name])
        assert (row[f"{name}_low"], row[f"{name}_high"]) == (0, 1)
    assert (row["n"], row["n_correct"], row["failed"]) == (4, 0, 8)
    assert np.isnan(made.explained["sparseness"]).all()
    assert made.explained["failed"].tolist() == [4]


def test_no_sample_right_and_all_samples_broken(tmp_path):
    made = Made(tmp_path, ("wrong", "broken"), attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"})
    made.clean("wrong", [0, 0], [0, 0])
    made.attack("wrong", "pgd", "1/10", [None, None], [None, None])
    made.clean("broken", [1, 1], [1, 1])
    made.attack("broken", "pgd", "1/10", [0.1, 0.1], [0.1, 0.1])
    board = made.report()
    assert board["robust_acc_worst"].tolist() == [0, 0]
    assert isnan(board.loc["wrong", "asr_pgd_0.1"])  # of none
    assert board.loc["wrong", "n_correct"] == 0
    assert board.loc["broken", "asr_pgd_0.1"] == 1
    assert board["rank"].tolist() == [1, 1]


def test_ranks_count_significantly_better_models_and_ties_share(tmp_path):
    made = Made(tmp_path, ("low", "high", "like"), chunks=(40,))
    made.clean("low", [0] * 20 + [1] * 20)
    made.clean("high", [1] * 40)
    made.clean("like", [1] * 39 + [0])
    board = made.report()
    assert board["rank"].to_dict() == {"high": 1, "like": 1, "low": 3}
    assert board.index.tolist() == ["high", "like", "low"]
    assert "robust_acc_worst" not in board  # a suite without attacks ranks by clean accuracy
    assert made.explained.empty


def test_attacks_without_a_headline_threat_do_not_rank(tmp_path):
    made = Made(tmp_path, attacks=[pgd("1/10")])
    made.clean("a", [1, 1], [1, 1])
    made.attack("a", "pgd", "1/10", [0.1, 0.1], [0.1, 0.1])
    row = made.report().loc["a"]
    assert (row["rank"], row["clean_acc"], row["robust_acc_pgd_0.1"]) == (1, 1, 0)
    assert "robust_acc_worst" not in row.index


def test_a_probe_on_fewer_samples_has_its_own_denominator(tmp_path):
    made = Made(tmp_path, attacks=[pgd("1/10", samples=3)], threat={"norm": "linf", "eps": "1/10"})
    made.clean("a", [1, 1], [1, 1])
    made.attack("a", "pgd", "1/10", [0.1, None], [None])
    row = made.report().loc["a"]
    assert shown(row, "robust_acc_pgd_0.1") == pytest.approx((2 / 3, *wilson(2, 3)))
    assert (row["n"], row["n_pgd"]) == (4, 3)


def test_probes_that_share_a_cell_count_each_sample_once(tmp_path):
    """Two names of one attack with the same settings have one hash, and so do two entries with the same content."""
    deepfool = {"use": "deepfool", "threat": L2_MINIMAL}
    made = Made(tmp_path, ("a", "copy"), chunks=(7,), attacks=[{"name": n, **deepfool} for n in ("one", "two")])
    rows = {"label": np.zeros(7, int), "pred_clean": np.zeros(7, int), "correct": np.ones(7, bool)}
    for model in ("a", "copy"):
        made.cell("clean", model, 0, rows, name="shared-clean")
        for probe in ("one", "two"):
            made.attack(model, probe, None, [0.5, 1.0, 1.5, 2.0, 6.0, 7.0, 8.0], norm="l2", name="shared")
    board = made.report()
    for model in ("a", "copy"):
        for probe in ("one", "two"):
            assert board.loc[model, f"n_median_l2_{probe}"] == 7
            # by the binomial, 2 / 2^7 lies outside the smallest and the largest, and 16 / 2^7 one further in
            assert shown(board.loc[model], f"median_l2_{probe}") == (2, 0.5, 8)


def test_models_cut_into_other_chunks_are_judged_on_the_same_samples(tmp_path):
    """An entry that an earlier run with another chunk size added."""
    made = Made(tmp_path, ("a", "guest"), chunks=(2, 2), attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"})
    made.clean("a", [1, 1], [1, 1])
    made.attack("a", "pgd", "1/10", [0.1, None], [None, None])
    made.chunks = (3, 1)
    made.clean("guest", [1, 1, 1], [0])
    made.attack("guest", "pgd", "1/10", [None, None, 0.1], [None])
    board = made.report()
    assert board["robust_acc_worst"].to_dict() == {"a": 0.75, "guest": 0.5}
    assert board["rank"].tolist() == [1, 1]


def test_samples_of_one_group_are_drawn_together_and_those_of_none_alone(tmp_path):
    values = [0.0, 0.0, 1.0, 1.0]
    found = []
    for name, groups in (("one", ["p", "p", "q", "q"]), ("none", ["", "", "", ""])):
        made = Made(tmp_path / name, chunks=(4,), explainers=["random"])
        made.clean("a", [1, 1, 1, 1], group=[groups])
        made.cell("explain", "a", 0, {"target": np.zeros(4, int), "status": strings(["ok"] * 4)}, probe="random")
        rows = {"value": np.array(values), "status": strings(["ok"] * 4)}
        made.cell("score", "a", 0, rows, probe="random", metric="sparseness")
        made.report()
        row = made.explained.iloc[0]
        assert row["sparseness"] == 0.5
        found.append((row["sparseness_low"], row["sparseness_high"]))
    (low, high), alone = found  # zeros and ones: the interval of a rate
    assert alone == wilson(2, 4)
    assert low < 0.01
    assert high > 0.99  # two groups that agree in themselves say next to nothing
    wide = stats.bootstrap(np.repeat(values, 25), "mean", np.repeat(["p", "p", "q", "q"], 25), 0)
    narrow = stats.bootstrap(np.repeat(values, 25), "mean", None, 0)
    assert (wide.low, wide.high) == pytest.approx((low, high))
    assert (narrow.low, narrow.high) == wilson(50, 100)


def test_nan_values_are_counted_and_left_out(tmp_path):
    made = Made(tmp_path, chunks=(4,), explainers=["random"])
    made.clean("a", [1, 1, 1, 1])
    made.cell("explain", "a", 0, {"target": np.zeros(4, int), "status": strings(["ok"] * 4)}, probe="random")
    rows = {"value": np.array([0.2, np.nan, 0.4, np.nan]), "status": strings(["ok", "nan"] * 2)}
    made.cell("score", "a", 0, rows, probe="random", metric="sparseness")
    row = made.report().loc["a"]
    assert made.explained["sparseness"].tolist() == [pytest.approx(0.3)]
    assert made.explained["nan_sparseness"].tolist() == [2]
    assert row["nan"] == 0  # the metric's, not the model's


def test_text_of_a_cell_is_neither_formula_nor_markup(tmp_path):
    made = Made(tmp_path, attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"})
    made.clean("a", [1, 1], [1, 1])
    made.attack("a", "pgd", "1/10", "failed", "failed")
    made.report()
    text = (made.store.folder / "leaderboard.md").read_text()
    assert "<b>" not in text
    assert "&lt;b>boom" in text
    assert "[link](" not in text
    table = list(csv.reader(io.StringIO((made.store.folder / "leaderboard.csv").read_text())))
    assert not [cell for line in table for cell in line if cell[:1] in ("=", "+", "-", "@")]


def test_the_same_records_give_the_same_bytes_from_the_pack_alone(tmp_path):
    made = Made(tmp_path, attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"}, explainers=["random"])
    made.clean("a", [1, 1], [1, 1])
    made.attack("a", "pgd", "1/10", [0.1, None], "failed")
    made.report()
    files = ("records.parquet", "leaderboard.csv", "leaderboard.md", "explanations.csv")
    first = {name: (made.store.folder / name).read_bytes() for name in files}
    for file in made.store.cells.iterdir():
        file.unlink()
    made.report()
    assert {name: (made.store.folder / name).read_bytes() for name in files} == first


def test_tables_of_an_earlier_suite_do_not_stay(tmp_path):
    made = Made(tmp_path, explainers=["random"])
    made.clean("a", [1, 1], [1, 1])
    made.report()
    assert (made.store.folder / "explanations.csv").is_file()
    made = Made(tmp_path)
    made.clean("a", [1, 1], [1, 1])
    made.report()
    assert not (made.store.folder / "explanations.csv").exists()


def test_a_plan_without_cells_has_nothing_to_report(tmp_path):
    with pytest.raises(NoRecordsError):
        Made(tmp_path, ()).report()
    assert not (tmp_path / "made" / "leaderboard.csv").exists()


def test_the_bootstrap_in_blocks_is_the_bootstrap_at_once(monkeypatch):
    values = np.random.default_rng(0).random(301)
    groups = [None, np.arange(301) // 3 % 100, np.arange(301) % 250]
    whole = [stats.bootstrap(values, "median", of, 3) for of in groups]
    monkeypatch.setattr(intervals, "DRAWS_AT_ONCE", 1000)
    assert [stats.bootstrap(values, "median", of, 3) for of in groups] == whole
