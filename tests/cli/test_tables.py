"""Tables in a terminal. Property: whatever the width, every name and every number stands there whole."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from benchmark.cli.console import blocks, fitted
from benchmark.cli.tables import print_leaderboard
from benchmark.report.leaderboard import Leaderboard
from tests.conftest import REPOSITORY

NAMES = [f"resnet50_imagenet_{kind}" for kind in ("a1", "a2", "a1_seed2", "adv_linf_4", "adv_linf_8", "x", "y", "zz")]
WORDS = st.text("abcxyz_-0.9[]", min_size=1, max_size=24)


def board(models, quantities=9):
    frame = pd.DataFrame({"model": models, "rank": range(1, len(models) + 1), "n": 500})
    for k in range(quantities):
        name = f"robust_acc_pgd_{k}"
        values = [0.9 - 0.01 * i - 0.001 * k for i in range(len(models))]
        frame = frame.assign(**{name: values, f"{name}_low": 0.5, f"{name}_high": 0.95})
    names = [name for name in frame if not name.endswith(("_low", "_high"))]
    return Leaderboard("made", "A title that says what this is about", frame, {}, names)


def printed(of, width):
    console = Console(width=width, file=io.StringIO(), highlight=False)
    print_leaderboard(console, of)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 160])
@pytest.mark.parametrize("models", [NAMES, NAMES[:3], [f"{name}_{k}" for name in NAMES for k in range(3)]])
def test_names_and_numbers_are_whole(models, width):
    text = printed(board(models), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    found = re.findall(r"[\w-]+", text)
    assert set(models) <= set(found)
    for k in range(9):
        for i in range(len(models)):
            assert f"{0.9 - 0.01 * i - 0.001 * k:.3f} [0.500, 0.950]" in text


def test_few_models_stand_side_by_side():
    """A row a quantity where that fits, as a page has it; of many models a row a model."""
    assert re.search(r"│ robust_acc_pgd_0 +│ 0.900 .*│ 0.890", printed(board(NAMES[:3]), 160))
    assert re.search(rf"│ {NAMES[0]} +│ +1 │", printed(board([*NAMES, "ninth"]), 160))


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, min_size=2, max_size=9, unique=True), st.integers(40, 200), st.integers(1, 2))
def test_every_column_stands_in_one_block_and_every_cell_is_whole(heads, width, keys):
    keys = min(keys, len(heads) - 1)
    rows = [[f"{head}|{r}" for head in heads] for r in range(3)]
    found = blocks(heads, rows, width=width, keys=keys)
    assert [k for block in found for k in block[keys:]] == list(range(keys, len(heads)))
    console = Console(width=width, file=io.StringIO(), highlight=False)
    for table in fitted("t", heads, rows, width=width, keys=keys):
        console.print(table, markup=False)
    text = console.file.getvalue()
    assert "…" not in text
    widest = sum(sorted((len(head) + 5 for head in heads), reverse=True)[: keys + 1]) + 1
    if widest <= width:  # else a cell may go on in the next line
        for row in rows:
            assert all(cell in text for cell in row)


@pytest.mark.parametrize("width", [80, 120])
def test_columns_is_honoured_where_nobody_looks(width):
    command = [sys.executable, "-m", "benchmark.cli.main", "report", "digits", "--format", "text"]
    environment = {**os.environ, "COLUMNS": str(width)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert width - 25 < max(map(len, lines)) <= width
    assert all(name in done.stdout for name in ("digits_cnn_adv", "digits_cnn ", "digits_mlp"))


@pytest.mark.long
def test_a_digest_is_printed_whole(tmp_path):
    command = [sys.executable, "-m", "benchmark.cli.main", "check", "digits_mlp"]
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    cells = [line.split("│")[3].strip() for line in done.stdout.splitlines() if line.count("│") == 5]
    assert re.search(r"sha256 ?[0-9a-f]{64}", "".join(cells))
    assert "…" not in done.stdout
