"""Several suites' leaderboards as one: a row a model, each suite's robustness beside its explanation quality.

Suites that share a model stand in one table; those of other models in a table of their own. Read from the tables and
plans that reports wrote, so that it costs no records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.report.combined import NOISE, suite_rows
from benchmark.report.leaderboard import Leaderboard
from benchmark.report.pareto import Axis, dominations, front_words, marks
from benchmark.report.settings import settings_of
from benchmark.report.soundness import confounded, verdict_on
from benchmark.report.suite_tables import SuiteTables, read_suite_tables
from benchmark.results.heads import SIDES, Head
from benchmark.sentences import listed

SOUND = "sound"


@dataclass
class Part:
    """What one suite gives to the joined table.

    Attributes:
        tables: its plan and tables.
        rows: model to its columns, named as in the suite's own tables.
        heads: those columns, in order.
        axes: the columns in which models are compared.
    """

    tables: SuiteTables
    rows: dict[str, dict[str, Any]]
    heads: list[Head]
    axes: list[str]


def joined(folders: Sequence[Path]) -> list[Leaderboard]:
    """One leaderboard a task and group of suites that share models, in the order of the folders.

    Args:
        folders: ``results/<suite>``; those without a ``leaderboard.csv`` are left out.
    """
    parts = [_part(suite) for folder in dict.fromkeys(folders) if (suite := read_suite_tables(folder)) is not None]
    return [_joined(group) for group in _groups(parts)]


def _groups(parts: Sequence[Part]) -> list[list[Part]]:
    """Parts of one task that share a model, directly or by others."""
    found: list[list[Part]] = []
    for part in parts:
        near = [group for group in found if any(_alike(part, other) for other in group)]
        if near:
            near[0] += [part, *(other for group in near[1:] for other in group)]
            found = [group for group in found if group not in near[1:]]
        else:
            found.append([part])
    return [sorted(group, key=parts.index) for group in found]


def _alike(part: Part, other: Part) -> bool:
    return part.tables.suite.task == other.tables.suite.task and bool(set(part.rows) & set(other.rows))


def _part(suite: SuiteTables) -> Part:
    """What a suite claims, and the qualities of :mod:`benchmark.report.combined`; who fails the gate claims nothing."""
    directions: dict[str, bool] = {}
    rows = {row["model"]: row for row in suite_rows(suite, directions)}
    claims = [Head(claim.name, claim.better, claim.unit) for claim in suite.claims]
    heads = [Head("rank", False), Head("n", None, "count"), *claims]
    heads += [Head(name, better) for name, better in (directions | {NOISE: True}).items()]
    for line in suite.board.to_dict("records"):
        rows[line["model"]]["rank"] = line["rank"]
    sound = [m.name.replace("-", "_") for m in suite.suite.metrics if verdict_on(suite.suite, m.name) == SOUND]
    axes = [*(claim.name for claim in suite.claims if claim.axis), *(name for name in sound if name in directions)]
    part = _kept(suite, rows, heads, axes)
    for row in part.rows.values():
        if row.get("gate") == "failed":
            row["_barred"] = True
    return part


def _kept(suite: SuiteTables, rows: dict[str, dict[str, Any]], heads: list[Head], axes: list[str]) -> Part:
    """Without the columns that no model has a value in."""
    known = [head for head in heads if any(not pd.isna(row.get(head.name, nan)) for row in rows.values())]
    names = [head.name for head in known]
    return Part(suite, rows, known, [name for name in axes if name in names])


def _joined(parts: Sequence[Part]) -> Leaderboard:
    models = list(dict.fromkeys(model for part in parts for model in part.rows))
    heads: dict[str, Head] = {"model": Head("model"), "pareto": Head("pareto")}
    columns: dict[str, list[Any]] = {"model": models, "pareto": [""] * len(models)}
    axes: list[Axis] = []
    for part in parts:
        for head in part.heads:
            name = f"{part.tables.name}:{head.name}"
            heads[name] = Head(name, head.better, head.unit)
            for side in ("", *SIDES):
                if not side or any(f"{head.name}{side}" in row for row in part.rows.values()):
                    columns[f"{name}{side}"] = [part.rows.get(m, {}).get(f"{head.name}{side}", nan) for m in models]
            if head.name in part.axes and head.better is not None:
                axes.append(Axis(part.tables.name, name, head.better))
    frame = pd.DataFrame(columns)
    for name in columns:
        if name.endswith((":rank", ":n")):
            frame[name] = frame[name].astype("Int64")
        elif f"{name}_low" in columns:  # a column of whole numbers alone was read as integers
            frame[name] = frame[name].astype(float)
    compared = _without_barred(frame.set_index("model"), parts)
    made, found = marks(compared, axes), dominations(compared, axes)
    frame["pareto"] = [made[model] for model in models]
    places = [*front_words(found, models, made), _compared(axes), *[line for part in parts if (line := _ranks(part))]]
    return Leaderboard(
        name=parts[0].tables.suite.task,
        title=f"{parts[0].tables.suite.task.capitalize()}: {listed([part.tables.name for part in parts])}",
        frame=frame,
        heads=heads,
        shown=_shown(frame, heads),
        places=places,
        remarks=[*confounded([part.tables.suite for part in parts], len(models)), *_fewer(parts)],
        about={part.tables.name: _about(part.tables) for part in parts},
        settings={part.tables.name: settings_of(part.tables.plan) for part in parts},
    )


def _without_barred(frame: pd.DataFrame, parts: Sequence[Part]) -> pd.DataFrame:
    """The table in which models are compared: no values of a suite whose gate a model fails."""
    frame = frame.copy()
    for part in parts:
        barred = [model for model, row in part.rows.items() if row.get("_barred")]
        for name in part.axes:
            frame.loc[barred, f"{part.tables.name}:{name}"] = nan
    return frame


def _compared(axes: Sequence[Axis]) -> str:
    """Which axes the mark is over, in words."""
    by_suite: dict[str, list[str]] = {}
    for axis in axes:
        by_suite.setdefault(axis.suite, []).append(axis.name.partition(":")[2])
    shown = "; ".join(f"{suite}: {', '.join(names)}" for suite, names in by_suite.items())
    return (
        f"Compared by point estimates where both models have every axis ({shown}). Beyond the intervals: two 95 %"
        " intervals do not overlap; means over explainers have none. Of the metrics of explanations only the sound ones"
        " are axes."
    )


def _ranks(part: Part) -> str:
    """The places of one suite by its ranks; shared ranks are not told apart."""
    lead, board = part.tables.lead, part.tables.board
    ranked = board[board["rank"].notna()]
    if not len(ranked):
        return ""
    ranks = ranked["rank"].astype(int)
    ranked_models = [f"{rank} {listed(list(ranked['model'][ranks == rank]))}" for rank in sorted(set(ranks))]
    whole = len(ranked_models) == len(ranked)
    # ranks that are all different count one significant difference for every pair
    sure = "every place is decided" if whole and max(ranks) == len(ranked) else "not every place is decided"
    return f"Ranks in {part.tables.name} by {lead}: {'; '.join(ranked_models)} ({sure})."


def _fewer(parts: Sequence[Part]) -> list[str]:
    """Suites whose headline is over fewer samples than their other columns."""
    lines = []
    for part in parts:
        name = f"n_{part.tables.lead}"
        own = part.tables.board[name].dropna() if name in part.tables.board else pd.Series(dtype=float)
        if len(own):
            n, whole = int(own.max()), int(part.tables.board["n"].max())
            lines.append(f"{part.tables.name}: {part.tables.lead} and its ranks are over {n} of the {whole} samples.")
    return lines


def _shown(frame: pd.DataFrame, heads: Mapping[str, Head]) -> list[str]:
    hidden = (":rank", ":n")
    names = [name for name in heads if not name.endswith(hidden) and name in frame]
    return [name for name in names if name in ("model", "pareto") or frame[name].notna().any()]


def _about(suite: SuiteTables) -> str:
    data, threat = suite.plan["dataset"], suite.suite.threat
    samples = f"{data['n']} samples of {suite.suite.dataset.label}"
    return samples if threat is None else f"{samples}, {threat.norm} {threat.eps}"
