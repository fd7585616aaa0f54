"""The local engine: one single-worker process pool a slot, so that a crash or a stuck cell costs only itself.

Workers are spawned (never forked), see one device each, die with their parent, and write their own records. A cell
that outlives its time limit is killed with its worker; a worker that dies takes only its own cell, which is tried
once more in the same run.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from dataclasses import dataclass
from typing import Any

from benchmark.errors import PoisonedError, StoreError
from benchmark.registry import included_files
from benchmark.schedule.devices import devices
from benchmark.schedule.engine import Job
from benchmark.schedule.queue import Group, group_of
from benchmark.schedule.worker import WorkerSettings, prepare, start, work
from benchmark.spec.cell import Cell

LOAD_LIMIT = 900.0  # seconds to start a worker, import libraries and load a model


@dataclass
class Slot:
    """One worker process (a device, or a share of one) and what it is doing.

    Attributes:
        number: in the run, from 0.
        device: as the user names it.
        settings: what a worker process of this slot is started with.
        name: the device's own name, once the worker has told it.
        loaded: the model that the worker used last.
        group: what the last cell has in common with those that follow it best.
    """

    number: int
    device: str
    settings: WorkerSettings
    pool: Any = None
    name: str = ""
    loaded: tuple[str, str] | None = None
    group: Group | None = None
    cell: Cell | None = None
    future: Any = None
    preparing: bool = False

    def start(self) -> None:
        """A new worker process."""
        import pebble

        context = multiprocessing.get_context("spawn")
        self.loaded = None
        self.pool = pebble.ProcessPool(max_workers=1, context=context, initializer=start, initargs=(self.settings,))

    def restart(self) -> None:
        """End the worker process and start another."""
        self.pool.stop()
        self.pool.join()
        self.start()

    def give(self, cell: Cell, job: Job) -> None:
        """Send a cell; the model first, as a task of its own, where the worker does not hold it."""
        self.cell, self.group = cell, group_of(cell)
        self.preparing = self.loaded != (cell.model, cell.entry)
        if self.preparing:
            self.future = self.pool.schedule(prepare, args=[cell], timeout=LOAD_LIMIT)
        else:
            args = [cell, job.ledger.attempts[cell.hash], job.batches.of(cell, self.name), job.ledger.ahead(cell)]
            self.future = self.pool.schedule(work, args=args, timeout=cell.time_limit)


def run_pool(
    job: Job, device: str = "auto", workers: int | None = None, threads: int = 1, slots_per_device: int = 1
) -> None:
    """Run every cell of the job.

    Args:
        job: the run.
        device: see :func:`devices`.
        workers: processes on the CPU (default: one a core); on GPUs processes in all (default: the slots).
        threads: CPU threads of each worker.
        slots_per_device: worker processes that share a GPU, each with its part of the memory.

    Raises:
        StoreError: a record could not be written; what was written before is kept.
        KeyboardInterrupt: after the workers have been ended.
    """
    names = devices(device)
    count = workers or (os.cpu_count() or 1 if names == ["cpu"] else len(names) * slots_per_device)
    count = max(1, min(count, job.ledger.left))
    shares = [sum(j % len(names) == i % len(names) for j in range(count)) for i in range(count)]
    slots = [Slot(i, names[i % len(names)], _settings(names[i % len(names)], job, threads, shares[i]))
             for i in range(count)]  # fmt: skip
    for slot in slots:
        slot.start()
    job.watcher.begin(job.ledger, [slot.device for slot in slots])
    try:
        job.end_blocked()
        _loop(job, slots)
        for slot in slots:
            slot.pool.close()
    except BaseException:
        for slot in slots:
            slot.pool.stop()
        raise
    finally:
        for slot in slots:
            slot.pool.join()
        job.watcher.close()


def _settings(device: str, job: Job, threads: int, sharers: int) -> WorkerSettings:
    """What a worker process is started with; it sees one device, of which it may use its share."""
    visible = "" if device == "cpu" else device.partition(":")[2] or None
    return WorkerSettings(
        folder=job.store.folder.resolve(),
        device=device if device == "cpu" else "cuda:0" if visible else device,
        visible=visible,
        threads=threads,
        include=tuple(included_files()),
        parent=os.getpid(),
        share=1.0 if device == "cpu" else 1.0 / sharers,
    )


def _loop(job: Job, slots: list[Slot]) -> None:
    while True:
        for slot in slots:
            if slot.future is None and not job.stopped:
                _feed(job, slot, slots)
        running = [slot.future for slot in slots if slot.future is not None]
        if not running:
            return
        concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
        for slot in slots:
            if slot.future is not None and slot.future.done():
                _collect(job, slot)


def _feed(job: Job, slot: Slot, slots: list[Slot]) -> None:
    busy = {other.loaded[0] for other in slots if other is not slot and other.loaded}
    cell = job.ledger.take(slot.loaded[0] if slot.loaded else None, busy, slot.group)
    if cell is not None:
        job.watcher.started(slot.number, cell)
        job.ledger.attempts[cell.hash] += 1
        slot.give(cell, job)


def _collect(job: Job, slot: Slot) -> None:
    import pebble

    cell, future = slot.cell, slot.future
    assert cell is not None
    slot.future = None
    try:
        result = future.result()
    except StoreError:
        raise
    except PoisonedError as error:
        slot.restart()
        job.crashed(cell, str(error))
        return
    except concurrent.futures.TimeoutError:
        slot.loaded = None
        job.over_time(cell, LOAD_LIMIT if slot.preparing else cell.time_limit, loading=slot.preparing)
        return
    except pebble.ProcessExpired as error:
        slot.loaded = None
        job.crashed(cell, f"the worker process died (exit code {error.exitcode})")
        return
    except Exception as error:  # what a worker could not even pickle or import
        slot.loaded = None
        job.end(cell, "failed", f"{type(error).__name__}: {error}", write=True)
        return
    if slot.preparing:
        slot.loaded, slot.preparing, slot.name = (cell.model, cell.entry), False, result
        slot.give(cell, job)
        return
    job.batches.keep(cell, slot.name, result.batch_size)
    job.end(cell, result.status, result.reason, result.seconds)
