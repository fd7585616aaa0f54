"""What a person sees while cells run: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from benchmark.schedule.watcher import Watcher

if TYPE_CHECKING:
    from benchmark.schedule.ledger import Finished, Ledger
    from benchmark.spec.cell import Cell

PLAIN_EVERY = 10.0  # seconds between plain lines


def watcher_for() -> Watcher:
    """A live bar where standard error is a terminal, plain lines where not."""
    return LiveWatcher() if sys.stderr.isatty() else PlainWatcher()


class PlainWatcher(Watcher):
    """A line now and then, and one for each failure."""

    def begin(self, ledger: Ledger, slots: list[str]) -> None:
        self.ledger, self.start = ledger, time.monotonic()
        self.last, self.complete = self.start, False
        self._print(f"{ledger.total} cells on {len(slots)} workers ({', '.join(sorted(set(slots)))})")

    def ended(self, finished: Finished) -> None:
        if finished.status == "failed" and not finished.blocked:
            self._print(f"failed: {finished.cell.label}: {finished.last_line}")
        now = time.monotonic()
        if now - self.last >= PLAIN_EVERY or (not self.ledger.left and not self.complete):
            self.complete = not self.ledger.left
            self.last = now
            counts, done = self.ledger.counts(), self.ledger.total - self.ledger.left
            left = (now - self.start) / max(1, done) * self.ledger.left
            self._print(
                f"{done}/{self.ledger.total} cells, {counts['failed']} failed, {counts['skipped']} skipped,"
                f" about {left:.0f} s left"
            )

    def said(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class LiveWatcher(Watcher):
    """A bar with cells done, running, failed, and the time left."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self.progress: Any = None
        self.running: dict[int, str] = {}

    def begin(self, ledger: Ledger, slots: list[str]) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self.ledger = ledger
        self.progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]} failed"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[now]}", markup=False),
            console=self.console,
            transient=True,
        )
        self.task = self.progress.add_task("", total=ledger.total, failed=0, now="")
        self.progress.start()

    def started(self, slot: int, cell: Cell) -> None:
        self.running[slot] = cell.label
        self.progress.update(self.task, now=" | ".join(self.running[key] for key in sorted(self.running)))

    def ended(self, finished: Finished) -> None:
        if finished.status == "failed" and not finished.blocked:
            self._print(f"failed: {finished.cell.label}: {finished.last_line}")
        done = self.ledger.total - self.ledger.left
        self.progress.update(self.task, completed=done, failed=self.ledger.counts()["failed"])

    def said(self, text: str) -> None:
        self._print(text)

    def close(self) -> None:
        if self.progress is not None:
            self.progress.stop()

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)
