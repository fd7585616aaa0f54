"""Which cells are known, ready, running, blocked. Pure bookkeeping, shared by every engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.schedule.costs import Costs
from benchmark.schedule.queue import Group, Queue
from benchmark.spec.cell import Cell
from benchmark.store.record import last_line

MAX_ATTEMPTS = 2  # a failure is tried once more by the next run, then parked until --retry-failed


@dataclass
class Finished:
    """How a cell ended: in this run, or blocked by one that did."""

    cell: Cell
    status: str
    reason: str
    attempts: int
    seconds: float = 0.0
    blocked: bool = False

    @property
    def last_line(self) -> str:
        """The last line of the reason."""
        return last_line(self.reason)


@dataclass
class Ledger:
    """The state of a run.

    Args:
        cells: the selected cells and all that they need.
        heads: JSONs of the records that exist.
        retry_failed: try parked failures again too.

    Attributes:
        known: hashes with a final record from before.
        attempts: tries so far of each cell to do.
        costs: seconds that cells took, in earlier runs and in this one.
    """

    cells: Sequence[Cell]
    heads: Mapping[str, Mapping[str, Any]]
    retry_failed: bool = False
    known: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    finished: dict[str, Finished] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        self._cells = {cell.hash: cell for cell in self.cells}
        self._waiting: dict[str, set[str]] = {}
        self._dependents: dict[str, list[str]] = defaultdict(list)
        for name, cell in self._cells.items():
            head = self.heads.get(name)
            if head is not None and not self._to_do(cell):
                self.known[name] = str(head["status"])
            else:  # a blocked cell carries the attempts of what blocked it, and was never tried itself
                tried = head is not None and head["status"] == "failed" and not head.get("blocked")
                self.attempts[name] = int(head["attempts"]) if head and tried else 0
        for name in list(self.attempts):
            missing = set()
            for need in self._cells[name].needs.values():
                if need in self.attempts:
                    missing.add(need)
                    self._dependents[need].append(name)
                elif self.known.get(need) != "done" and need not in self._cells[name].optional:
                    missing.add(need)
            self._waiting[name] = missing
        self._queue = Queue({name: self._cells[name] for name in self.attempts}, self._dependents, self.costs)
        for name, missing in self._waiting.items():
            if not missing:
                self._queue.put(self._cells[name])
        self.total = len(self.attempts)

    def _retried(self, head: Mapping[str, Any]) -> bool:
        return head["status"] == "failed" and (self.retry_failed or int(head["attempts"]) < MAX_ATTEMPTS)

    def _to_do(self, cell: Cell) -> bool:
        """No record, one that is tried again, or one of a blocked cell that no final record of a need blocks now."""
        head = self.heads.get(cell.hash)
        if head is None or self._retried(head) or self._partial(cell, head):
            return True
        hard = [need for need in cell.needs.values() if need not in cell.optional]
        return bool(head.get("blocked")) and not any(self._blocks(need) for need in hard)

    def _partial(self, cell: Cell, head: Mapping[str, Any]) -> bool:
        """A comparison that lacks pairs, since attributions came, or come now, that were not there when it ran."""
        if not cell.optional or head["status"] == "failed":
            return False
        there = sum(not self._blocks(need) for need in cell.needs.values() if need in cell.optional)
        return there * (there - 1) // 2 > int(head.get("rows", {}).get("n", 0))

    def _blocks(self, need: str) -> bool:
        """The need ended for good, and not well; or nothing will make it."""
        cell, head = self._cells.get(need), self.heads.get(need)
        if cell is not None and self._to_do(cell):
            return False
        return head is None or head["status"] != "done"

    def start_blocked(self) -> list[Finished]:
        """Cells to do whose need ended for good in an earlier run (parked or skipped): they end now."""
        ended = []
        for name in list(self._waiting):
            for need in self._waiting[name]:
                if need not in self.attempts and name not in self.finished:
                    head = self.heads.get(need, {"status": "failed", "reason": "no record", "attempts": 1})
                    ended += self._block(name, need, str(head["status"]), str(head["reason"]), int(head["attempts"]))
        return ended

    def take(self, prefer: str | None = None, avoid: Iterable[str] = (), group: Group | None = None) -> Cell | None:
        """A ready cell: of the preferred model (and group) where there is one; see :class:`Queue`."""
        return self._queue.take(prefer, avoid, group)

    def ahead(self, cell: Cell) -> Cell | None:
        """Whose samples may be read while this cell is computed; see :meth:`Queue.ahead`."""
        return self._queue.ahead(cell)

    def again(self, cell: Cell) -> None:
        """Put a cell back at the front: its worker died and it is tried once more."""
        self._queue.put(cell, first=True)

    def finish(self, cell: Cell, status: str, reason: str = "", seconds: float = 0.0) -> list[Finished]:
        """Note how a cell ended; returns it and every cell that can no longer run because of it."""
        attempts = self.attempts[cell.hash]
        ended = [Finished(cell, status, reason, attempts, seconds)]
        self.finished[cell.hash] = ended[0]
        if status == "done":
            self.costs.learn(cell, seconds)
        for name in self._dependents[cell.hash]:
            if status == "done":
                self._release(name, cell.hash)
            else:
                ended += self._block(name, cell.hash, status, reason, attempts)
        return ended

    def _release(self, name: str, need: str) -> None:
        """A cell waits for this need no longer."""
        self._waiting[name].discard(need)
        if not self._waiting[name] and name not in self.finished:
            self._queue.put(self._cells[name])

    def _block(self, name: str, need: str, status: str, reason: str, attempts: int) -> list[Finished]:
        if name in self.finished:
            return []
        if need in self._cells[name].optional:
            self._release(name, need)
            return []
        label = self._cells[need].label if need in self._cells else need[:12]
        text = reason if reason.startswith("needs ") or status == "skipped" else f"needs {label}: {reason}"
        self.attempts[name] = attempts
        ended = [Finished(self._cells[name], status, text, attempts, blocked=True)]
        self.finished[name] = ended[0]
        for dependent in self._dependents[name]:
            ended += self._block(dependent, name, status, text, attempts)
        return ended

    def seconds_left(self) -> tuple[float, int]:
        """(seconds of one worker for the cells that have not ended, how many of them nothing is known of)."""
        known = [self.costs.seconds(self._cells[name]) for name in self.attempts if name not in self.finished]
        return sum(seconds for seconds in known if seconds is not None), sum(seconds is None for seconds in known)

    @property
    def left(self) -> int:
        """Cells that have not ended yet."""
        return self.total - len(self.finished)

    def counts(self) -> dict[str, int]:
        """How many cells: known from before, done, failed and skipped in this run."""
        counts = {"known": len(self.known), "done": 0, "failed": 0, "skipped": 0}
        for ended in self.finished.values():
            counts[ended.status] += 1
        return counts


def with_needs(selected: Sequence[Cell], cells: Sequence[Cell]) -> list[Cell]:
    """The selected cells and, recursively, the cells that they need, in the plan's order."""
    by_hash = {cell.hash: cell for cell in cells}
    wanted: set[str] = set()
    stack = [cell.hash for cell in selected]
    while stack:
        name = stack.pop()
        if name not in wanted:
            wanted.add(name)
            stack += [need for need in by_hash[name].needs.values() if need in by_hash]
    return [cell for cell in cells if cell.hash in wanted]
