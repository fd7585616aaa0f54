"""A leaderboard as an object and its formats.

Oracles: the tracked leaderboard.csv, byte for byte; the CSV for the JSON; counts on records written by hand; a parser
of HTML for what a hostile name may not become.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from math import isnan, nan

import pandas as pd
import pytest

import benchmark
from benchmark.errors import NoRecordsError, UnknownNameError
from benchmark.report.formats import csv_of_several, json_of_several
from benchmark.report.leaderboard import Leaderboard
from benchmark.report.ranking import Note
from benchmark.results.heads import Head
from tests.conftest import REPOSITORY
from tests.report.test_leaderboard import Made, pgd

RESULTS = REPOSITORY / "results"


@pytest.fixture(scope="module")
def digits():
    return benchmark.leaderboard("digits", out=RESULTS)


@pytest.fixture(scope="module")
def mri():
    return benchmark.leaderboard("mri", out=RESULTS)


def small(**more):
    """A table written by hand, with a blank and its bounds."""
    frame = pd.DataFrame({"model": ["b", "a", "c"], "rank": pd.array([1, 2, None], "Int64"), "n": [4, 4, 4]})
    frame = frame.assign(
        acc=[0.5, 0.25, nan], acc_low=[0.4, 0.1, 0.0], acc_high=[0.6, 0.4, 1.0], flags=["", "late", ""]
    )
    heads = {"acc": Head("acc", True, "share"), "rank": Head("rank", False)}
    notes = (Note(1, "late", "more steps gain", (("a", "9 of 10"),)),)
    shown = ["model", "rank", "n", "flags", "acc"]
    return Leaderboard("made", "Made", frame, heads, shown, places=["Decided."], notes=notes, lead="acc", **more)


# -- choosing and sorting -----------------------------------------------------------------------------------------


def test_columns_are_names_or_patterns_in_the_order_asked_for_and_intervals_follow(digits):
    board = digits.select("robust_acc_noise_*,clean_acc, rank")
    assert board.page() == ["model", "robust_acc_noise_0.1", "robust_acc_noise_0.3", "clean_acc", "rank"]
    names = list(board.to_pandas())
    assert names[1:4] == ["robust_acc_noise_0.1", "robust_acc_noise_0.1_low", "robust_acc_noise_0.1_high"]
    assert names[-1] == "rank"
    assert digits.chosen is None  # the table itself is left as it was


@pytest.mark.parametrize("asked", ["clean_ac", "no_such_*", "clean_acc_low"])
def test_an_unknown_column_is_refused_with_the_near_match(digits, asked):
    with pytest.raises(UnknownNameError, match="clean_acc" if asked == "clean_ac" else "column") as error:
        digits.select(asked)
    assert "digits" in str(error.value)
    with pytest.raises(UnknownNameError):
        digits.sort(f"-{asked}")


def test_sorting_by_any_column_leaves_blanks_last_and_ties_as_they_were():
    board = small()
    assert list(board.sort("acc").frame["model"]) == ["a", "b", "c"]
    assert list(board.sort("-acc").frame["model"]) == ["b", "a", "c"]
    assert list(board.sort("-rank").frame["model"]) == ["a", "b", "c"]
    assert list(board.sort("n,-model").frame["model"]) == ["c", "b", "a"]
    assert list(board.sort("n").frame["model"]) == ["b", "a", "c"]


# -- formats ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["digits", "mri", "pneumonia"])
def test_the_csv_is_that_of_the_results_folder(suite):
    board = benchmark.leaderboard(suite, out=RESULTS)
    assert board.to_csv().encode() == (RESULTS / suite / "leaderboard.csv").read_bytes()


def cells(table):
    """CSV to (row, column) to float, text or None."""
    found = {}
    for i, row in table.iterrows():
        for name, value in row.items():
            found[i, name] = None if pd.isna(value) else value
    return found


@pytest.mark.parametrize("board", ["digits", "mri"])
def test_the_json_holds_the_numbers_of_the_csv(board, request):
    board = request.getfixturevalue(board)
    data = json.loads(board.to_json())
    flat = []
    for row in data["rows"]:
        line = {}
        for column in data["columns"]:
            value = row[column["name"]]
            parts = value if column["interval"] else {"value": value}
            line |= {column["name"] + ("" if part == "value" else f"_{part}"): v for part, v in parts.items()}
        flat.append(line)
    text = board.to_csv()
    table = pd.read_csv(io.StringIO(text), dtype={"flags": str}, keep_default_na=True)
    again = {key: None if value == "" else value for key, value in cells(pd.DataFrame(flat)).items()}
    assert again == cells(table)


def test_the_json_says_what_must_stand_under_a_table(mri):
    data = json.loads(mri.select("rank,amp_ratio_0.05,psnr").to_json())
    assert data["ranked_by"] == "amp_ratio_0.05"
    better = {column["name"]: column["better"] for column in data["columns"]}
    assert better == {"model": None, "rank": "lower", "amp_ratio_0.05": "lower", "psnr": "higher"}
    assert data["places"][0].startswith("Decided on amp_ratio_0.05: place 11 (automap_jitter)")
    assert [flag["name"] for flag in data["flags"]] == ["accuracy-gate"]
    assert {each["model"] for each in data["flags"][0]["found"]} >= {"zero_filled", "unet"}
    assert data["settings"]["mri"]["versions"]["torch"]


def test_a_blank_is_null_in_json_and_shown_with_its_bounds():
    board = small()
    row = json.loads(board.to_json())["rows"][2]
    assert row["acc"] == {"value": None, "low": 0.0, "high": 1.0}
    assert row["rank"] is None
    assert "? [0.000, 1.000]" in board.to_markdown()


def test_markdown_has_footnotes_words_and_everything_folded_away(digits):
    text = small().to_markdown()
    assert "| late (1) |" in text
    assert "1. **late**: more steps gain.\n   - a: 9 of 10" in text
    assert "- Decided." in text
    whole = digits.to_markdown()
    fold = whole[whole.index("<details><summary>Every setting") :]
    assert "steps = 20, rel_stepsize = 0.1; by default abs_stepsize = null" in fold
    assert whole.count("<details>") == whole.count("</details>")


def test_a_flag_of_the_suite_has_its_footnote_in_every_format(mri):
    assert "accuracy-gate (1)" in mri.to_markdown()
    assert r"\textsuperscript{1} accuracy-gate: clean error worse" in mri.to_latex()
    assert "<sup>1</sup> <em>accuracy-gate</em>" in mri._repr_html_()
    assert "accuracy-gate (1)" in repr(mri)


class Parsed(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def test_hostile_text_is_text_in_html_and_markdown():
    hostile = '<script>alert("1")</script>|`x`'
    board = small()
    frame = board.frame.assign(model=[hostile, "a", "c"])
    board = replace(board, frame=frame, title=hostile, places=[hostile], pairs=[hostile], about={"facts": hostile})
    parsed = Parsed()
    parsed.feed(board._repr_html_())
    assert "script" not in parsed.tags
    assert parsed.text.count(hostile) == 4  # title, row, place, pair
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert "<script" not in board.to_markdown()
    assert all(line.count("|") - line.count("\\|") == 6 for line in board.to_markdown().splitlines() if line[:1] == "|")


def test_html_draws_the_interval_where_it_lies():
    """On [0, 1] of a share: 0.4 to 0.6 around the middle of the bar, the blank without a dot."""
    parsed = Parsed()
    parsed.feed(small()._repr_html_())
    assert parsed.tags.count("svg") == 3
    assert parsed.tags.count("circle") == 2
    x = [float(value) for name, value in parsed.attributes if name in ("x1", "cx", "x2")]
    axis, low, high, dot = [0, 96], 3 + 90 * 0.4, 3 + 90 * 0.6, 48
    assert x[:5] == pytest.approx([*axis, low, high, dot], abs=0.06)


def test_several_tables_in_one_file():
    other = replace(small(), name="other", frame=small().frame.rename(columns={"n": "m"}))
    table = pd.read_csv(io.StringIO(csv_of_several([small(), other])))
    assert table["task"].tolist() == ["made"] * 3 + ["other"] * 3
    assert table["n"].isna().sum() == table["m"].isna().sum() == 3
    assert [each["name"] for each in json.loads(json_of_several([small(), other]))["tables"]] == ["made", "other"]


def test_the_short_form_fits_a_prompt(digits):
    lines = repr(digits).splitlines()
    assert max(map(len, lines[:-1])) <= 112
    assert lines[0].startswith("Handwritten digits")
    assert lines[-1] == digits.places[-1]


def test_a_table_with_counts_of_what_failed(tmp_path):
    made = Made(tmp_path, attacks=[pgd("1/10")], threat={"norm": "linf", "eps": "1/10"})
    made.clean("a", [1, 1], [1, 0])
    made.attack("a", "pgd", "1/10", [0.1, None], "failed")
    made.report()
    board = Leaderboard.of(made.results)
    assert "failed" in board.page()
    assert board.places == ["Without a place: a (samples lack a verdict on robust_acc_worst)."]
    assert isnan(board.to_pandas().loc[0, "robust_acc_worst"])


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(NoRecordsError):
        benchmark.leaderboard("nothing", out=tmp_path)
