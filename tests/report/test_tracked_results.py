"""The tracked results: rebuilt from their records byte for byte, made by the entries that stand here, and true.

Oracle: the issue's own claims (the adversarially trained model is the more robust; the random control is worse than
every real explanation), read off the published tables.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil

import pandas as pd
import pytest

from benchmark.models.entries import load_entry
from benchmark.registry import library_version
from benchmark.report.write import write_report
from benchmark.spec.suites import load_suite
from tests.conftest import REPOSITORY

MADE_WITH = {"timm": "1.0.31"}
# networks of others, whose licences do not let them stand in baselines/
ELSEWHERE = ("attackbench-cifar10", "cifar10_")
# of these suites and their variants the tables take seconds
LONG = ("attackbench", "cifar10_", "evaluation", "imagenet_corruptions", "mri", "structural", "universal")
SUITES = sorted(folder.name for folder in (REPOSITORY / "results").iterdir() if (folder / "records.parquet").is_file())


@pytest.fixture(params=SUITES)
def tracked(request):
    return REPOSITORY / "results" / request.param


def tables(folder):
    files = [file for file in folder.glob("*.csv") if not file.name.startswith("combined")]  # of a suite and its parts
    return {file.name: file.read_text() for file in [*files, folder / "leaderboard.md"]}


@pytest.mark.parametrize(
    "tracked",
    [pytest.param(name, marks=pytest.mark.long if name.startswith(LONG) else ()) for name in SUITES],
    indirect=True,
)
def test_tables_are_what_report_makes_of_the_tracked_records(tracked, tmp_path):
    """As in a clone: the pictures are there, the artefacts that some are drawn from are not."""
    for name in ("plan.json", "records.parquet"):
        shutil.copy(tracked / name, tmp_path)
    if (tracked / "figures").is_dir():
        shutil.copytree(tracked / "figures", tmp_path / "figures")
    write_report(tmp_path)
    assert tables(tmp_path) == tables(tracked)


def test_every_shipped_suite_that_brings_entries_has_tracked_results():
    """Its own, or those of a variant; a suite without entries is run on those that a user brings."""
    brings = [file.stem for file in (REPOSITORY / "suites").glob("*.toml") if load_suite(file.stem).entries]
    assert len(brings) > 15
    assert not [name for name in brings if not any(f"{each}-".startswith(f"{name}-") for each in SUITES)]


def test_results_belong_to_the_entries_that_stand_here(tracked, monkeypatch, request):
    """A network of timm's enters with timm's version: here with the one that the results were made with."""
    real = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: MADE_WITH.get(name) or real(name))
    library_version.cache_clear()
    request.addfinalizer(library_version.cache_clear)
    plan = json.loads((tracked / "plan.json").read_text())
    if tracked.name.startswith(ELSEWHERE):
        assert not any((REPOSITORY / "baselines" / name).is_dir() for name in plan["entries"])
        return
    for name, digest in plan["entries"].items():
        assert load_entry(name, [REPOSITORY / "baselines"]).digest() == digest, name


def test_nothing_failed_or_is_missing_and_no_input_left_its_budget(tracked):
    board = pd.read_csv(tracked / "leaderboard.csv")
    assert not board[["failed", "missing", "nan", "out_of_budget"]].to_numpy().any()
    if "gate" in board:  # a row that fails the gate makes no claim; without a threat model nothing ranks
        threat = json.loads((tracked / "plan.json").read_text())["suite"]["threat"]
        assert board["rank"].notna().equals((board["gate"] == "passed") & (threat is not None))
    else:
        assert board["rank"].notna().all()


def test_the_page_on_mri_shows_what_the_leaderboard_holds():
    board = pd.read_csv(REPOSITORY / "results" / "mri" / "leaderboard.csv").set_index("model")
    text = (REPOSITORY / "docs" / "mri.md").read_text().partition("<!-- table: mri -->\n")[2].partition("\n\n")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    assert {row[0] for row in rows} == set(board.index)
    for name, gate, ratio, amp, clean, noise, worst in rows:
        row = board.loc[name]
        low, high = row["amp_ratio_0.05_low"], row["amp_ratio_0.05_high"]
        assert [gate, ratio] == [row["gate"], f"{row['amp_ratio_0.05']:.2f} [{low:.2f}, {high:.2f}]"]
        errors = [row["rel_err"], row["rel_err_random_0.05"], row["rel_err_worst_0.05"]]
        assert [amp, clean, noise, worst] == [f"{row['amp_worst_0.05']:.2f}", *(f"{error:.3f}" for error in errors)]


def test_the_page_on_the_field_shows_what_the_leaderboards_hold():
    """Each number of each table, with its interval; what the page says of them holds."""
    text = (REPOSITORY / "docs" / "cifar_imagenet.md").read_text()
    names = re.findall(r"<!-- table: (\S+) -->", text)
    assert len(names) == 5
    boards = {name: pd.read_csv(REPOSITORY / "results" / name / "leaderboard.csv") for name in names}
    for name, board in boards.items():
        lines = text.partition(f"<!-- table: {name} -->\n")[2].partition("\n\n")[0].splitlines()
        assert lines[0].startswith(f"| {name}, n = {board['n'].iloc[0]} |")
        assert [line.split("`")[1] for line in lines[2:]] == list(board["model"])
        for line, row in zip(lines[2:], board.to_dict("records"), strict=True):
            known = {f"{value:.3f}" for value in row.values() if isinstance(value, float)}
            assert set(re.findall(r"\d\.\d{3}", line)) <= known, line
    linf = boards["cifar10_linf-part846"].set_index("model")
    lost = linf["robust_acc_pgd-50-10_0.03137"] - linf["robust_acc_autoattack_0.03137"]
    robust = [name for name in linf.index if not name.startswith("cifar_resnet20")]
    assert lost[robust].between(0.02, 0.0405).all()
    corrupted = boards["cifar10_corruptions-part846"].set_index("model")
    assert corrupted["corruption_error"].idxmin() == "cifar_sri_resnet_adv"
    assert 0.12 <= corrupted["clean_acc"]["cifar_resnet20"] - corrupted["clean_acc"]["cifar_sri_resnet_adv"] < 0.13


def test_what_is_known_of_reconstruction_holds_in_the_published_table():
    """Oracles: zero-filling amplifies exactly 1; no worst case lies below noise, no larger budget below a smaller."""
    board = pd.read_csv(REPOSITORY / "results" / "mri" / "leaderboard.csv").set_index("model")
    assert board.loc["zero_filled", "amp_worst_0.05"] == pytest.approx(1, abs=1e-4)
    assert board.loc["zero_filled", "amp_ratio_0.01"] == pytest.approx(1, abs=1e-4)
    for eps in ("0.01", "0.05"):
        assert (board[f"rel_err_worst_{eps}"] >= board[f"rel_err_random_{eps}"] - 1e-6).all()
        assert (board[f"amp_ratio_{eps}"] >= 1 - 1e-4).all()
    assert (board["rel_err_worst_0.05"] >= board["rel_err_worst_0.01"]).all()


def test_no_path_of_a_machine_is_published(tracked):
    text = (tracked / "plan.json").read_text() + (tracked / "leaderboard.md").read_text()
    packed = pd.read_parquet(tracked / "records.parquet")
    text += "".join(packed["json"].dropna())
    assert "/work" not in text
    assert "/home" not in text
    assert "/tmp" not in text


def test_adversarial_training_makes_the_digits_network_more_robust():
    board = pd.read_csv(REPOSITORY / "results/digits/leaderboard.csv").set_index("model")
    assert board.loc["digits_cnn_adv", "rank"] == 1
    for other in ("digits_cnn", "digits_mlp"):
        assert board.loc["digits_cnn_adv", "robust_acc_worst_low"] > board.loc[other, "robust_acc_worst_high"]


def test_curves_fall_with_the_budget_and_the_worst_case_is_the_worst():
    board = pd.read_csv(REPOSITORY / "results/digits/leaderboard.csv").set_index("model")
    curve = board[[f"robust_acc_pgd_{eps}" for eps in ("0.05", "0.1", "0.15", "0.2", "0.3")]]
    assert (curve.diff(axis=1).iloc[:, 1:] <= 0).to_numpy().all()
    assert (board["robust_acc_worst"] <= board[["robust_acc_pgd_0.1", "robust_acc_apgd_0.1"]].min(axis=1)).all()
    assert (board["robust_acc_pgd_0.1"] < board["robust_acc_noise_0.1"]).all()


@pytest.mark.parametrize("metric", ["faithfulness_correlation", "faithfulness_estimate"])
def test_the_random_control_is_worse_than_every_real_explanation_of_digits(metric):
    table = pd.read_csv(REPOSITORY / "results/digits/explanations.csv").set_index(["model", "explainer"])
    for model in ("digits_mlp", "digits_cnn", "digits_cnn_adv"):
        for explainer in ("input-x-gradient", "integrated-gradients", "lrp"):
            real = table.loc[(model, explainer), f"{metric}_low"]
            assert table.loc[(model, "random"), f"{metric}_high"] < real, (model, explainer)


def test_maps_of_imagenet_lie_on_the_object_and_controls_do_not_look():
    """GradCAM's pointing game lies above the boxes' share of the image, random numbers at it; on mosaics, where the
    evidence is known without a box, random numbers and edges get a quarter. Edges do lie on objects: sobel's pointing
    game is no oracle."""
    table = pd.read_csv(REPOSITORY / "results/explanations_imagenet-val600/explanations.csv").set_index("explainer")
    cam, random, sobel = (table.loc[name] for name in ("gradcam", "random", "sobel"))
    share = cam["mask_share"]
    assert cam["pointing_game_low"] > share + 0.2
    assert random["pointing_game_low"] < share < random["pointing_game_high"]
    assert random["relevance_mass_accuracy"] == pytest.approx(share, abs=0.01)
    assert table.loc["constant", "relevance_mass_accuracy"] == pytest.approx(share, abs=1e-6)
    assert random["grid_pointing_game"] == pytest.approx(0.25, abs=0.005)
    assert sobel["grid_pointing_game_low"] < 0.25 < sobel["grid_pointing_game_high"]
    assert table.loc["untrained", "grid_pointing_game_low"] < 0.25 < table.loc["untrained", "grid_pointing_game_high"]
    assert cam["grid_pointing_game_low"] > 0.75


def test_the_page_on_explanations_shows_what_the_table_of_imagenet_holds():
    table = pd.read_csv(REPOSITORY / "results/explanations_imagenet-val600/explanations.csv").set_index("explainer")
    text = (REPOSITORY / "docs" / "explanations.md").read_text().partition("| other class (lower) |\n")[2]
    lines = [line for line in text.partition("\n\n")[0].splitlines()[1:] if "chance" not in line]
    columns = ["pointing_game", "relevance_mass_accuracy", "relevance_rank_accuracy", "grid_pointing_game"]
    columns += ["pixel_flipping", "random_logit"]
    assert len(lines) == 11
    for line in lines:
        name, *cells = line.strip("|").split(" | ")
        row = table.loc[re.findall("`(.*?)`", name)[0]]
        for cell, column in zip(cells, columns, strict=True):
            value, _, interval = cell.strip().partition(" ")
            assert float(value) == pytest.approx(row[column], abs=0.0051), line
            if interval:
                ends = [float(end) for end in interval.strip("[]").split(", ")]
                assert ends == pytest.approx([row[f"{column}_low"], row[f"{column}_high"]], abs=0.0051), line


def test_only_pgd_of_the_evaluation_is_doubtful_and_autoattack_is_the_best_single_attack():
    board = pd.read_csv(REPOSITORY / "results/evaluation/leaderboard.csv").set_index("model")
    assert set(board["flags"].dropna()) <= {"more-steps-gain"}
    text = (REPOSITORY / "results/evaluation/leaderboard.md").read_text()
    assert set(re.findall(r"ten more steps of (\S+) break", text)) <= {"pgd-40", "pgd-100"}
    assert (board["robust_acc_apgd-unbounded_1"] == 0).all()
    for eps in ("0.05", "0.1", "0.2"):
        others = board[[f"robust_acc_{name}_{eps}" for name in ("pgd-40", "pgd-100", "apgd-100", "square", "noise")]]
        assert (board[f"robust_acc_autoattack_{eps}"] <= others.min(axis=1) + 0.005).all()
        assert (board[f"asr_8bit_autoattack_{eps}"] <= board[f"asr_autoattack_{eps}"]).all()


def test_the_picture_of_the_docs_is_that_of_the_tracked_run():
    figure = (REPOSITORY / "results/evaluation/figures/curves_linf.png").read_bytes()
    assert (REPOSITORY / "docs/img/curves.png").read_bytes() == figure
    assert len(figure) < 150_000
