"""Coverage of the intervals that reports print. Oracle: the truth of drawn data; the page is what a run makes."""

from __future__ import annotations

import re
from math import isnan

import numpy as np
import pytest

from benchmark.errors import UsageError
from benchmark.meta.coverage import BEGIN, END, SIZES, coverage, grouped_kinds, kinds, write_page
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "statistics.md"
EVERY = [*kinds(), *grouped_kinds()]
LEAST = 0.9  # coverage below which nothing may be printed
DRAWS, FAR = 120, 4  # of the reduced run, and standard errors that it may be away


def rows():
    """(name, data) to the percentages of the page, NaN where no interval is printed."""
    text = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    lines = [
        re.sub(r"[*]|\(not printed\)", "", line).strip("|").split("|") for line in text.splitlines() if line[:1] == "|"
    ]
    cells = [[cell.strip() for cell in line] for line in lines if not line[0].startswith((" interval", "---"))]
    return {(row[0], row[1]): [float("nan") if x == "–" else float(x) / 100 for x in row[2:]] for row in cells}


def test_the_page_has_every_kind_and_size():
    assert set(rows()) == {(kind.name, kind.data) for kind in EVERY}
    assert {len(row) for row in rows().values()} == {len(SIZES)}


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: f"{kind.name}, {kind.data}")
def test_nothing_is_printed_that_holds_the_truth_in_less_than_nine_of_ten(kind):
    """The control: a plain bootstrap of few values, and Wilson's interval of samples that belong together, do worse."""
    known = [share for share in rows()[kind.name, kind.data] if not isnan(share)]
    assert (min(known) < LEAST - 0.05) if kind.control else (min(known) >= LEAST)
    assert isnan(rows()[kind.name, kind.data][0]) or kind.control, "of one sample there is none"


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: f"{kind.name}, {kind.data}")
def test_a_reduced_run_agrees_with_the_page(kind):
    """The first draws of the page's own, at the sizes where no bootstrap is slow."""
    for n, stated in zip(SIZES, rows()[kind.name, kind.data], strict=True):
        if n > 30:
            continue
        found = coverage(kind, n, DRAWS)
        assert isnan(found) == isnan(stated), n
        error = np.sqrt(max(stated * (1 - stated), 0.01) / DRAWS)
        assert isnan(found) or abs(found - stated) < FAR * error, (n, found, stated)


def test_the_command_writes_between_the_marks(tmp_path, monkeypatch):
    """A page that cannot take the tables is refused before a draw is made."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_page(page, draws=1)
    before, text = page.read_text().split(BEGIN)
    text, after = text.split(END)
    assert (before, after) == ("before\n", "\nafter\n")
    assert "old" not in text
    assert text.count("\n| ") == len(EVERY) + 2  # and the heads of two tables
    monkeypatch.setattr("benchmark.meta.coverage.coverage", lambda *args: pytest.fail("work before the refusal"))
    page.write_text("before\n")
    with pytest.raises(UsageError, match="lacks the lines"):
        write_page(page)
    with pytest.raises(UsageError, match="cannot be read"):
        write_page(tmp_path / "none.md")
