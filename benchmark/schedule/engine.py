"""What every engine is given, and the engine that runs in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmark.errors import PoisonedError
from benchmark.schedule.batching import BatchSizes
from benchmark.schedule.cell import public_spec, run_cell
from benchmark.schedule.context import Context
from benchmark.schedule.ledger import MAX_ATTEMPTS, Finished, Ledger
from benchmark.schedule.provenance import device_name
from benchmark.schedule.queue import group_of
from benchmark.schedule.watcher import Watcher
from benchmark.spec.cell import Cell
from benchmark.store.folder import Store
from benchmark.store.record import Record, last_line


@dataclass
class Job:
    """A run, as an engine sees it.

    Attributes:
        batches: batch sizes that cells of earlier runs, and of this one, have found.
    """

    ledger: Ledger
    store: Store
    watcher: Watcher = field(default_factory=Watcher)
    fail_fast: bool = False
    batches: BatchSizes = field(init=False)

    def __post_init__(self) -> None:
        self.batches = BatchSizes(self.store)

    def end(self, cell: Cell, status: str, reason: str = "", seconds: float = 0.0, *, write: bool = False) -> None:
        """Note the end of a cell, write the records that its worker could not write, tell the watcher."""
        for finished in self.ledger.finish(cell, status, reason, seconds):
            if finished.blocked or write:
                self.write(finished)
            self.watcher.ended(finished)

    def end_blocked(self) -> None:
        """End the cells that earlier failures block."""
        for finished in self.ledger.start_blocked():
            self.write(finished)
            self.watcher.ended(finished)

    def crashed(self, cell: Cell, reason: str) -> None:
        """The cell's worker died: once more in the same run, then failed."""
        if self.ledger.attempts[cell.hash] < MAX_ATTEMPTS:
            self.watcher.said(f"{cell.label}: {last_line(reason)}; once more")
            self.ledger.again(cell)
        else:
            self.end(cell, "failed", f"{reason}, {self.ledger.attempts[cell.hash]} times", write=True)

    def over_time(self, cell: Cell, limit: float, *, loading: bool) -> None:
        """The cell was ended with its worker after ``limit`` seconds, in it or in loading its model."""
        what = "loading the model" if loading else "the cell"
        self.end(cell, "failed", f"time limit: {what} did not end within {limit:g} s", limit, write=True)

    def write(self, finished: Finished) -> None:
        """Record of a cell that no worker finished (crash, time limit, blocked)."""
        record = Record(
            hash=finished.cell.hash,
            spec=public_spec(finished.cell),
            status=finished.status,  # type: ignore[arg-type]
            reason=finished.reason,
            attempts=finished.attempts,
            seconds=finished.seconds,
            blocked=finished.blocked,
        )
        self.store.write(record)

    @property
    def stopped(self) -> bool:
        """True once a cell failed and ``fail_fast`` was asked for."""
        return self.fail_fast and any(ended.status == "failed" for ended in self.ledger.finished.values())


def run_here(job: Job, context: Context, stop: Callable[[], bool] = lambda: False) -> None:
    """Run every cell in this process, one after the other; no time limits, no protection from crashes.

    Raises:
        PoisonedError: the process' CUDA context is lost; the cell that did it has a failed record.
    """
    job.watcher.begin(job.ledger, [context.device])
    try:
        job.end_blocked()
        last: Cell | None = None
        while not job.stopped and not stop():
            cell = job.ledger.take(last.model, (), group_of(last)) if last else job.ledger.take()
            if cell is None:
                break
            last = cell
            job.watcher.started(0, cell)
            job.ledger.attempts[cell.hash] += 1
            name = device_name(context.device)
            try:
                record = run_cell(cell, context, job.ledger.attempts[cell.hash], job.batches.of(cell, name))
            except PoisonedError as error:
                job.end(cell, "failed", str(error), write=True)
                raise
            job.store.write(record)
            job.batches.keep(cell, name, record.batch_size)
            job.end(cell, record.status, record.reason, record.seconds)
    finally:
        job.watcher.close()
