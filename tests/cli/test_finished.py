"""A finished run reads its report. Oracle: what it printed when it was made; whatever decides changes the key."""

from __future__ import annotations

import pytest

from benchmark.cli.finished import _key, remember_run, remembered_run
from benchmark.schedule.request import Options, planned_entries, resolve_all
from benchmark.schedule.watcher import Watcher

HEAVY = ("pandas", "scipy.stats", "matplotlib", "torch", "foolbox", "sklearn", "benchmark.report.write")
LOOK = f"""
import sys
from benchmark.cli.main import app
sys.argv = ["assay", *sys.argv[1:]]
try:
    app()
except SystemExit:
    pass
print("loaded", [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture
def place(workplace, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(workplace.root / "cache"))
    monkeypatch.chdir(workplace.root)
    return workplace


@pytest.mark.long
def test_a_finished_run_prints_the_same_without_making_anything(place):
    place.edit("samples = 20", "samples = 10")

    def run(*more):
        done = place.python("-c", LOOK, "run", "tiny", "--workers", "1", "--only", "fgsm", *more)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr.strip().splitlines()[-1].removeprefix("loaded ")

    first, heavy = run()
    assert "pandas" in heavy
    known, none = run()
    assert none == "[]"
    assert "0 cells known, 6 to compute" in first
    again = known.replace("6 cells known, 0 to compute", "0 cells known, 6 to compute")
    assert again.replace("computed 0, known 6", "computed 6, known 0") == first
    (place.root / "results/tiny/leaderboard.csv").unlink()
    anew, heavy = run()
    assert "pandas" in heavy
    assert anew == known
    assert (place.root / "results/tiny/leaderboard.csv").exists()


def asked(**options):
    return [
        (suite, own, planned_entries(suite, own, Watcher())) for suite, own in resolve_all("tiny", Options(**options))
    ]


def write(root, name, text="x"):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def a_table(root, monkeypatch):
    write(root, "results/tiny/leaderboard.csv", "y")


def a_record(root, monkeypatch):
    write(root, "results/tiny/cells/a.json", "{ }")


def a_new_record(root, monkeypatch):
    write(root, "results/tiny/cells/b.json")


def the_title(root, monkeypatch):
    file = root / "suites/tiny.toml"
    file.write_text(file.read_text().replace('title = "tiny"', 'title = "small"'))


def the_model(root, monkeypatch):
    file = root / "baselines/one/model.py"
    file.write_text(file.read_text() + "# another\n")


def a_fact(root, monkeypatch):
    file = root / "baselines/one/entry.toml"
    file.write_text(file.read_text() + '\nfacts = { known = "yes" }\n')


def the_terminal(root, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")


def a_library(root, monkeypatch):
    monkeypatch.setattr("benchmark.cli.finished.library_version", lambda name: "0")


CHANGES = [a_table, a_record, a_new_record, the_title, the_model, a_fact, the_terminal, a_library]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_a_report_stands_on_makes_it_anew(place, monkeypatch, change):
    for name in ("leaderboard.csv", "cells/a.json"):
        write(place.root, f"results/tiny/{name}")
    before = _key(asked())
    write(place.root, "results/tiny/progress.json")
    write(place.root, "results/other/cells/a.json")
    assert _key(asked()) == before
    change(place.root, monkeypatch)
    assert _key(asked()) != before


def test_other_options_make_it_anew_and_a_run_at_work_is_waited_for(place):
    keys = [_key(asked(**options)) for options in ({}, {"limit": 5}, {"only": ("fgsm",)}, {"keep_inputs": "none"})]
    assert len(set(keys)) == 4
    write(place.root, "results/tiny/run.json")
    assert _key(asked()) is None
    from benchmark.cli.finished import Finished, Said

    remember_run(asked(), Finished([Said("a", 1, "b", "c")]))
    assert remembered_run(asked()) is None
