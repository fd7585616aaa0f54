"""The seams: a DAG across entries, threats without a norm, a task that is no classification, any batch size.

Oracle: properties that must hold by construction, checked on the records that a run leaves.
"""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
import pytest

import benchmark
from benchmark.errors import SpecError
from benchmark.registry import include
from benchmark.store.folder import Store
from tests.conftest import LINEAR_MODEL, REPOSITORY, write_entry

TOYS = REPOSITORY / "tests" / "toys"


@pytest.fixture(autouse=True)
def _here(workplace, monkeypatch):
    include([TOYS / "fitted_attack.py", TOYS / "regression_task.py"])
    monkeypatch.chdir(workplace.root)


def rows(workplace, kind, suite="tiny", **labels):
    """Rows of all done cells of a kind, as one table with the cell's labels."""
    store, parts = Store(workplace.root / "results" / suite), []
    for head in workplace.heads(suite):
        spec = head["spec"]
        if spec["kind"] == kind and head["status"] == "done" and all(spec[k] == v for k, v in labels.items()):
            part = pd.DataFrame({name: list(values) for name, values in store.rows(head["hash"]).items()})
            parts.append(part.assign(model=spec["model"], probe=spec["probe"], eps=spec["eps"], metric=spec["metric"]))
    return pd.concat(parts).sort_values(["model", "probe", "eps", "metric", "sample"]).reset_index(drop=True)


def add_attack(workplace, text):
    suite = workplace.root / "suites" / "tiny.toml"
    suite.write_text(suite.read_text() + f"\n[[attacks]]\n{text}\n")


def test_a_perturbation_fitted_on_one_entry_is_judged_on_another(workplace):
    add_attack(workplace, 'name = "uni"\nuse = "toy-universal"\nbudgets = ["0.1"]\nsource = "one"\nfit_samples = 32')
    benchmark.run("tiny", only="uni")
    heads = workplace.heads()
    fits = [head for head in heads if head["spec"]["kind"] == "fit"]
    assert len(fits) == 1  # computed once, although two entries use it
    spec = fits[0]["spec"]
    assert (spec["model"], spec["dataset"]["split"], len(spec["samples"])) == ("one", "train", 32)
    judged = [head["spec"] for head in heads if head["spec"]["probe"] == "uni" and head["spec"]["kind"] == "attack"]
    assert {cell["model"] for cell in judged} == {"one", "two"}
    assert all(cell["needs"]["fit"] == fits[0]["hash"] for cell in judged)
    assert not set(spec["samples"]) & {sample for cell in judged for sample in cell["samples"]}
    delta = Store(workplace.root / "results" / "tiny").artefact(fits[0]["hash"], "fitted")["delta"]
    assert np.abs(delta).max() == pytest.approx(0.1)
    found = rows(workplace, "attack", probe="uni")
    assert (found["norm_linf"] <= 0.1 * (1 + 1e-6) + 6e-8).all()


def test_a_fit_of_changed_code_recomputes_what_is_judged_with_it(workplace):
    add_attack(workplace, 'name = "uni"\nuse = "toy-universal"\nbudgets = ["0.1"]\nsource = "one"\nfit_samples = 8')
    benchmark.run("tiny", only="uni")
    write_entry(workplace.root / "baselines" / "one", extra="kwargs = { seed = 7 }")
    again = benchmark.run("tiny", only="uni")
    # entry one: two clean and two attack cells; entry two: its two attack cells; and the fit
    assert again.counts == {"known": 2, "done": 7, "failed": 0, "skipped": 0}


def test_a_source_without_a_row_gives_only_its_artefact(workplace):
    add_attack(workplace, 'name = "uni"\nuse = "toy-universal"\nbudgets = ["0.1"]\nsource = "one"\nfit_samples = 8')
    workplace.edit('entries = ["one", "two"]', 'entries = ["two"]')
    assert benchmark.run("tiny", only="uni").leaderboard.to_pandas()["model"].tolist() == ["two"]


def test_a_threat_without_a_norm_is_verified_by_replaying_it(workplace):
    add_attack(workplace, 'name = "roll"\nuse = "toy-roll"')
    add_attack(workplace, 'name = "lie"\nuse = "toy-roll"\nparams = { lie = true }')
    workplace.edit('entries = ["one", "two"]', 'entries = ["digits_mlp"]')
    run = benchmark.run("tiny")
    found = rows(workplace, "attack")
    assert (found.loc[found["probe"] == "roll", "status"] == "ok").all()
    lied = found[found["probe"] == "lie"]
    attacked = lied["pred_clean"] == lied["label"]
    assert (lied.loc[attacked, "status"] == "out_of_budget").all()
    assert not lied["success"].any()
    row = run.leaderboard.to_pandas().iloc[0]
    assert np.isnan(row["robust_acc_lie"])  # no valid verdict: blank, with its bounds
    assert row["robust_acc_lie_low"] == 0
    assert row["robust_acc_lie_high"] == row["clean_acc"]


