"""docs/scale.md: its tables are what the projection prints, its sums are right. Oracle: the script, and arithmetic."""

from __future__ import annotations

import pytest

from tests.conftest import REPOSITORY
from tests.speed import projection


@pytest.mark.long
def test_the_page_holds_the_projection():
    text = (REPOSITORY / "docs" / "scale.md").read_text().partition("<!-- tables: projection -->\n")[2]
    lines = projection.lines()
    assert text.splitlines()[: len(lines)] == lines


def test_the_projection_is_the_products_that_the_page_shows(monkeypatch):
    """By hand: 50 x 5,000 samples x 10 passes, 50 x 1,000 x 5 x (20 x 3 + 2) passes, at a millisecond a pass."""
    monkeypatch.setattr(projection, "attacks", lambda: {"one": (2, 2.0, 1.0)})
    monkeypatch.setattr(projection, "counted", lambda use: (2.0, 1.0))
    found = projection.projection(seconds_a_pass=1e-3)
    assert found["attack_hours"] == pytest.approx(50 * 5000 * 10 * 1e-3 / 3600)
    assert found["explain_hours"] == pytest.approx(50 * 1000 * 5 * 62 * 1e-3 / 3600)
    assert found["fit_hours"] == pytest.approx(50 * 3 * 10_000 * 10 * 2 * 1e-3 / 3600)
    assert found["cells"] == 50 * 3 + 50 * 50 * 3 + 50 * 10 * 5 * 21
    assert len(projection.RECORDED) + len(projection.BY_STEPS) == 20
    assert len(set(projection.METRICS)) == 20
