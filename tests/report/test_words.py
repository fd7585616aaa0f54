"""What tables may say of metrics. Oracle: the verdict on each metric, and scores written by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from benchmark.cli.tables import _print_explanations, _print_ranks
from benchmark.report import explainer_ranks as ranked
from benchmark.report.columns import arrows
from benchmark.report.combined import combined_markdown, write_combined
from benchmark.report.compare import compare
from benchmark.report.curves import curves
from benchmark.report.explanations import explanations
from benchmark.report.extras import extras
from benchmark.report.joined import joined
from benchmark.report.markdown import markdown
from benchmark.report.page.build import page
from benchmark.report.rows import leaderboard
from benchmark.report.soundness import CONFOUNDED, direction, verdict_on
from benchmark.report.write import write_report
from benchmark.results.base import Results
from benchmark.spec.suite import SuiteSpec
from benchmark.store.folder import Store
from benchmark.store.record import Record, strings
from benchmark.tasks.base import tasks
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def digits():
    """The tracked results, of which the verdicts on every metric are known."""
    return Results(Store(REPOSITORY / "results" / "digits"))


DESCRIPTIVE = ("sparseness", "complexity")


def test_what_only_describes_is_never_better(digits):
    assert {verdict_on(digits.suite, name) for name in DESCRIPTIVE} == {"descriptive only"}
    assert [direction(digits.suite, digits.plan["metrics"], name) for name in DESCRIPTIVE] == [None, None]
    assert [arrows(digits)[name] for name in DESCRIPTIVE] == list(DESCRIPTIVE)
    found = [row for row in compare(digits, "digits_cnn_adv", "digits_mlp") if " · " in row.quantity]
    told = [row.words for row in found if row.quantity.endswith(DESCRIPTIVE)]
    assert any("is higher" in words for words in told)
    assert not any("better" in words for words in told)
    assert any("is better" in row.words for row in found)  # the control: metrics with a direction still say it
    assert not set(DESCRIPTIVE) & set(ranked.directed(digits))


def test_the_note_stands_beside_every_table_of_several_networks(digits, tmp_path):
    board, explained = leaderboard(digits), explanations(digits)
    console = Console(width=160, file=io.StringIO(), highlight=False)
    _print_explanations(console, digits, explained)
    _print_ranks(console, digits)
    shown = {
        "markdown": markdown(digits, board, explained),
        "terminal": " ".join(console.file.getvalue().split()),
        "page": page(digits, board, explained, extras(digits), curves(digits)),
    }
    folder = tmp_path / "digits"
    folder.mkdir()
    for name in ("leaderboard.csv", "plan.json", "explanations.csv", "explainer_ranks.csv"):
        (folder / name).write_bytes((digits.store.folder / name).read_bytes())
    shown["combined"] = combined_markdown(write_combined([folder]))
    for table in joined([folder]):
        shown |= {"joined": table.to_markdown(), "joined latex": table.to_latex(), "joined json": table.to_json()}
    for name, text in shown.items():
        assert CONFOUNDED.format("pixels") in text, name


def scored(folder, scores):
    """Results of one model: an explainer, its controls, and their scores by one metric of faithfulness."""
    n = len(next(iter(scores.values())))
    spec = SuiteSpec(
        name="made",
        dataset={"use": "digits"},
        entries=("m",),
        explainers=[{"name": name, "use": "random"} for name in scores],
        metrics=[{"name": "fe", "use": "faithfulness-estimate"}],
    )
    plan = {
        "plan_version": 1,
        "suite": spec.model_dump(mode="json"),
        "task": tasks.make("classification", {"per_class": 0}).identity(),
        "dataset": {"digest": "d", "classes": ["0", "1"], "n": n},
        "entries": {"m": "e"},
        "explainers": {name: {"use": "random", "control": name != "lrp"} for name in scores},
        "metrics": {"fe": {"use": "faithfulness-estimate", "higher_is_better": True}},
        "cells": [],
    }
    store, samples = Store(folder / "made"), [f"s{i}" for i in range(n)]

    def cell(kind, rows, probe="", metric=""):
        name = f"{kind}-{probe}"
        labels = {"hash": name, "kind": kind, "model": "m", "probe": probe, "metric": metric, "eps": None}
        plan["cells"].append(labels | {"n": n, "threat": {}})
        rows = rows if "sample" in rows else {"sample": strings(samples), **rows}
        store.write(Record(hash=name, spec={"samples": samples, "kind": kind, "model": "m"}, rows=rows))

    cell("clean", {"label": np.zeros(n, int), "pred_clean": np.zeros(n, int), "correct": np.ones(n, bool)})
    pairs = {"sample": strings(["lrp|random"]), "value": np.array([0.1])}
    cell("similarity", pairs | {"lowest": np.array([0.0]), "highest": np.array([0.2]), "n": np.array([n])})
    for name, values in scores.items():
        cell("explain", {"status": strings(["ok"] * n)}, name)
        cell("score", {"value": np.asarray(values, dtype=float)}, name, "fe")
    store.write_plan(plan)
    return write_report(store.folder)[0]


@pytest.mark.parametrize("undefined", [False, True])
def test_every_control_is_said_only_of_controls_that_were_tested(tmp_path, undefined):
    """A control without a value was not shown to be worse than anything."""
    generator = np.random.default_rng(0)
    scores = {name: level + generator.normal(0, 0.1, 30) for name, level in (("lrp", 3), ("random", 1), ("sobel", 1))}
    if undefined:
        scores["sobel"][:] = np.nan
    which = "random, of the controls, is" if undefined else "every control is"
    note = " (sobel undefined)" if undefined else ""
    said = f"fe: {which} significantly worse than the best explainer on m (lrp){note}."
    assert ranked.control_lines(scored(tmp_path, scores)) == (said,)


@pytest.mark.parametrize(("n", "enough"), [(1, False), (3, False), (5, False), (6, True)])
def test_few_samples_show_no_control_to_be_worse(tmp_path, n, enough):
    """By the signed-rank test five samples cannot be significant: the least p is 2 / 2^5; of six it is 2 / 2^6."""
    results = scored(tmp_path, {"lrp": np.arange(n) + 10.0, "random": np.arange(n) / 10})
    said = "every control is significantly worse" if enough else "does not separate random from lrp on m"
    assert said in ranked.control_lines(results)[0]


def test_confidences_of_pictures_are_not_rounded_to_certainty():
    from benchmark.report.page.attacked import _with

    assert _with("cat", 0.9996) == "cat (99.96 %)"
    assert _with("cat", 0.5) == "cat (50 %)"
    assert _with("cat", None) == "cat"
