"""Rank correlations between explainers. Oracles: scipy's spearmanr, closed forms, a run's ledger."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import rankdata, spearmanr

import benchmark
from benchmark.metrics.functional._similarity import ranks
from benchmark.schedule.ledger import Ledger
from benchmark.schedule.similarity import correlations
from benchmark.spec.cell import Cell
from benchmark.store.folder import Store
from tests.schedule.test_ledger import DATA, cell, drain, head


def test_ranks_and_correlations_are_scipys_with_ties_too():
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 6, size=(5, 60)).astype(np.float32)
    rows[3] = generator.normal(size=60)
    for row, found in zip(rows, (ranks(torch.as_tensor(rows)) + 1).numpy(), strict=True):
        assert np.array_equal(found, rankdata(row))
    np.testing.assert_allclose(correlations(rows), spearmanr(rows, axis=1).statistic, atol=1e-12)


def test_what_has_no_order_has_no_correlation():
    rows = np.stack([np.arange(4.0), np.ones(4), [0, 1, np.nan, 2], -(np.arange(4.0) ** 3)]).astype(np.float32)
    found = correlations(rows)
    assert np.array_equal(
        np.isnan(found), [[False, True, True, False], [True] * 4, [True] * 4, [False, True, True, False]]
    )
    assert found[0, 3] == pytest.approx(-1, abs=1e-12)


CLEAN = cell("clean")
A, B, C = (cell("explain", needs=[CLEAN], probe=name) for name in "abc")
ALIKE = Cell(
    kind="similarity",
    task=CLEAN.task,
    entry="m",
    dataset=DATA,
    samples=("s",),
    needs={"clean": CLEAN.hash, "explain:a": A.hash, "explain:b": B.hash, "explain:c": C.hash},
    model="m",
)
CELLS = [CLEAN, A, B, C, ALIKE]


def known(**status):
    of = {"clean": CLEAN, "a": A, "b": B, "c": C}
    return {of[name].hash: head(value, attempts=2) for name, value in status.items()}


def test_it_waits_for_all_and_runs_without_those_that_ended_badly():
    ledger, order = Ledger(CELLS, {}), []
    while (taken := ledger.take()) is not None:
        order.append(taken)
        ledger.finish(taken, "failed" if taken is B else "skipped" if taken is C else "done", "reason")
    assert order == CELLS
    assert ledger.finished[ALIKE.hash].status == "done"
    assert drain(Ledger(CELLS, known(clean="done", a="done", b="failed", c="skipped"))) == [ALIKE]


def test_a_broken_model_blocks_it():
    ledger = Ledger(CELLS, {})
    ledger.finish(ledger.take(), "failed", "boom")
    assert ledger.take() is None
    assert ledger.finished[ALIKE.hash].blocked
    assert {end.cell.hash for end in Ledger(CELLS, known(clean="failed")).start_blocked()} == {
        each.hash for each in (A, B, C, ALIKE)
    }


def test_it_runs_again_when_attributions_come_that_it_lacks():
    heads = known(clean="done", a="done", b="done", c="failed") | {ALIKE.hash: head("done") | {"rows": {"n": 1}}}
    assert drain(Ledger(CELLS, heads)) == []
    assert drain(Ledger(CELLS, heads, retry_failed=True)) == [C, ALIKE]
    heads[C.hash] = head("done")  # the run was stopped between the two
    assert drain(Ledger(CELLS, heads)) == [ALIKE]
    heads[ALIKE.hash]["rows"]["n"] = 3
    assert drain(Ledger(CELLS, heads)) == []


def test_a_skipped_comparison_comes_back_too():
    heads = known(clean="done", a="done", b="failed", c="skipped") | {ALIKE.hash: head("skipped")}
    assert drain(Ledger(CELLS, heads)) == []
    heads[B.hash] = head("done")
    assert drain(Ledger(CELLS, heads)) == [ALIKE]


def test_the_cell_holds_scipys_correlations_of_what_the_explain_cells_kept(workplace, monkeypatch):
    """One explainer is skipped by the linear models, one explains fewer samples: pairs are made of the rest."""
    monkeypatch.chdir(workplace.root)
    workplace.edit('use = "random"', 'use = "random"\nsamples = 15\n[[explainers]]\nname = "gradcam"\nuse = "gradcam"')
    workplace.edit('entries = ["one", "two"]', 'entries = ["one"]')
    workplace.edit('use = "sparseness"', 'use = "sparseness"\n[[explainers]]\nname = "ixg"\nuse = "input-x-gradient"')
    benchmark.run("tiny", only=["saliency", "random", "gradcam", "ixg"])
    benchmark.run("tiny")
    store = Store(workplace.root / "results/tiny")
    found = [record for record in workplace.heads() if record["spec"]["kind"] == "similarity"]
    assert [record["status"] for record in found] == ["done", "done"]
    for record in found:
        needs, rows = record["spec"]["needs"], store.rows(record["hash"])
        kept = {
            role.partition(":")[2]: store.artefact(need, "attributions")["attributions"]
            for role, need in needs.items()
            if role not in ("clean", "explain:gradcam")
        }
        assert rows["sample"].tolist() == ["ixg|saliency", "ixg|random", "saliency|random"]
        for pair, value, lowest, n in zip(rows["sample"], rows["value"], rows["lowest"], rows["n"], strict=True):
            a, b = (kept[name] for name in pair.split("|"))
            each = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=False)]
            assert n == len(each) == min(len(a), len(b))
            assert value == pytest.approx(np.mean(each), abs=1e-12)
            assert lowest == pytest.approx(min(each), abs=1e-12)
    assert sorted(len(store.artefact(record["hash"], "gallery")["samples"]) for record in found) == [5, 5]
    assert (workplace.root / "results/tiny/figures/explanations_one.png").stat().st_size > 5_000
    table = pd.read_csv(workplace.root / "results/tiny/explainer_similarity.csv")
    assert table["n"].tolist() == [20, 15, 15]
