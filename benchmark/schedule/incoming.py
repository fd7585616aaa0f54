"""How records that workers on other machines made come into the results folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.errors import StoreError, UsageError
from benchmark.spec.cell import Cell
from benchmark.store.elsewhere import Elsewhere
from benchmark.store.encoded import Files
from benchmark.store.folder import Store


def records_at(asked: str, suite: str) -> str:
    """What ``--records`` means for a suite: ``driver``, ``shared``, or a URL of the suite's own.

    Raises:
        UsageError: neither of them.
    """
    if "://" in asked:
        return f"{asked.rstrip('/')}/{suite}"
    if asked not in ("driver", "shared"):
        raise UsageError(f"--records {asked}: expected driver, shared, or a URL such as s3://bucket/run")
    return asked


@dataclass
class Incoming:
    """The driver's side of :func:`records_at`.

    Args:
        store: the results folder.
        records: ``driver``, ``shared``, or the URL of this suite's records.
    """

    store: Store
    records: str

    def __post_init__(self) -> None:
        self.elsewhere = Elsewhere(self.records) if "://" in self.records else None

    def take(self, cell: Cell, files: Files | None) -> None:
        """Have the record of a cell that a worker has finished; ``files``: what it sent of it.

        Raises:
            StoreError: the worker's record is not where it should be, or cannot be written here.
        """
        if files is not None:
            self.store.write_files(cell.hash, files)
        elif self.elsewhere is not None and self._fetched(cell.hash) is None:
            raise StoreError(f"{self.elsewhere.url}: a worker wrote the record of {cell.label}, but none is there")

    def left_behind(self, cell: Cell, attempt: int) -> dict[str, Any] | None:
        """JSON of the record that a worker had written of this attempt before it died; None where it had not."""
        if self.records == "driver":
            return None
        head = self.store.head(cell.hash) if self.elsewhere is None else self._fetched(cell.hash, attempt)
        return head if head is not None and head["attempts"] == attempt else None

    def fetch(self, attempts: Mapping[str, int]) -> int:
        """Write here what lies at the URL of these cells, if of a later attempt than is known; returns how many."""
        there = self.elsewhere.cells() if self.elsewhere is not None else set()
        return sum(self._fetched(cell, known + 1) is not None for cell, known in attempts.items() if cell in there)

    def _fetched(self, cell: str, attempt: int = 0) -> dict[str, Any] | None:
        """Write here what lies at the URL of a cell, if it is that attempt or a later one; its JSON."""
        record = self.elsewhere.get(cell) if self.elsewhere is not None else None
        if record is None or record[0]["attempts"] < attempt:
            return None
        self.store.write_files(cell, record[1])
        return record[0]
