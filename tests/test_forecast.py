"""A regression judged by numbers that is no MRI: from suite to label, and no output speaks of images.

Oracle: the forecasts are linear, w x + b, so readings that move by at most eps move them by eps ||w||_1 and no more.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import benchmark
from benchmark.models.build import build_model
from benchmark.models.entries import read_entry
from benchmark.registry import include
from tests.conftest import Workplace
from tests.test_words import FOREIGN, read

TOY = Path(__file__).parent / "toys" / "forecast"
OWN = ("--include", TOY / "forecast.py")
WITH = (*OWN, "--entries", TOY / "entries")
SIZE = {"weighted": 2.5, "persistence": 1.0}  # ||w||_1
MRI = ("amp", "rel_err", "psnr", "halluc", "reconstruct", "measurement")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Name of a command or file to its text."""
    place = Workplace(tmp_path_factory.mktemp("forecast"))
    place.suite("readings", (TOY / "suite.toml").read_text())
    monkey = pytest.MonkeyPatch()
    monkey.setenv("ASSAY_CACHE", str(place.root / "cache"))
    monkey.setenv("COLUMNS", "200")
    found = {}
    for name, args in {
        "run": ("run", "readings", *WITH, "--workers", 1),
        "page": ("report", "readings", "--html", *OWN),
        "latex": ("report", "readings", "--format", "latex", *OWN),
        "joined": ("leaderboard", "readings", *OWN),
        "label": ("label", "weighted", *OWN),
        "compare": ("compare", "readings", "weighted", "persistence", *OWN),
        "validate": ("validate", "results/readings", *WITH),
        "verify": ("verify", "readings", "--sample", "0.5", "--workers", 1, *WITH),
        "check": ("check", "weighted", *WITH),
    }.items():
        done = place.assay(*args)
        found[name] = done.stdout + done.stderr
    for file in [*place.root.glob("results/readings/*.*"), *place.root.glob("labels/weighted/*")]:
        if file.suffix in (".csv", ".md", ".html", ".svg", ".yaml", ".json"):
            found[file.name] = file.read_text()
    yield found | {"root": place.root}
    monkey.undo()


def test_the_worst_is_the_closed_form(outputs):
    board = pd.read_csv(outputs["root"] / "results" / "readings" / "leaderboard.csv").set_index("model")
    for model, size in SIZE.items():
        for eps in (1, 2):
            assert board.loc[model, f"moved_worst_{eps}"] == pytest.approx(eps * size, abs=1e-4)
            assert board.loc[model, f"moved_random_{eps}"] <= eps * size + 1e-4
    assert board.loc["weighted", "abs_err"] < board.loc["persistence", "abs_err"]
    assert board["rank"].to_dict() == {"weighted": 2, "persistence": 1}


def test_everything_ran(outputs):
    assert "computed 20, known 0, failed 0, skipped 0" in outputs["run"]
    assert "20 records of 20 cells: good" in outputs["validate"]
    assert "0 not reproduced" in outputs["verify"]
    assert "0 verdicts not confirmed" in outputs["verify"]
    assert "persistence is better" in outputs["compare"]
    assert "input gradient" in outputs["check"]
    assert "fail" not in outputs["check"]
    assert "moved_worst_2" in outputs["label.md"]
    assert "40 series in" in outputs["label.md"]
    for word in ("seriess", "Right answers", "Wrong"):  # nothing is right or wrong here
        assert word not in outputs["label.md"]


def test_no_output_speaks_of_images_or_of_mri(outputs):
    texts = {name: read(name, text) for name, text in outputs.items() if name != "root"}
    assert {"leaderboard.csv", "leaderboard.md", "report.html", "label.html", "card.yaml"} <= set(texts)
    said = {name: sorted({m[0] for m in FOREIGN.finditer(text)}) for name, text in texts.items()}
    said = {name: [*words, *(w for w in MRI if w in texts[name].lower().split())] for name, words in said.items()}
    assert {name: words for name, words in said.items() if words} == {}


def test_verify_sees_a_score_that_was_written_by_hand():
    """What a task without verdicts scores by is judged again, whatever its name."""
    include([TOY / "forecast.py"])
    from benchmark.schedule.recompute import _refutations
    from benchmark.tasks.base import tasks

    columns = tuple({score.column for score in tasks.make("toy-forecast").scores()})
    rows = {"status": pd.Series(["ok", "ok"]).to_numpy(object), "moved": pd.Series([1.0, 2.0]).to_numpy()}
    again = {"status": rows["status"], "moved": pd.Series([1.0, 5.0]).to_numpy()}
    both = pd.Series([0, 1]).to_numpy()
    assert list(_refutations(rows, both, again, ["a", "b"], columns)) == [
        "sample b: moved recorded as 2.0, the verifier says 5.0"
    ]


def test_a_module_in_memory(outputs, monkeypatch):
    monkeypatch.chdir(outputs["root"])
    monkeypatch.setenv("ASSAY_CACHE", str(outputs["root"] / "cache"))
    include([TOY / "forecast.py"])
    module = build_model(read_entry(TOY / "entries" / "weighted")).network
    run = benchmark.evaluate(
        module, "readings", name="mine", entries=[TOY / "entries"], out=outputs["root"] / "results"
    )
    row = run.leaderboard.to_pandas().set_index("model").loc["mine"]
    assert row["moved_worst_2"] == pytest.approx(5, abs=1e-4)
