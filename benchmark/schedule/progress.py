"""How a run stands, in a file beside its lock: what ``assay status`` reads from another terminal."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from benchmark.errors import StoreError
from benchmark.schedule.ledger import Finished, Ledger
from benchmark.schedule.watcher import Watcher
from benchmark.spec.cell import Cell
from benchmark.store.atomic import write_atomic
from benchmark.store.folder import Store

EVERY = 1.0  # seconds between two writings


class Progress(Watcher):
    """Writes slots, counts, cells a minute and seconds left to the results folder, once a second while they change.

    A thread of its own writes: cells cost the run nothing here, and a long one is told of while it runs.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._changed, self._closed = threading.Event(), threading.Event()

    def begin(self, ledger: Ledger, slots: list[str]) -> None:
        self.ledger, self.start = ledger, time.time()
        self.slots: list[dict[str, Any]] = [{"device": slot, "cell": "", "since": self.start} for slot in slots]
        self._changed.set()
        self._thread = threading.Thread(target=self._write_on, daemon=True, name="assay-progress")
        self._thread.start()

    def started(self, slot: int, cell: Cell) -> None:
        while slot >= len(self.slots):  # a cluster may grow
            self.slots.append({"device": "", "cell": "", "since": time.time()})
        self.slots[slot] |= {"cell": cell.label, "hash": cell.hash, "since": time.time()}
        self._changed.set()

    def ended(self, finished: Finished) -> None:
        for slot in self.slots:
            if slot.get("hash") == finished.cell.hash:
                slot |= {"cell": "", "hash": "", "since": time.time()}
        self._changed.set()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self.store.progress_file.unlink(missing_ok=True)

    def _write_on(self) -> None:
        while not self._closed.wait(EVERY):
            if self._changed.is_set():
                self._changed.clear()
                try:
                    self._write()
                except RuntimeError:  # the ledger changed under the counting: the next second will do
                    self._changed.set()
                except StoreError:  # a full disk: the records' own writing says it
                    return

    def _write(self) -> None:
        now, done = time.time(), len(self.ledger.finished)
        seconds, unknown = self.ledger.seconds_left()
        state = {
            "started": self.start,
            "written": now,
            "slots": self.slots,
            "counts": self.ledger.counts(),
            "total": self.ledger.total,
            "cells_a_minute": done / (now - self.start) * 60 if done else None,
            "seconds_left": seconds / max(1, len(self.slots)),
            "cells_without_estimate": unknown,
        }
        write_atomic(self.store.progress_file, json.dumps(state, indent=1).encode(), sync=False)
