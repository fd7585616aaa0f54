"""A table of models as data: its columns, which are shown, in which order, and what must stand under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Self

import pandas as pd

from benchmark.errors import UnknownNameError
from benchmark.report.settings import Settings
from benchmark.results.heads import SIDES, Head


@dataclass(frozen=True)
class Note:
    """A footnote on a flag: its number, its name, what it means, and what was found of each model."""

    number: int
    name: str
    means: str
    found: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ranking:
    """A table, a row a model, with what must stand under it.

    Attributes:
        name: the suite; of a table of several suites their task.
        title: for people.
        frame: every column, intervals as ``<column>_low`` and ``<column>_high``.
        heads: what each column says, by name.
        shown: the columns of a page where none are chosen.
        places: in words, which places the data decide.
        pairs: a line a pair of models, what the data decide between them.
        checks: what must be said of the data, what was verified, and which records are of older versions.
        remarks: numbers without an interval, numbers over fewer samples, what a table must not be read as.
        denominators: column to the one that holds its n, where that is not the table's.
        notes: footnotes of the flags.
        about: facts for people, such as the threat model and the number of samples.
        settings: by suite, every setting needed to repeat the table.
        lead: the column that ranks, or empty.
        chosen: the columns that were asked for, in order; None: every one, or ``shown`` on a page.
    """

    name: str
    title: str
    frame: pd.DataFrame
    heads: Mapping[str, Head]
    shown: Sequence[str]
    places: Sequence[str] = ()
    pairs: Sequence[str] = ()
    checks: Sequence[str] = ()
    remarks: Sequence[str] = ()
    denominators: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[Note] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Settings] = field(default_factory=dict)
    lead: str = ""
    chosen: tuple[str, ...] | None = None

    # -- which columns, in which order --------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every column that can be chosen: intervals belong to theirs."""
        bounds = {f"{name}{side}" for name in self.frame for side in SIDES}
        return [str(name) for name in self.frame if name not in bounds]

    def select(self, columns: str | Sequence[str]) -> Self:
        """With these columns in this order: names or patterns such as ``robust_acc_*``, a list or joined by commas.

        The model stands first in any case; intervals follow their column.

        Raises:
            UnknownNameError: a name that no column has, or a pattern that none matches.
        """
        names, keys = self.names(), self.keys()
        found = dict.fromkeys(keys)
        for asked in split(columns):
            hits = matching(names, asked)
            if not hits:
                raise UnknownNameError("column", asked, names, f"the leaderboard of {self.name}")
            found |= dict.fromkeys(hits)
        return replace(self, chosen=tuple(found))

    def sort(self, columns: str | Sequence[str]) -> Self:
        """Sorted by these columns, smallest first, with ``-`` before a name largest first; blanks last, ties as before.

        Raises:
            UnknownNameError: a name that no column has.
        """
        frame = self.frame
        for asked in reversed(split(columns)):
            name = asked.removeprefix("-")
            if name not in self.names():
                raise UnknownNameError("column", name, self.names(), f"the leaderboard of {self.name}")
            frame = frame.sort_values(name, ascending=asked == name, kind="stable", na_position="last")
        return replace(self, frame=frame.reset_index(drop=True))

    def keys(self) -> list[str]:
        """The columns that name a row."""
        return ["model"]

    def page(self) -> list[str]:
        """Columns of a page: those chosen, else those shown."""
        return list(self.shown if self.chosen is None else self.chosen)

    def whole(self) -> list[str]:
        """Columns of a data file, without intervals: those chosen, else every one."""
        return list(self.names() if self.chosen is None else self.chosen)

    def marks(self) -> dict[str, int]:
        """Flag to the number of its footnote."""
        return {note.name: note.number for note in self.notes}

    # -- formats ------------------------------------------------------------------------------------------------------

    def to_pandas(self) -> pd.DataFrame:
        """A copy of the table: the chosen columns with their intervals, or every column."""
        if self.chosen is None:
            return self.frame.copy()
        names = [f"{name}{side}" for name in self.chosen for side in ("", *SIDES)]
        return self.frame[[name for name in names if name in self.frame]].copy()


def matching(names: Sequence[str], asked: str) -> list[str]:
    """The column of that name, else those that match it as a pattern."""
    return [asked] if asked in names else [name for name in names if fnmatchcase(name, asked)]


def split(columns: str | Sequence[str]) -> list[str]:
    """Names given as a list or joined by commas."""
    given = columns.split(",") if isinstance(columns, str) else list(columns)
    return [name.strip() for name in given if name.strip()]


def rows(board: Ranking) -> list[Mapping[str, Any]]:
    """The rows as mappings, in order."""
    return [{str(key): value for key, value in row.items()} for row in board.frame.to_dict("records")]
