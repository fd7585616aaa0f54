"""How long a cell is likely to take: what cells like it took, a sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmark.spec.budget import Budget
from benchmark.spec.cell import Cell

Key = tuple[str, str, str, str, Budget | None]


def key_of(cell: Cell) -> Key:
    """What cells have in common that take as long a sample: model, kind, probe, metric, budget."""
    return cell.model, cell.kind, cell.probe, cell.metric, cell.eps


@dataclass
class Costs:
    """Seconds a sample, learnt from records: of the same model where there are some, else of any other.

    Attributes:
        learnt: how many keys have been seen; estimates are worth making again when it has grown.
    """

    _own: dict[Key, tuple[float, int]] = field(default_factory=dict)
    _any: dict[Key, tuple[float, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, cells: Iterable[Cell], heads: Mapping[str, Mapping[str, Any]]) -> Costs:
        """From the records that are there already."""
        costs = cls()
        for cell in cells:
            head = heads.get(cell.hash)
            if head is not None and head["status"] == "done":
                costs.learn(cell, float(head["seconds"]))
        return costs

    def learn(self, cell: Cell, seconds: float) -> None:
        """A cell was done in so many seconds."""
        key, n = key_of(cell), max(1, len(cell.samples))
        for table, name in ((self._own, key), (self._any, ("", *key[1:]))):
            total, samples = table.get(name, (0.0, 0))
            table[name] = total + seconds, samples + n

    def seconds(self, cell: Cell) -> float | None:
        """Expected seconds of a cell; None where nothing like it was done yet."""
        key = key_of(cell)
        total, samples = self._own.get(key) or self._any.get(("", *key[1:])) or (0.0, 0)
        return total / samples * max(1, len(cell.samples)) if samples else None

    @property
    def learnt(self) -> int:
        """Number of keys seen."""
        return len(self._own)

    def usual(self, cell: Cell) -> float:
        """Seconds of a cell like which nothing was done yet: the mean of all others; 1 where there are none."""
        if not self._own:
            return 1.0
        return sum(total / n for total, n in self._own.values()) / len(self._own) * max(1, len(cell.samples))
