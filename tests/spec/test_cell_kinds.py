"""The table of kinds of cells. Oracle: the tracked records, and what computes a cell."""

import pytest

from benchmark.schedule.cell import _COMPUTED_BY
from benchmark.spec.cell import KINDS
from benchmark.store.folder import Store
from tests.conftest import REPOSITORY


def test_every_kind_is_computed_by_something():
    assert list(_COMPUTED_BY) == list(KINDS)


@pytest.mark.parametrize("suite", ["digits", "explanations", "universal", "fooling", "mri"])
def test_tracked_cells_read_and_leave_what_the_table_says(suite):
    store = Store(REPOSITORY / "results" / suite)
    records = store.recorded_rows(cell["hash"] for cell in store.plan()["cells"])
    for head, rows in records.values():
        kind = KINDS[head["spec"]["kind"]]
        assert {role.partition(":")[0] for role in head["spec"]["needs"]} <= set(kind.needs)
        assert (head["spec"]["plugin"] is None) <= (kind.plugin == "")
        if head["status"] == "done" and rows:
            assert set(kind.columns) <= set(rows), head["spec"]["kind"]
