"""A leaderboard as an object: the table, which columns, in which order, and what must stand under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.errors import UnknownNameError
from benchmark.report.columns import shown_columns
from benchmark.report.data_words import data_words
from benchmark.report.flags import MEANS, flags
from benchmark.report.heads import COUNTED, COUNTS, DIGESTS, SIDES, Head
from benchmark.report.remarks import denominators, remarks
from benchmark.report.results import Results
from benchmark.report.rows import headline_column, heads_of, leaderboard, pair_words, verified_words
from benchmark.report.settings import Settings, settings
from benchmark.report.standings import standing_words
from benchmark.report.versions import outdated
from benchmark.store.folder import Store


@dataclass(frozen=True)
class Note:
    """A footnote on a flag: its number, its name, what it means, and what was found of each model."""

    number: int
    name: str
    means: str
    found: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Leaderboard:
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

    @classmethod
    def of(cls, results: Results, board: pd.DataFrame | None = None) -> Leaderboard:
        """That of a suite's results; ``board`` where it is at hand."""
        suite, frame = results.suite, leaderboard(results) if board is None else board
        threat = suite.threat
        about = {
            "samples": f"{results.plan['dataset']['n']} of {suite.dataset.label} ({suite.dataset.split})",
            "seed": str(suite.seed),
            "threat model": "" if threat is None else f"{threat.norm}, eps = {threat.eps}, {threat.domain}",
        } | {str(name): str(text) for name, text in results.plan["dataset"].get("facts", {}).items()}
        return cls(
            name=suite.name,
            title=suite.title or suite.name,
            frame=frame,
            heads=_heads(results, frame),
            shown=_shown(results, frame),
            places=standing_words(results, frame),
            pairs=pair_words(results),
            checks=[
                *data_words(results.plan),
                *verified_words(results),
                *(each.words for each in outdated(results.plan) if each.own),
            ],
            remarks=remarks(results, frame),
            denominators=denominators(results, frame),
            notes=flag_notes(results),
            about={name: text for name, text in about.items() if text},
            settings={suite.name: settings(results)},
            lead=headline_column(results),
        )

    @classmethod
    def read(cls, folder: Path) -> Leaderboard:
        """That of ``results/<suite>``, from its records alone.

        Raises:
            NoRecordsError: there is nothing to show.
        """
        return cls.of(read_results(folder))

    # -- which columns, in which order --------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every column that can be chosen: intervals belong to theirs."""
        bounds = {f"{name}{side}" for name in self.frame for side in SIDES}
        return [str(name) for name in self.frame if name not in bounds]

    def select(self, columns: str | Sequence[str]) -> Leaderboard:
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

    def sort(self, columns: str | Sequence[str]) -> Leaderboard:
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

    def to_csv(self) -> str:
        """CSV: six significant digits, intervals as ``_low`` and ``_high``."""
        from benchmark.report.formats import csv

        return csv(self)

    def to_markdown(self) -> str:
        """Markdown with everything that stands under the table."""
        from benchmark.report.formats import markdown

        return markdown(self)

    def to_latex(self) -> str:
        """A LaTeX table (booktabs) with its notes."""
        from benchmark.report.latex import latex

        return latex(self)

    def to_json(self) -> str:
        """JSON, as docs/leaderboards.md says."""
        from benchmark.report.formats import json_text

        return json_text(self)

    def _repr_html_(self) -> str:
        from benchmark.report.leaderboard_html import html

        return html(self)

    def __repr__(self) -> str:
        from benchmark.report.formats import plain

        return plain(self)


def read_results(folder: Path) -> Results:
    """The results of a folder, newer records packed first.

    Raises:
        NoRecordsError: there is nothing to report.
    """
    store = Store(folder)
    plan = store.plan()
    if plan is not None:
        store.pack([cell["hash"] for cell in plan["cells"]])
    return Results(store)


def flag_notes(results: Results) -> tuple[Note, ...]:
    """The flags that were raised, numbered in the order of their first model."""
    found: dict[str, list[tuple[str, str]]] = {}
    for flag in flags(results):
        found.setdefault(flag.name, []).append((flag.model, flag.words))
    return tuple(Note(i, name, MEANS[name], tuple(who)) for i, (name, who) in enumerate(found.items(), 1))


def matching(names: Sequence[str], asked: str) -> list[str]:
    """The column of that name, else those that match it as a pattern."""
    return [asked] if asked in names else [name for name in names if fnmatchcase(name, asked)]


def split(columns: str | Sequence[str]) -> list[str]:
    """Names given as a list or joined by commas."""
    given = columns.split(",") if isinstance(columns, str) else list(columns)
    return [name.strip() for name in given if name.strip()]


def _shown(results: Results, frame: pd.DataFrame) -> list[str]:
    """The columns of a page; n belongs there whatever the task."""
    names = shown_columns(results, frame)
    flagged = ["flags"] if frame["flags"].any() else []
    return list(dict.fromkeys([*names[:2], "n", *flagged, *names[2:]]))


def _heads(results: Results, frame: pd.DataFrame) -> dict[str, Head]:
    """Direction and unit of every column, from what declares it."""
    found = {"rank": Head("rank", False), "cells": Head("cells", None, "count", COUNTED)}
    found |= {"n": Head("n", None, "count", COUNTED)}
    found |= {name: Head(name, False, "count", COUNTED) for name in COUNTS[1:]}
    found |= {name: Head(name, group="Digests") for name in DIGESTS} | heads_of(results)
    for name in map(str, frame):
        found.setdefault(name, Head(name))
    return found


def rows(board: Leaderboard) -> list[Mapping[str, Any]]:
    """The rows as mappings, in order."""
    return [{str(key): value for key, value in row.items()} for row in board.frame.to_dict("records")]
