"""Cells that are ready to run, and which of them comes next.

A slot stays with the model that it holds, with the samples that it has loaded, and with the attributions that it
scores. Among the cells that this leaves, the one with the longest way to the end of the run comes first: its own
seconds and those of the longest chain of cells that wait for it. So the last cells of a run are short ones, and no
long chain begins late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmark.schedule.costs import Costs, Key, key_of
from benchmark.spec.cell import Cell

Group = tuple[str, str, str]


def group_of(cell: Cell) -> Group:
    """What a worker has at hand after this cell: model, chunk (by its first sample), the explain cell scored."""
    return cell.model, cell.samples[0] if cell.samples else "", cell.needs.get("explain", "")


class Queue:
    """Ready cells of a ledger.

    Args:
        cells: hash to cell, of all that the run may compute.
        dependents: hash to the hashes of the cells that wait for it.
        costs: what is known of their seconds; may grow while the queue is used.
    """

    def __init__(self, cells: Mapping[str, Cell], dependents: Mapping[str, Sequence[str]], costs: Costs) -> None:
        self.costs = costs
        self._ready: dict[str, dict[Group, list[Cell]]] = {}
        self._after: dict[Key, set[Key]] = {}
        self._like: dict[Key, Cell] = {}
        for name, cell in cells.items():
            key = key_of(cell)
            self._like.setdefault(key, cell)
            self._after.setdefault(key, set()).update(key_of(cells[other]) for other in dependents.get(name, ()))
        self._ways: dict[Key, float] = {}
        self._known = -1

    def put(self, cell: Cell, *, first: bool = False) -> None:
        """A cell became ready, or comes back (``first``)."""
        group = self._ready.setdefault(cell.model, {}).setdefault(group_of(cell), [])
        group.insert(0 if first else len(group), cell)

    def take(self, prefer: str | None = None, avoid: Iterable[str] = (), group: Group | None = None) -> Cell | None:
        """The next cell of the preferred model, else of the model with most seconds ready; avoided models come last."""
        if prefer is not None and prefer in self._ready:
            return self._from(prefer, group)
        busy = set(avoid)
        free = [model for model in self._ready if model not in busy] or list(self._ready)
        return self._from(max(free, key=self._seconds_ready), None) if free else None

    def ahead(self, cell: Cell) -> Cell | None:
        """A ready cell of the samples that a slot is likely to turn to when it is done with this cell's; None: none."""
        groups = self._ready.get(cell.model, {})
        others = [cells for name, cells in groups.items() if name[1] != group_of(cell)[1]]
        return max((found for cells in others for found in cells), key=self.way, default=None)

    def _from(self, model: str, group: Group | None) -> Cell:
        groups = self._ready[model]
        if group not in groups:  # the same samples, else whatever is longest
            near = [name for name in groups if group is not None and name[1] == group[1]] or groups
            group = max(near, key=lambda name: max(self.way(cell) for cell in groups[name]))
        cells = groups[group]
        cell = cells.pop(max(range(len(cells)), key=lambda i: self.way(cells[i])))
        if not cells:
            del groups[group]
        if not groups:
            del self._ready[model]
        return cell

    def _seconds_ready(self, model: str) -> float:
        return sum(self.way(cell) for cells in self._ready[model].values() for cell in cells)

    def way(self, cell: Cell) -> float:
        """Seconds from the start of this cell to the end of the longest chain behind it."""
        learnt = self.costs.learnt
        if self._known < 0 or learnt > self._known * 1.1:  # a few times in a run: the estimates have become better
            self._known, self._ways = learnt, {}
            for key in self._like:
                self._walk(key, ())
        return self._ways[key_of(cell)]

    def _walk(self, key: Key, above: tuple[Key, ...]) -> float:
        """Longest chain from a key on; ``above`` keeps keys that wait for one another from going round."""
        if key not in self._ways:
            behind = [other for other in self._after[key] if other != key and other not in above]
            longest = max((self._walk(other, (*above, key)) for other in behind), default=0.0)
            like = self._like[key]
            own = self.costs.seconds(like)
            self._ways[key] = (self.costs.usual(like) if own is None else own) + longest
        return self._ways[key]
