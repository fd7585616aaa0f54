"""The suite clever_hans, cut to what is asked here, from end to end; then `assay spray` on what it left.

Oracles: statsmodels and scikit-learn on the records' rows, and the planted truth: the poisoned entry's intervals lie
above the clean one's. Controls: the patch elsewhere; heatmaps that were drawn at random.
"""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from benchmark.cli.heatmaps import spray_of
from benchmark.results.base import Results
from benchmark.store.folder import Store
from tests.conftest import REPOSITORY, Workplace

pytestmark = pytest.mark.long

ENTRIES = ["digits_cnn", "digits_watermarked", "digits_watermarked_pclarc"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    workplace = Workplace(tmp_path_factory.mktemp("clever"))
    text = (REPOSITORY / "suites" / "clever_hans.toml").read_text()
    (workplace.root / "suites" / "clever_hans.toml").write_text(text)
    shutil.rmtree(workplace.root / "baselines")
    only = [part for name in ("watermark", "control-patch", "lrp", "random") for part in ("--only", name)]
    done = workplace.assay("run", "clever_hans", "--models", ",".join(ENTRIES), "--workers", "1", *only)
    assert "failed 0, skipped 0" in done.stdout
    return workplace


@pytest.fixture(scope="module")
def folder(ran):
    return ran.root / "results" / "clever_hans"


@pytest.fixture(scope="module")
def table(folder):
    return pd.read_csv(folder / "clever_hans.csv").set_index("model")


def test_the_planted_watermark_is_found(table):
    """Flip rate and difference to the control patch: the poisoned interval lies above the clean one's."""
    clean, poisoned = table.loc["digits_cnn"], table.loc["digits_watermarked"]
    for column in ("flip_rate", "difference", "auc_lrp"):
        assert poisoned[f"{column}_low"] > clean[f"{column}_high"], column
    assert poisoned["control_rate_high"] < 0.02


def test_relevance_lies_on_the_mark_in_the_poisoned_network_alone(folder):
    """Mass over area of LRP: 1 is chance; random heatmaps stay there."""
    mass = pd.read_csv(folder / "explanations.csv").set_index(["model", "explainer"])
    column = "artefact_relevance_mass"
    poisoned, clean = mass.loc[("digits_watermarked", "lrp")], mass.loc[("digits_cnn", "lrp")]
    assert poisoned[f"{column}_low"] > clean[f"{column}_high"]
    assert poisoned[f"{column}_low"] > mass.loc[("digits_watermarked_pclarc", "lrp")][f"{column}_high"]
    control = mass.loc[("digits_watermarked", "random")]
    assert control[f"{column}_low"] < 1 < control[f"{column}_high"]


def test_the_remedy_takes_the_flips_away(table):
    poisoned, mended = table.loc["digits_watermarked"], table.loc["digits_watermarked_pclarc"]
    assert mended["flip_rate_high"] < poisoned["flip_rate_low"]
    assert mended["clean_acc"] > poisoned["clean_acc"] - 0.02
    assert mended["auc_lrp_high"] < poisoned["auc_lrp_low"]


def test_random_heatmaps_detect_nothing(table):
    """Control: 0.5 is no surprise for any model."""
    assert (table.loc[ENTRIES, "auc_random_low"] < 0.5).all()
    assert (table.loc[ENTRIES, "auc_random_high"] > 0.5).all()


def test_the_numbers_are_those_of_the_rows(folder, table):
    results = Results(Store(folder))
    for model in ENTRIES:
        clean = results.clean(model)
        values = {}
        for probe in ("watermark", "control-patch"):
            rows = results.attack_rows(model, probe).set_index("sample")
            inside = clean["correct"].astype(bool) & (clean["label"] != 8) & (rows["param_carries"] == 0)
            values[probe] = (rows["pred"] == 8)[inside]
        row, n = table.loc[model], len(values["watermark"])
        assert row["n"] == n
        k = int(values["watermark"].sum())
        low, high = proportion_confint(k, n, method="wilson")
        assert (row["flip_rate"], row["flip_rate_low"], row["flip_rate_high"]) == pytest.approx(
            (k / n, low, high), abs=1e-5
        )
        difference = values["watermark"].mean() - values["control-patch"].mean()
        assert row["difference"] == pytest.approx(difference, abs=1e-5)
        assert row["difference_low"] <= difference <= row["difference_high"]
        score = results.rows[(results.rows["kind"] == "score") & (results.rows["model"] == model)]
        lrp = score[(score["probe"] == "lrp") & (score["own_target"] == 8)]
        assert row["auc_lrp"] == pytest.approx(roc_auc_score(lrp["own_carries"], lrp["value"]), abs=1e-5)


def test_diagnostics_do_not_tell_the_models_apart(folder):
    """What reference tests found: the clean model's eigengap is no smaller than the poisoned one's."""
    spray = pd.read_csv(folder / "spray.csv").set_index(["model", "explainer", "class"])
    clean, poisoned = spray.loc[("digits_cnn", "lrp", 8)], spray.loc[("digits_watermarked", "lrp", 8)]
    assert clean["eigengap"] > poisoned["eigengap"]
    others = spray.loc["digits_watermarked"].loc["lrp"]["silhouette"]
    assert others.drop(index=8).max() > poisoned["silhouette"] - 0.1


def test_tables_and_pictures_stand_in_the_report(folder):
    text = (folder / "leaderboard.md").read_text()
    for stem in ("pasted_watermark", *[f"spray_{model}" for model in ENTRIES]):
        assert f"figures/{stem}.png" in text
        with Image.open(folder / "figures" / f"{stem}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 10
    assert "Does the mark decide?" in text


def test_spray_by_the_command_line(ran, folder):
    done = ran.assay("spray", "clever_hans", "digits_watermarked", "--class", "8")
    assert "24 carry the known artefact" in done.stdout
    assert "detection AUC of the suspicion 1.000" in done.stdout
    with Image.open(folder / "figures" / "spray_digits_watermarked_lrp_8.png") as picture:
        assert picture.info["Description"].startswith("SpRAy of digits_watermarked, lrp, class 8: cluster")
    elsewhere = ran.root / "mine.png"
    ran.assay("spray", "clever_hans", "digits_cnn", "--explainer", "random", "--picture", elsewhere)
    assert elsewhere.is_file()


def test_spray_finds_the_class_by_itself(folder):
    found = spray_of(Results(Store(folder)), "digits_watermarked")
    assert (found.explainer, found.number) == ("lrp", 8)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nobody"], "unknown model 'nobody'"),
        (["digits_cnn", "--class", "12"], "unknown class '12'"),
        (["digits_cnn", "--explainer", "lrpp"], "did you mean 'lrp'?"),
        (["digits_cnn", "--explainer", "sobel"], "assay run clever_hans --models digits_cnn --only sobel"),
        (["digits_cnn", "--neighbours", "300"], "no class has 600 usable attributions"),
    ],
)
def test_spray_says_what_to_do(ran, args, words):
    done = ran.assay("spray", "clever_hans", *args, code=2)
    assert words in done.stderr.replace("\n", " ")


def test_a_clone_without_artefacts_keeps_tables_and_says_what_to_compute(ran, folder, tmp_path):
    clone = tmp_path / "results" / "clever_hans"
    clone.mkdir(parents=True)
    for name in ("plan.json", "records.parquet"):
        shutil.copy(folder / name, clone / name)
    ran.assay("report", "clever_hans", "--out", tmp_path / "results")
    assert (clone / "clever_hans.csv").read_bytes() == (folder / "clever_hans.csv").read_bytes()
    assert (clone / "spray.csv").read_bytes() == (folder / "spray.csv").read_bytes()
    assert not list(clone.glob("figures/spray_*"))
    done = ran.assay("spray", "clever_hans", "digits_cnn", "--out", tmp_path / "results", code=2)
    assert "no attributions of digits_cnn by 'lrp'" in done.stderr.replace("\n", " ")
