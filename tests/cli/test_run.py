"""The whole way, on real digits: resume, what is recomputed when what changes, tables, limits, Python use.

Oracle: properties of the records (hashes, modification times, bytes), and of the tables against the records.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
import tomllib

import pandas as pd
import pytest

import benchmark
import benchmark.errors
from tests.conftest import LINEAR_MODEL, REPOSITORY, write_entry

WITHOUT_TORCH = """
import sys
from benchmark.cli.main import main
sys.argv = ["assay", *sys.argv[1:]]
try:
    main()
finally:
    assert "torch" not in sys.modules, "torch was imported"
"""


@pytest.fixture
def here(workplace, monkeypatch):
    monkeypatch.chdir(workplace.root)
    return workplace


@pytest.fixture
def ran(finished, tmp_path, monkeypatch):
    """The same after a run of the tiny suite."""
    monkeypatch.chdir(tmp_path)
    return finished.copy(tmp_path)


@pytest.mark.long
def test_the_whole_way_by_the_command_line(workplace):
    first = workplace.assay("run", "tiny", fresh=True)  # what imports say is in its stderr, too
    assert "36 to compute" in first.stdout
    assert "computed 36, known 0, failed 0, skipped 0" in first.stdout
    assert "Warning" not in first.stderr
    before = workplace.times()
    second = workplace.assay("run", "tiny")
    assert "computed 0, known 36" in second.stdout
    assert workplace.times() == before
    (workplace.root / "probe.py").write_text(WITHOUT_TORCH)
    for command in (["report", "tiny"], ["status", "tiny"], ["run", "tiny", "--dry-run"], ["run", "tiny"]):
        done = workplace.python("probe.py", *command)
        assert done.returncode == 0, done.stderr
    status = workplace.assay("status", "tiny").stdout
    assert "36 of 36 cells" in status
    assert "one: 18 done" in status
    folder = workplace.root / "results/tiny"
    board = list(csv.DictReader((folder / "leaderboard.csv").read_text().splitlines()))
    assert {row["model"] for row in board} == {"one", "two"}
    expected = ["model", "rank", "n", "clean_acc", "robust_acc_worst", "robust_acc_fgsm_0.05", "robust_acc_fgsm_0.1"]
    expected += ["n_correct", "asr_fgsm_0.05", "asr_fgsm_0.1", "asr_deepfool", "median_l2_deepfool"]
    expected += ["failed", "skipped", "missing", "nan", "entry_digest", "dataset_digest", "records_digest"]
    assert not set(expected) - set(board[0])
    assert {f"{name}{end}" for name in expected[3:7] for end in ("_low", "_high")} <= set(board[0])
    explained = list(csv.DictReader((folder / "explanations.csv").read_text().splitlines()))
    assert [(row["model"], row["explainer"], row["control"]) for row in explained][:2] == [
        ("one", "saliency", "False"),
        ("one", "random", "True"),
    ]
    compared = workplace.assay("compare", "tiny", "one", "two").stdout
    assert "robust_acc_worst" in compared
    assert "McNemar" in compared
    assert "did you mean 'one'" in workplace.assay("compare", "tiny", "on", "two", code=2).stderr


def test_report_gives_the_same_bytes_also_from_the_tracked_files_alone(ran):
    here, folder = ran, ran.root / "results/tiny"
    tables = ("leaderboard.csv", "leaderboard.md", "explanations.csv", "records.parquet")
    first = {name: (folder / name).read_bytes() for name in tables}
    for name in tables[:3]:
        (folder / name).unlink()
    here.assay("report", "tiny")
    assert {name: (folder / name).read_bytes() for name in tables} == first
    clone = here.root / "clone"
    (clone / "results/tiny").mkdir(parents=True)
    for name in ("plan.json", "records.parquet"):
        shutil.copy(folder / name, clone / "results/tiny")
    shutil.copytree(folder / "figures", clone / "results/tiny/figures")  # tracked; what some are drawn from is not
    here.assay("report", "tiny", "--out", clone / "results")
    assert {name: (clone / "results/tiny" / name).read_bytes() for name in tables} == first


@pytest.mark.parametrize(
    ("change", "recomputed"),
    [
        ("model.py", {"two": 18}),
        ("mean", {"two": 18}),
        ("size", {"one": 18, "two": 18}),
        ("probe label", {}),
        ("parameter", {"one": 2, "two": 2}),
        ("budget", {"one": 2, "two": 2}),
        ("seed of draws", {"one": 18, "two": 18}),
        ("description", {}),
    ],
)
def test_a_change_recomputes_exactly_what_depends_on_it(ran, change, recomputed):
    here, before = ran, ran.times()
    entry, suite = here.root / "baselines/two", here.root / "suites/tiny.toml"
    if change == "model.py":
        write_entry(entry, LINEAR_MODEL + "\n# another line\n", "kwargs = { seed = 2 }")
    elif change == "mean":
        write_entry(entry, extra="kwargs = { seed = 2 }\n[preprocessing]\nmean = 0.3\nstd = 0.4")
    elif change == "description":
        write_entry(entry, extra='kwargs = { seed = 2 }\ndescription = "new words"\nlicence = "MIT"')
    else:
        old, new = {
            "size": ('use = "digits"\n', 'use = "digits"\nsize = 10\n'),
            "probe label": ('name = "fgsm"', 'name = "renamed"'),
            "parameter": ('use = "deepfool"', 'use = "deepfool"\nparams = { overshoot = 0.05 }'),
            "budget": ('budgets = ["0.05", "0.1"]', 'budgets = ["0.05", "0.1", "0.2"]'),
            "seed of draws": ("[dataset]", "seed = 5\n[dataset]"),
        }[change]
        assert old in suite.read_text()
        suite.write_text(suite.read_text().replace(old, new, 1))
    run = benchmark.run("tiny")
    after = here.times()
    assert {name: after[name] for name in before} == before  # nothing old is written again
    new = [head["spec"]["model"] for head in here.heads() if head["hash"] not in before]
    assert {model: new.count(model) for model in set(new)} == recomputed
    assert run.counts["done"] == sum(recomputed.values())


def test_a_larger_limit_keeps_the_first_cells(here):
    benchmark.run("tiny", limit=10)
    assert benchmark.run("tiny", limit=20).counts == {"known": 18, "done": 18, "failed": 0, "skipped": 0}
    assert len(json.loads((here.root / "results/tiny/plan.json").read_text())["cells"]) == 36


def test_models_and_only_compute_their_cells_alone(here):
    assert benchmark.run("tiny", models="one", only="deepfool").counts["done"] == 4  # two clean, two attack cells
    board = benchmark.run("tiny", models="one").leaderboard.to_pandas().set_index("model")
    assert board.loc["one", "missing"] == 0
    assert board.loc["two", "missing"] == 18
    assert pd.isna(board.loc["two", "rank"])


def test_an_entry_from_elsewhere_joins_and_stays(ran, tmp_path):
    here, before = ran, ran.times()
    write_entry(tmp_path / "mine" / "three", extra="kwargs = { seed = 3 }")
    joined = here.assay("run", "tiny", "--entries", tmp_path / "mine", "--models", "three")
    assert "computed 18, known 0" in joined.stdout
    assert {name: time for name, time in here.times().items() if name in before} == before
    again = benchmark.run("tiny")  # without --entries: its row stays, from its records
    assert set(again.leaderboard.to_pandas()["model"]) == {"one", "two", "three"}
    assert again.counts["done"] == 0


def test_new_resnet18_runs_in_the_shipped_suite_at_once(workplace, tmp_path):
    workplace.assay("new", "mine", "--from", "torchvision.models:resnet18", "--into", tmp_path / "own")
    toml = (tmp_path / "own/mine/entry.toml").read_text()
    assert "torchvision.models:resnet18" in toml
    done = workplace.assay(
        "run", "digits", "--entries", tmp_path / "own", "--models", "mine", "--limit", "10",
        "--only", "noise", "--only", "saliency",
    )  # fmt: skip
    assert "mine" in done.stdout
    assert {head["spec"]["model"] for head in workplace.heads("digits")} == {"mine"}
    board = pd.read_csv(workplace.root / "results/digits/leaderboard.csv").set_index("model")
    assert board.loc["mine", "n"] == 10


def test_the_version_is_said_and_is_the_distributions(workplace):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert workplace.assay("--version").stdout == f"assay {project['version']}\n"
    assert f"\n## {project['version']} (" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_show_and_list(workplace):
    shown = json.loads(workplace.assay("show", "tiny").stdout)
    assert shown["attacks"][0]["budgets"] == ["1/20", "1/10"]
    assert shown["run"]["keep_inputs"] == "broken"
    for what, name in {
        "suites": "tiny",
        "entries": "digits_cnn_adv",
        "datasets": "mnist-idx",
        "attacks": "foolbox:LinfPGD",
        "explainers": "lrp-epsilon-gamma-box",
        "metrics": "faithfulness-estimate",
    }.items():
        lines = workplace.assay("list", what).stdout.splitlines()
        assert any(line.startswith(name) for line in lines), what


def test_python_use_leaves_the_records_of_the_command_line(here):
    here.assay("run", "tiny", "--models", "one", "--out", "by_cli")
    run = benchmark.run("tiny", models="one", out="by_python")
    names = [sorted(f.name for f in (here.root / out / "tiny/cells").glob("*")) for out in ("by_cli", "by_python")]
    assert names[0] == names[1]
    assert run.counts["done"] == 18


def test_evaluate_a_plain_module_in_five_lines(here):
    from torch import nn

    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    run = benchmark.evaluate(module, "tiny", name="plain")
    board = run.leaderboard.to_pandas().set_index("model")
    assert run.counts["done"] == 18
    assert board.loc["plain", "missing"] == 0
    assert module.training  # left as it was
    assert next(module.parameters()).requires_grad
    assert benchmark.evaluate(module, "tiny", name="plain").counts["done"] == 0
    with pytest.raises(benchmark.errors.UsageError, match="another name"):
        benchmark.evaluate(module, "tiny", name="one")


def test_unknown_python_option_names_the_near_match(here):
    with pytest.raises(benchmark.errors.UsageError, match="did you mean 'limit'"):
        benchmark.run("tiny", limt=3)


def test_kept_inputs_break_the_model_again(here):
    """Oracle: the model itself, on the artefact alone."""
    import torch

    from benchmark.store.folder import Store

    here.edit('entries = ["one", "two"]', 'entries = ["digits_mlp"]')
    benchmark.run("tiny", only="deepfool")
    store = Store(here.root / "results/tiny")
    model = benchmark.build_model(benchmark.load_entry("digits_mlp"))
    seen = 0
    for head in here.heads():
        if head["spec"]["kind"] == "attack":
            kept, rows = store.artefact(head["hash"], "perturbed"), store.rows(head["hash"])
            label = dict(zip(rows["sample"], rows["label"], strict=True))
            predicted = model(torch.as_tensor(kept["inputs"])).argmax(1).tolist()
            assert all(p != label[s] for p, s in zip(predicted, kept["samples"].tolist(), strict=True))
            assert len(kept["samples"]) == rows["success"].sum()
            seen += len(predicted)
    assert seen > 10


def test_help_is_fast_and_needs_no_torch(workplace):
    import subprocess
    import time

    best = 9.0
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(workplace.command("--help"), check=True, capture_output=True)
        best = min(best, time.perf_counter() - start)
    assert best < 0.5
    code = "import sys, benchmark.cli.main; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
