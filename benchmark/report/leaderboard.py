"""A leaderboard as an object: a suite's table, in every format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark.report.columns import shown_columns
from benchmark.report.data_words import data_words
from benchmark.report.flags import MEANS, flags
from benchmark.report.formats import csv, json_text, markdown, plain
from benchmark.report.latex import latex
from benchmark.report.leaderboard_html import html
from benchmark.report.ranking import Note, Ranking
from benchmark.report.remarks import denominators, remarks
from benchmark.report.rows import headline_column, heads_of, leaderboard, pair_words, verified_words
from benchmark.report.settings import settings
from benchmark.report.standings import standing_words
from benchmark.results.base import Results
from benchmark.results.heads import COUNTED, COUNTS, DIGESTS, Head
from benchmark.results.versions import outdated
from benchmark.store.folder import Store


@dataclass(frozen=True, repr=False)
class Leaderboard(Ranking):
    """A table, a row a model, with what must stand under it; see :class:`Ranking` for its parts."""

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

    def to_csv(self) -> str:
        """CSV: six significant digits, intervals as ``_low`` and ``_high``."""
        return csv(self)

    def to_markdown(self) -> str:
        """Markdown with everything that stands under the table."""
        return markdown(self)

    def to_latex(self) -> str:
        """A LaTeX table (booktabs) with its notes."""
        return latex(self)

    def to_json(self) -> str:
        """JSON, as docs/leaderboards.md says."""
        return json_text(self)

    def _repr_html_(self) -> str:
        return html(self)

    def __repr__(self) -> str:
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
