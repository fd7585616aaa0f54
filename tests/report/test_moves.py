"""Two leaderboard files compared. Oracle: a pair made by hand with known moves; the overlap of two intervals."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import UsageError
from benchmark.report.moves import BEYOND, CAME, OTHER, WENT, WITHIN, differences
from benchmark.report.pareto import apart
from tests.conftest import REPOSITORY

OLD = """model,rank,n,flags,acc,acc_low,acc_high,seconds,gone,entry_digest,dataset_digest,records_digest
a,1,100,,0.9,0.8,0.95,1.5,1,ea,d,ra
b,2,100,,0.6,0.5,0.7,2,1,eb,d,rb
c,,100,late,,0.1,0.9,3,1,ec,d,rc
left,3,100,,0.1,0.05,0.2,3,1,el,d,rl
"""
NEW = """model,rank,n,flags,acc,acc_low,acc_high,seconds,fresh,entry_digest,dataset_digest,records_digest
b,1,100,late,0.75,0.71,0.8,2,1,eb,d,rb2
a,1,100,,0.85,0.75,0.9,1.5,1,changed,d,ra2
c,3,100,late,0.5,0.4,0.6,4,1,ec,d,rc2
came,4,100,,0.2,0.1,0.3,3,1,en,d,rn
"""


@pytest.fixture
def files(tmp_path):
    for name, text in (("old", OLD), ("new", NEW)):
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path / "old.csv", tmp_path / "new.csv"


def test_known_moves(files):
    found = differences(*files)
    assert {(move.model, move.column): move.how for move in found.moves} == {
        ("b", "acc"): BEYOND,  # [0.5, 0.7] and [0.71, 0.8]
        ("a", "acc"): WITHIN,
        ("c", "acc"): CAME,
        ("c", "rank"): CAME,
        ("b", "rank"): OTHER,
        ("b", "flags"): CAME,
        ("c", "seconds"): OTHER,
    }
    assert found.moves[0].how == BEYOND
    assert (found.moves[0].old, found.moves[0].new) == ("0.600 [0.500, 0.700]", "0.750 [0.710, 0.800]")
    rank = next(move for move in found.moves if (move.model, move.column) == ("b", "rank"))
    assert (rank.old, rank.new) == ("2", "1")
    assert found.same == 3 * 5 - 7  # rank, n, flags, acc and seconds of a, b and c
    assert found.lines == (
        "model of the old one alone: left",
        "model of the new one alone: came",
        "column of the old one alone: gone",
        "column of the new one alone: fresh",
        "another model under the same name (its entry changed): a",
    )


def test_backwards_a_value_vanishes(files):
    found = differences(*files[::-1])
    assert next(move.how for move in found.moves if (move.model, move.column) == ("c", "acc")) == WENT


def test_other_data_are_not_comparable(files):
    files[1].write_text(NEW.replace(",d,", ",other,").replace(",100,", ",50,"))
    lines = differences(*files).lines
    assert "other data (a, b, c): the two are not comparable, whatever the intervals say" in lines
    assert "another number of samples: a, b, c" in lines


def test_a_file_against_itself_has_not_moved():
    file = REPOSITORY / "results" / "mri" / "leaderboard.csv"
    found = differences(file, file)
    assert found.moves == ()
    assert found.lines == ()
    assert found.same > 20 * 10


@given(st.tuples(*[st.floats(0, 1) for _ in range(4)]))
def test_apart_is_an_empty_intersection(bounds):
    one, other = sorted(bounds[:2]), sorted(bounds[2:])
    assert apart(tuple(one), tuple(other)) == (max(one[0], other[0]) > min(one[1], other[1]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("eps,acc\n1,2\n", "lacks model, rank"),
        ("", "not a readable CSV file"),
        (OLD + OLD.splitlines()[1] + "\n", "one row a model, 'a' has several"),
        (None, "not a readable CSV file"),
    ],
)
def test_what_is_no_leaderboard_is_refused(files, text, said):
    files[0].unlink() if text is None else files[0].write_text(text)
    with pytest.raises(UsageError, match=said):
        differences(*files)


def test_pandas_reads_what_we_write():
    """Control: the columns that are needed are those of every tracked leaderboard."""
    for file in (REPOSITORY / "results").glob("*/leaderboard.csv"):
        assert {"model", "rank", "n", "entry_digest", "dataset_digest"} <= set(pd.read_csv(file, nrows=1))
