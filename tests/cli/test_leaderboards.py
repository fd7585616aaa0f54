"""Leaderboards on the command line, in this process. Oracle: the tracked results and the formats' own functions."""

from __future__ import annotations

import io
import json
import shutil
import sys

import pandas as pd
import pytest

import benchmark
from benchmark.cli.main import main
from tests.conftest import REPOSITORY

TRACKED = REPOSITORY / "results"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Copies of some results, and a folder that was never reported."""
    root = tmp_path_factory.mktemp("results")
    for name in ("digits", "universal", "mri"):
        shutil.copytree(TRACKED / name, root / name)
    (root / "bare").mkdir()
    shutil.copy(TRACKED / "digits" / "plan.json", root / "bare")
    return root


@pytest.fixture
def assay(results, monkeypatch, capsys):
    def run(*args, code=0):
        monkeypatch.chdir(REPOSITORY)
        monkeypatch.setattr(sys, "argv", ["assay", *args, *(() if ".csv" in args[-1] else ("--out", str(results)))])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert (end.value.code or 0) == code, err
        return out if code == 0 else err

    return run


def bytes_of(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("form", ["csv", "md", "latex", "json"])
def test_a_format_is_what_python_makes_and_nothing_else_is_printed_or_written(assay, results, form):
    before = bytes_of(results / "digits")
    columns = "rank,clean_acc,robust_acc_*"
    printed = assay("report", "digits", "--format", form, "--columns", columns, "--sort", "-clean_acc")
    board = benchmark.leaderboard("digits", out=results).select(columns).sort("-clean_acc")
    made = {"csv": board.to_csv, "md": board.to_markdown, "latex": board.to_latex, "json": board.to_json}[form]()
    assert printed == made
    assert bytes_of(results / "digits") == before


def test_columns_alone_print_a_table_for_people(assay):
    printed = assay("report", "digits", "--columns", "rank,asr_apgd_*")
    lines = [line for line in printed.splitlines() if line.startswith("│")]
    assert [line.split("│")[1].strip() for line in lines] == ["rank", "asr_apgd_0.1"]
    assert "Decided on robust_acc_worst" in printed


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--columns", "clean_ac"), "unknown column 'clean_ac': did you mean 'clean_acc'?"),
        (("--columns", "nothing_*"), "unknown column 'nothing_*'"),
        (("--sort", "-robust_acc_wurst"), "did you mean 'robust_acc_worst'"),
        (("--format", "xls"), "unknown format 'xls'"),
    ],
)
def test_what_is_not_there_is_refused(assay, args, said):
    assert said in assay("report", "digits", *args, code=2)


def test_joined_tables_in_one_csv_and_one_json(assay):
    table = pd.read_csv(io.StringIO(assay("leaderboard", "digits", "universal", "mri", "--format", "csv")))
    assert table["task"].value_counts().to_dict() == {"reconstruction": 20, "classification": 3}
    assert table["model"].is_unique
    own = pd.read_csv(TRACKED / "universal" / "leaderboard.csv").set_index("model")["robust_acc_worst"]
    column = table.set_index("model")["universal:robust_acc_worst"].dropna()
    assert column.to_dict() == pytest.approx(own.to_dict())
    data = json.loads(assay("leaderboard", "digits", "mri", "--format", "json"))
    assert [each["name"] for each in data["tables"]] == ["classification", "reconstruction"]
    assert set(data["tables"][0]["settings"]) == {"digits"}


def test_without_a_name_every_suite_with_a_leaderboard_is_joined(assay):
    printed = assay("leaderboard", "--columns", "pareto,*:rank", "--sort", "model")
    assert "Classification: digits and universal" in printed
    assert "Reconstruction: mri" in printed
    assert "bare" not in printed


def test_each_table_is_asked_for_the_columns_that_it_has(assay):
    printed = assay("leaderboard", "digits", "mri", "--format", "md", "--columns", "mri:psnr")
    assert "Classification" not in printed
    assert "mri:psnr ↑" in printed
    assert "unknown column 'mri:psn'" in assay("leaderboard", "digits", "mri", "--columns", "mri:psn", code=2)


def test_a_suite_that_was_not_reported_is_told_how(assay):
    assert "first: assay report bare" in assay("leaderboard", "bare", code=2)
    assert "unknown suite 'digit'" in assay("leaderboard", "digit", code=2)


def test_two_files_and_what_is_none(assay, tmp_path):
    old, new = TRACKED / "digits" / "leaderboard.csv", tmp_path / "new.csv"
    text = old.read_text()
    assert "0.36,0.307769,0.415771" in text
    new.write_text(
        text.replace("0.36,0.307769,0.415771", "0.1,0.07,0.14", 1)
    )  # robust_acc_worst; an attack has the same
    printed = assay("compare", str(old), str(new))
    assert "1 beyond the intervals, 200 the same" in printed
    assert "0.360 [0.308, 0.416]" in printed
    assert "the same" in assay("compare", str(old), str(old))
    said = assay("compare", str(TRACKED / "digits" / "curves.csv"), str(new), code=2)
    assert "not a leaderboard: expected a leaderboard.csv" in said


def test_two_models_need_a_suite_and_two_names(assay):
    assert "two of its models" in assay("compare", "digits", "digits_cnn", code=2)
    assert "digits_cnn against digits_mlp" in assay("compare", "digits", "digits_cnn", "digits_mlp")