REGRESSION = """
title = "toy"
task = "toy-regression"
entries = ["mean", "off"]

[dataset]
use = "toy-brightness"

[threat]
norm = "linf"
eps = "0.1"

[run]
chunk = 10

[[attacks]]
name = "noise"
use = "noise-linf"
budgets = ["0.1"]

[[attacks]]
name = "shift"
use = "toy-shift"
budgets = ["0.02", "0.1"]
"""

SHIFT = '''
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks

@attacks.register("toy-shift")
class Shift(Attack):
    """Brightens every pixel."""

    @property
    def threat(self):
        return Threat(norm="linf", kind="fixed", knowledge="none")

    def run(self, model, inputs, labels, *, eps, generator, fitted=None):
        return Perturbed(inputs + eps)
'''

MEAN_MODEL = """
from torch import nn

class Mean(nn.Module):
    def __init__(self, offset):
        super().__init__()
        self.offset = offset

    def forward(self, x):
        return x.flatten(1).mean(1, keepdim=True) + self.offset

def build(offset=0.0):
    return Mean(offset)
"""


def test_a_regression_task_goes_the_same_way(workplace):
    (workplace.root / "shift.py").write_text(SHIFT)
    include([workplace.root / "shift.py"])
    workplace.suite("toy", REGRESSION)
    for name, offset in (("mean", 0.0), ("off", 0.04)):
        folder = write_entry(workplace.root / "baselines" / name, MEAN_MODEL, f"kwargs = {{ offset = {offset} }}")
        file = folder / "entry.toml"
        text = file.read_text().replace("classes = 10", 'task = "toy-regression"')
        file.write_text(text.replace("[1, 8, 8]", "[1, 6, 6]"))
    board = benchmark.run("toy").leaderboard.to_pandas().set_index("model")
    # closed form: the network is the mean, so brightening by eps moves the prediction by eps; tolerance 0.05
    assert board.loc["mean", "mae"] == pytest.approx(0, abs=1e-6)
    assert board.loc["off", "mae"] == pytest.approx(0.04, abs=1e-6)
    assert board["robust_within_shift_0.02"].to_dict() == {"mean": 1.0, "off": 0.0}
    assert board["robust_within_worst"].to_dict() == {"mean": 0.0, "off": 0.0}
    assert not [name for name in board.columns if "acc" in name]


def test_deterministic_results_do_not_depend_on_batch_size_or_worker_count(workplace):
    workplace.edit('entries = ["one", "two"]', 'entries = ["digits_cnn"]')
    workplace.edit("chunk = 10", "chunk = 20\nbatch_size = 20")
    benchmark.run("tiny")
    first = {kind: rows(workplace, kind) for kind in ("clean", "attack", "score")}
    workplace.edit("batch_size = 20", "batch_size = 7")
    workplace.assay("run", "tiny", "--out", "other", "--workers", "2")
    (workplace.root / "results").rename("kept")
    (workplace.root / "other").rename("results")
    for kind, expected in first.items():
        found = rows(workplace, kind)
        for name in expected.columns:
            if name in ("forwards", "backwards"):  # rounding may cost DeepFool a step more at the boundary
                step = {"forwards": 1, "backwards": 9}[name]
                assert (np.abs(found[name] - expected[name]) <= 2 * step).all()
            elif expected[name].dtype.kind == "f":
                np.testing.assert_allclose(found[name], expected[name], rtol=2e-4, atol=2e-5, err_msg=name)
            else:
                pd.testing.assert_series_equal(found[name], expected[name])


