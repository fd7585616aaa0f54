"""How a run stands, in a file beside its lock: what ``assay status`` reads from another terminal."""

from __future__ import annotations

import json
import time
from typing import Any

from benchmark.errors import StoreError
from benchmark.schedule.board import Board, Finished
from benchmark.schedule.engine import Watcher
from benchmark.spec.cell import Cell
from benchmark.store.atomic import write_atomic
from benchmark.store.folder import Store

EVERY = 1.0  # seconds between two writings


class Progress(Watcher):
    """Writes slots, counts, cells a minute and seconds left to the results folder, at most once a second."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def begin(self, board: Board, slots: list[str]) -> None:
        self.board, self.start, self.written = board, time.time(), 0.0
        self.slots: list[dict[str, Any]] = [{"device": slot, "cell": "", "since": self.start} for slot in slots]
        self._write()

    def started(self, slot: int, cell: Cell) -> None:
        while slot >= len(self.slots):  # a cluster may grow
            self.slots.append({"device": "", "cell": "", "since": time.time()})
        self.slots[slot] |= {"cell": cell.label, "hash": cell.hash, "since": time.time()}
        self._write()

    def ended(self, finished: Finished) -> None:
        for slot in self.slots:
            if slot.get("hash") == finished.cell.hash:
                slot |= {"cell": "", "hash": "", "since": time.time()}
        self._write()

    def close(self) -> None:
        self.store.progress_file.unlink(missing_ok=True)

    def _write(self) -> None:
        now = time.time()
        if now - self.written < EVERY:
            return
        self.written = now
        done, minutes = len(self.board.finished), (now - self.start) / 60
        seconds, unknown = self.board.seconds_left()
        found = {
            "started": self.start,
            "written": now,
            "slots": self.slots,
            "counts": self.board.counts(),
            "total": self.board.total,
            "cells_a_minute": done / minutes if done and minutes else None,
            "seconds_left": seconds / max(1, len(self.slots)),
            "cells_without_estimate": unknown,
        }
        try:
            write_atomic(self.store.progress_file, json.dumps(found, indent=1).encode(), sync=False)
        except StoreError:  # the records' own writing will say it
            return
