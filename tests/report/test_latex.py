"""The LaTeX table. Oracle: a small reader of LaTeX that undoes the escapes; rows counted in the table itself."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import benchmark
from benchmark.report.latex import SPECIAL, escape, latex
from benchmark.report.leaderboard import Leaderboard
from tests.conftest import REPOSITORY

BACK = {made: char for char, made in SPECIAL.items()} | {"{}": ""}


def read(text):
    """What LaTeX would show; fails where a character has a meaning of its own."""
    shown, i = "", 0
    tokens = sorted(BACK, key=len, reverse=True)
    while i < len(text):
        token = next((t for t in tokens if text.startswith(t, i)), None)
        if token is None:
            assert text[i] not in '\\&%$#_{}~^<>|"', text
            shown += text[i]
            i += 1
        else:
            shown += BACK[token]
            i += len(token)
    return shown


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
@example("--no-option")
@example(r"\input{/etc/passwd} 50 % of a_b & c^2 #1 ~ $x$ [0, 1]")
def test_escaped_text_reads_as_it_was_written(text):
    wanted = " ".join(text.split()).replace('"', "''")
    assert read(escape(text)) == wanted


@given(st.text(max_size=30))
def test_whatever_the_text_no_character_keeps_a_meaning_and_nothing_is_left_that_pdflatex_lacks(text):
    made = escape(text)
    read(made)
    bare = made.replace("\\{", "").replace("\\}", "")
    assert bare.count("{") == bare.count("}")
    assert all(char.isprintable() and ord(char) < 0x180 for char in made)


def rows_of(text):
    body = text[text.index("\\midrule\n") + len("\\midrule\n") : text.index("\\bottomrule")]
    return [line for line in body.splitlines() if line]


@pytest.mark.parametrize(("suite", "columns"), [("digits", "rank,n,clean_acc,robust_acc_worst"), ("mri", "")])
def test_the_table_has_a_row_a_model_and_a_cell_a_column(suite, columns):
    board = benchmark.leaderboard(suite, out=REPOSITORY / "results")
    board = board.select(columns) if columns else board
    text = board.to_latex()
    assert text.count("\\toprule") == text.count("\\midrule") == text.count("\\bottomrule") == 1
    names = board.page()
    rows = rows_of(text)
    assert len(rows) == len(board.frame)
    for row, model in zip(rows, board.frame["model"], strict=True):
        found = re.split(r"(?<!\\)&", row)
        assert len(found) == len(names)
        assert read(found[0].strip()) == model
        assert row.endswith(r"\\")
    for environment in ("table", "tabular", "minipage"):
        assert text.count(f"\\begin{{{environment}}}") == text.count(f"\\end{{{environment}}}") == 1
    assert f"\\label{{tab:{suite}}}" in text
    spec = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)
    assert spec is not None
    assert len(spec[1]) == len(names)
    for place in board.places:
        assert escape(place) in text
    after = text[text.index("\\end{table}") :].splitlines()[1:]
    assert after[0].startswith("% Every setting")
    assert all(line.startswith("%") for line in after)


def test_what_is_wider_than_a_page_has_a_column_a_model_or_is_shrunk():
    board = benchmark.leaderboard("digits", out=REPOSITORY / "results").select("rank,robust_acc_*")
    rows = [re.split(r"(?<!\\)&", row) for row in rows_of(board.to_latex())]
    assert [read(row[0].strip()).split()[0] for row in rows] == [name for name in board.page() if name != "model"]
    assert {len(row) for row in rows} == {1 + len(board.frame)}
    assert sum("\\textbf" in cell for row in rows for cell in row) == 1  # the headline's best
    assert "resizebox" not in board.to_latex()
    wide = benchmark.leaderboard("mri", out=REPOSITORY / "results").to_latex()
    assert "\\resizebox{\\linewidth}{!}{%\n\\begin{tabular}" in wide
    assert "\\end{tabular}}\n" in wide
    assert "% needs \\usepackage{booktabs,graphicx}" in wide


def table(ranks):
    frame = pd.DataFrame({"model": [f"m{i}" for i in range(len(ranks))], "rank": pd.array(ranks, "Int64")})
    return Leaderboard("s_1", "S", frame.assign(acc=0.5), {}, ["model", "rank", "acc"], lead="acc")


def test_bold_is_rank_one_and_only_where_somebody_is_significantly_worse():
    assert "\\textbf{0.500}" not in latex(table([1, 1, 1]))
    assert "Bold" not in latex(table([1, 1, 1]))
    text = latex(table([1, 1, 3, None]))
    assert [("\\textbf" in row) for row in rows_of(text)] == [True, True, False, False]
    assert "Bold: rank 1 on acc" in text
    assert "tab:s-1" in text


def test_a_hostile_title_and_settings_stay_where_they_are():
    board = replace(table([1]), title="}\\end{table}\n\\input{x}", about={"a\nb": "c\n\\evil"})
    text = latex(board)
    assert "\\input" not in text
    assert "\\evil" not in text
    assert text.count("\\end{table}") == 1
