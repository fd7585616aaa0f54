"""Who is told of what happens in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.schedule.ledger import Finished, Ledger
    from benchmark.spec.cell import Cell


class Watcher:
    """Told of everything that happens in a run; the base is silent."""

    def begin(self, ledger: Ledger, slots: list[str]) -> None:
        """The run starts."""

    def started(self, slot: int, cell: Cell) -> None:
        """A slot took a cell."""

    def ended(self, finished: Finished) -> None:
        """A cell ended."""

    def said(self, text: str) -> None:
        """Something worth a line."""

    def close(self) -> None:
        """The run is over."""


class Watchers(Watcher):
    """Several watchers, told one after the other."""

    def __init__(self, *watchers: Watcher) -> None:
        self.watchers = watchers

    def begin(self, ledger: Ledger, slots: list[str]) -> None:
        for watcher in self.watchers:
            watcher.begin(ledger, slots)

    def started(self, slot: int, cell: Cell) -> None:
        for watcher in self.watchers:
            watcher.started(slot, cell)

    def ended(self, finished: Finished) -> None:
        for watcher in self.watchers:
            watcher.ended(finished)

    def said(self, text: str) -> None:
        for watcher in self.watchers:
            watcher.said(text)

    def close(self) -> None:
        for watcher in self.watchers:
            watcher.close()
