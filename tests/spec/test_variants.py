"""Variants of a suite and published figures. Oracle: the suite's own keys, and the leaderboard."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import SpecError, UnknownNameError, UsageError
from benchmark.spec.suites import load_suite, with_data
from tests.conftest import TINY_SUITE

VARIANT = """
[variants.other]
title = "on other data"
entries = ["two"]
dataset = { use = "npz", samples = 30 }

[variants.third]
dataset = { use = "npz" }
"""


@pytest.fixture
def here(workplace, monkeypatch):
    monkeypatch.chdir(workplace.root)
    workplace.suite("tiny", TINY_SUITE + VARIANT)
    return workplace


def test_data_chooses_the_variant(here, tmp_path):
    base = load_suite("tiny")
    assert with_data(base, {}).name == "tiny"
    found = with_data(base, {"other": tmp_path})
    assert (found.name, found.title, found.entries) == ("tiny-other", "on other data", ("two",))
    assert (found.dataset.use, found.dataset.samples, found.dataset.path) == ("npz", 30, tmp_path)
    assert found.attacks == base.attacks
    assert found.variants == {}
    assert load_suite("tiny-other").model_dump() == found.model_dump() | {
        "dataset": found.dataset.model_dump() | {"path": None}
    }


def test_wrong_variants_are_refused(here, tmp_path):
    with pytest.raises(UnknownNameError, match="other"):
        with_data(load_suite("tiny"), {"othr": tmp_path})
    with pytest.raises(UsageError, match="one of its variants"):
        with_data(load_suite("tiny"), {"other": tmp_path, "third": tmp_path})
    with pytest.raises(UnknownNameError):
        load_suite("tiny-fourth")
    here.suite("tiny", TINY_SUITE + VARIANT.replace("samples = 30", "sampels = 30"))
    with pytest.raises(SpecError, match=r"variants\.other.*sampels"):
        load_suite("tiny")


def test_a_variant_has_results_of_its_own(here):
    rng = np.random.default_rng(0)
    np.savez(here.root / "mine.npz", x_test=rng.random((12, 8, 8)), y_test=np.arange(12) % 10)
    here.assay("run", "tiny", "--limit", 10, "--only", "fgsm")
    here.assay("run", "tiny", "--limit", 10, "--only", "fgsm", "--data", "other=mine.npz")
    tables = [pd.read_csv(here.root / "results" / name / "leaderboard.csv") for name in ("tiny", "tiny-other")]
    assert [list(table["model"].sort_values()) for table in tables] == [["one", "two"], ["two"]]
    assert "on other data" in here.assay("report", "tiny-other").stdout
    assert str(here.root) not in (here.root / "results/tiny-other/plan.json").read_text()


def test_published_figures_stand_beside_ours(here):
    published = '\n[[published]]\nmodel = "one"\ncolumn = "clean_acc"\nvalue = 0.25\nsource = "A et al., Table 1"\n'
    here.suite("tiny", TINY_SUITE + published + published.replace("clean_acc", "no_such"))
    here.assay("run", "tiny", "--limit", 10, "--only", "fgsm")
    said = here.assay("report", "tiny").stdout
    assert "Beside published figures" in said
    text = (here.root / "results/tiny/leaderboard.md").read_text()
    ours = pd.read_csv(here.root / "results/tiny/leaderboard.csv").set_index("model").loc["one", "clean_acc"]
    assert f"| one | clean_acc | {ours:.3f}" in text
    assert "| 0.250 | A et al., Table 1 |" in text
    assert "| one | no_such | – |" in text


PARTS = """
[parts.fewer]
dataset = { use = "digits", split = "test", samples = 5 }
entries = ["two"]
"""


def test_parts_run_after_the_suite_into_folders_of_their_own(here):
    here.suite("tiny", TINY_SUITE + PARTS)
    assert load_suite("tiny-fewer").dataset.samples == 5
    here.assay("run", "tiny", "--limit", 10, "--only", "fgsm")
    folders = [here.root / "results" / name for name in ("tiny", "tiny-fewer")]
    tables = [pd.read_csv(folder / "leaderboard.csv") for folder in folders]
    assert [list(table["model"].sort_values()) for table in tables] == [["one", "two"], ["two"]]
    assert "parts" not in json.loads((folders[0] / "plan.json").read_text())["suite"]
    folders[1].joinpath("leaderboard.csv").unlink()
    here.assay("report", "tiny")
    pd.testing.assert_frame_equal(pd.read_csv(folders[1] / "leaderboard.csv"), tables[1])


def test_models_choose_the_parts_that_know_them(here):
    here.suite("tiny", TINY_SUITE + PARTS)
    here.assay("run", "tiny", "--limit", 10, "--only", "fgsm", "--models", "one")
    assert not (here.root / "results" / "tiny-fewer").exists()
    here.assay("run", "tiny-fewer", "--only", "fgsm")
    assert list(pd.read_csv(here.root / "results" / "tiny-fewer" / "leaderboard.csv")["model"]) == ["two"]


def test_a_wrong_part_is_refused(here):
    here.suite("tiny", TINY_SUITE + PARTS.replace("samples", "sampels"))
    with pytest.raises(SpecError, match=r"parts\.fewer.*sampels"):
        load_suite("tiny")
    here.suite("tiny", TINY_SUITE + VARIANT + PARTS.replace("fewer", "other"))
    with pytest.raises(SpecError, match="variant and a part"):
        load_suite("tiny")


def test_a_part_may_name_the_suites_own_probes(here):
    here.suite("tiny", TINY_SUITE + PARTS + 'attacks = ["fgsm"]\n')
    base = load_suite("tiny")
    assert load_suite("tiny-fewer").attacks == tuple(each for each in base.attacks if each.name == "fgsm")
    assert len(base.attacks) > 1
    here.suite("tiny", TINY_SUITE + PARTS + 'attacks = ["fgms"]\n')
    with pytest.raises(UnknownNameError, match=r"parts\.fewer"):
        load_suite("tiny")