def test_masks_and_groups_of_a_folder_reach_metric_and_report(workplace):
    """Oracle: the network sees only the left half, and so all that speaks for class 1 lies in the mask."""
    from PIL import Image

    root, generator, lines = workplace.root / "images", np.random.default_rng(0), ["file,mask,patient"]
    mask = np.zeros((12, 10), np.uint8)  # of the images' size; on the grid of 8x8 its left half again
    mask[:, :5] = 255
    (root / "masks").mkdir(parents=True)
    Image.fromarray(mask).save(root / "masks" / "left.png")
    for label, level in (("dark", 60), ("light", 200)):
        (root / "test" / label).mkdir(parents=True)
        for i in range(6):
            pixels = np.clip(generator.normal(level, 20, (12, 10)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / "test" / label / f"{i}.png")
            lines.append(f"test/{label}/{i}.png,masks/left.png,p{i // 2}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    half = """
    import torch
    from torch import nn

    def build():
        linear = nn.Linear(64, 1)
        weight = torch.zeros(8, 8)
        weight[:, :4] = 1 + torch.arange(32).reshape(8, 4) / 100
        with torch.no_grad():
            linear.weight.copy_(weight.reshape(1, 64))
            linear.bias.fill_(-18)
        return nn.Sequential(nn.Flatten(), linear)
    """
    write_entry(workplace.root / "baselines" / "half", half, 'output = "logit1"')
    file = workplace.root / "baselines" / "half" / "entry.toml"
    file.write_text(file.read_text().replace("classes = 10", "classes = 2"))
    workplace.edit('entries = ["one", "two"]', 'entries = ["half"]')
    workplace.edit(
        'use = "digits"\nsamples = 20',
        f'use = "folder"\nname = "mine"\npath = "{root}"\nsize = 8\nchannels = 1\nparams = {{ group = "patient" }}',
    )
    suite = workplace.root / "suites" / "tiny.toml"
    suite.write_text(suite.read_text() + '\n[[metrics]]\nname = "rank"\nuse = "relevance-rank-accuracy"\n')
    run = benchmark.run("tiny")
    assert run.counts["failed"] == run.counts["skipped"] == 0
    scores = rows(workplace, "score", probe="saliency", metric="rank").set_index("sample")["value"]
    targets = rows(workplace, "explain", probe="saliency").set_index("sample")["target"]
    assert (scores[targets == 1] == 1.0).all()
    assert (scores[targets == 0] == 0.0).all()  # for the other class the same weights speak against
    assert 0.2 < run.explanations.set_index("explainer").loc["random", "rank"] < 0.8
    assert set(rows(workplace, "clean")["group"]) == {"p0", "p1", "p2"}
    assert run.leaderboard.to_pandas().loc[0, "clean_acc"] > 0.9


def test_sys_exit_in_a_network_fails_its_cells_alone(workplace):
    model = "from torch import nn\n\nclass Net(nn.Module):\n    def forward(self, x):\n        raise SystemExit(3)\n"
    write_entry(workplace.root / "baselines" / "two", f"{model}\ndef build():\n    return Net()\n")
    run = benchmark.run("tiny", only="fgsm")
    assert run.counts == {"known": 0, "done": 6, "failed": 6, "skipped": 0}


def test_budgets_of_a_threat_without_a_norm_are_refused(workplace):
    """No norm could be held against them: every sample would count as robust."""
    add_attack(workplace, 'name = "roll"\nuse = "toy-roll"\nbudgets = ["0.1"]')
    with pytest.raises(SpecError, match="has no norm to hold against a budget"):
        benchmark.run("tiny", only="roll")


def test_an_entry_or_a_dataset_that_changed_after_the_plan_is_refused(workplace):
    """A record must never name a digest that is not what was run."""
    from benchmark.schedule.cell import run_cell
    from benchmark.schedule.context import Context
    from benchmark.schedule.request import Options, planned_entries, resolve
    from benchmark.schedule.run import prepare
    from benchmark.schedule.watcher import Watcher

    suite = resolve("tiny", Options())
    cell = prepare(suite, planned_entries(suite, Options(), Watcher()), Options()).plan.cells[0]
    store = Store(workplace.root / "results" / "tiny")
    assert run_cell(cell, Context(store)).status == "done"
    other = cell.model_copy(update={"dataset": cell.dataset.model_copy(update={"digest": "0" * 64})})
    assert "dataset 'digits' has changed" in run_cell(other, Context(store)).reason
    write_entry(workplace.root / "baselines" / "one", extra="kwargs = { seed = 9 }")
    record = run_cell(cell, Context(store))
    assert (record.status, "entry 'one' has changed" in record.reason) == ("failed", True)


def test_an_entry_that_puts_a_place_on_the_path_itself_is_refused_by_what_it_imports(workplace):
    """No key covers what is found there; the message says what does help."""
    place = workplace.root / "outside"
    place.mkdir()
    (place / "assay_outside.py").write_text("SIGN = 1\n")
    code = f"import sys\nsys.path.insert(0, {str(place)!r})\nimport assay_outside\n"
    write_entry(workplace.root / "baselines" / "one", code + textwrap.dedent(LINEAR_MODEL), "kwargs = { seed = 1 }")
    workplace.assay("run", "tiny", "--only", "fgsm", "--workers", 1, code=1)
    of_one = [head for head in workplace.heads() if head["spec"]["model"] == "one" and not head.get("blocked")]
    reasons = {head["reason"] for head in of_one}
    assert reasons
    assert all("assay_outside" in reason and "PYTHONPATH" in reason for reason in reasons)
    assert all(head["status"] == "done" for head in workplace.heads() if head["spec"]["model"] == "two")
