"""An attack's own part of a report: what it is handed, and its columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import stats
from benchmark.attacks.base import Attack, attacks
from benchmark.errors import AssayError, StoreError
from benchmark.reported import EMPTY, Column, Estimate, ProbeResults, Summary
from benchmark.results.base import Condition, Results, of_budget
from benchmark.results.heads import OWN, Head, head_of
from benchmark.results.view import SuiteView
from benchmark.seeds import derive
from benchmark.spec.budget import Budget, at_budget
from benchmark.spec.suite import AttackProbe


@dataclass
class ProbeView(SuiteView):
    """One probe's results, as :class:`benchmark.reported.ProbeResults` describes them."""

    probe: AttackProbe
    attack: Attack
    _known: dict[tuple[Any, ...], pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The probe's label."""
        return self.probe.name

    @property
    def budgets(self) -> Sequence[Budget | None]:
        """Budgets that are run; (None,) where there is none."""
        fixed = self.attack.threat.kind == "fixed"
        return list(self.probe.budgets) if fixed else [None]

    @property
    def fit_samples(self) -> int | None:
        """Training samples that a fit saw; None: all."""
        return self.probe.fit_samples

    @property
    def reference(self) -> str:
        """The entry that the task holds others against; empty where it has none."""
        return self.results.task.reference()[0]

    def sources(self) -> Sequence[str]:
        """Entries whose fit was judged on others."""
        return self.results.sources(self.name) if self.probe.transfer else []

    def rows(
        self, model: str, eps: Budget | None = None, *, kind: str = "attack", source: str | None = None
    ) -> pd.DataFrame:
        """See :class:`benchmark.reported.ProbeResults`."""
        asked = model, eps, kind, source  # by every column that the attack declares, and by its own tables
        if asked not in self._known:
            self._known[asked] = self._rows(model, eps, kind, source)
        return self._known[asked].copy()

    def _rows(self, model: str, eps: Budget | None, kind: str, source: str | None) -> pd.DataFrame:
        results = self.results
        if kind == "fit":
            cells = self._fits(source or results.own_source(model, self.name), eps)
            found = results.rows[results.rows["cell"].isin(cells)]
            return filled(found.drop_duplicates(["cell", "sample", *(["view"] if "view" in found else [])]))
        if kind == "attack":
            rows = results.attack_rows(model, self.name, source=source)
            rows = rows[of_budget(rows, eps)]
        else:
            rows = results.rows
            rows = rows[(rows["kind"] == kind) & (rows["probe"] == self.name) & (rows["model"] == model)]
        if not len(rows):
            return rows
        known = filled(rows)
        return with_clean(known, results.clean(model), drop_empty=True) if kind == "attack" else known

    def heads(self, model: str, eps: Budget | None = None, *, kind: str = "attack") -> Sequence[Mapping[str, Any]]:
        """See :class:`benchmark.reported.ProbeResults`."""
        cells = self._cells(model, eps, kind, self.results.own_source(model, self.name))
        return [self.results.heads[cell] for cell in cells if cell in self.results.heads]

    def own(self, name: str, model: str, eps: Budget | None = None) -> tuple[float, float, float]:
        """See :class:`benchmark.reported.ProbeResults`."""
        column = next(each for each in self.attack.columns() if each.name == name)
        found = _estimate(self, model, eps, column)
        return found.value, found.low, found.high

    def minus(self, name: str, other: ProbeResults, model: str) -> tuple[float, float, float]:
        """See :class:`benchmark.reported.ProbeResults`."""
        mine, theirs = (self._per_sample(name, probe, model) for probe in (self, other))
        both = mine.index.intersection(theirs.index)
        groups = self.results.groups(model, both)
        found = stats.paired_rates(mine.reindex(both).to_numpy(), theirs.reindex(both).to_numpy(), groups)
        return found.difference, found.low, found.high

    @staticmethod
    def _per_sample(name: str, probe: ProbeResults, model: str) -> pd.Series:
        """Values of a declared column by sample; NaN without a valid verdict."""
        rows = probe.rows(model)
        if not len(rows):
            return pd.Series(dtype=float)
        column = next(each for each in probe.attack.columns() if each.name == name)
        values = np.where(rows["status"] == "ok", column.values(rows), np.nan)
        return pd.Series(values, index=rows["sample"].to_numpy())

    def summary(self, name: str, model: str) -> tuple[float, float, float]:
        """See :class:`benchmark.reported.ProbeResults`."""
        column = next((each for each in self.results.task.columns(self.classes) if each.name == name), None)
        found = EMPTY if column is None else _estimate(self, model, None, replace(column, kind="clean"))
        return found.value, found.low, found.high

    def scores(self, model: str) -> pd.DataFrame:
        """See :class:`benchmark.reported.ProbeResults`."""
        every = self.results.rows
        rows: pd.DataFrame = every[(every["kind"] == "score") & (every["model"] == model)]
        if not len(rows):
            return rows
        known = with_clean(filled(rows), self.results.clean(model))
        return known.rename(columns={"probe": "explainer"})

    def robust(self, model: str, eps: Budget | None = None) -> tuple[float, float, float]:
        """See :class:`benchmark.reported.ProbeResults`."""
        condition = Condition(self.name, eps)
        found = self.results.rate(model, self.results.outcome(model, condition))
        return found.value, found.low, found.high

    def artefact(
        self, model: str, eps: Budget | None = None, *, kind: str = "attack", name: str = ""
    ) -> Mapping[str, NDArray[Any]] | None:
        """See :class:`benchmark.reported.ProbeResults`."""
        name = name or {"attack": "perturbed", "fit": "fitted", "generate": "generated"}[kind]
        if kind == "fit":
            cells = self._fits(self.results.own_source(model, self.name), eps)
        else:
            cells = self._cells(model, eps, kind, self.results.own_source(model, self.name))
        if kind == "fit":  # cells of one fit leave the same
            return next((found for cell in cells if (found := artefact(self.results, [cell], name))), None)
        return artefact(self.results, cells, name)

    def _cells(self, model: str, eps: Budget | None, kind: str, source: str) -> list[str]:
        cells = self.results.cells
        chosen = (cells["kind"] == kind) & (cells["model"] == model) & (cells["probe"] == self.name)
        chosen &= of_budget(cells, eps)
        if kind == "attack":
            chosen &= cells["source"] == source
        return list(cells["hash"][chosen])

    def _fits(self, source: str, eps: Budget | None) -> list[str]:
        """Hashes of the fit cells behind this probe: probes that fit alike share one, under the first one's name."""
        cells, found = self.results.cells, []
        chosen = (cells["kind"] == "attack") & (cells["probe"] == self.name) & (cells["source"] == source)
        chosen &= of_budget(cells, eps)
        for cell in cells["hash"][chosen]:
            head = self.results.heads.get(cell)
            if head is not None and "fit" in head["spec"]["needs"]:
                found.append(head["spec"]["needs"]["fit"])
        return list(dict.fromkeys(found))


@lru_cache(maxsize=4)
def views(results: Results) -> tuple[ProbeView, ...]:
    """The suite's attack probes whose plugin is known here (a stranger's needs ``--include``)."""
    found = []
    for probe in results.suite.attacks:
        stated = {key: value for key, value in (("norm", probe.norm), ("kind", probe.kind)) if value is not None}
        try:
            attack = attacks.make(probe.use, {**probe.params, **stated})
            recorded = results.recorded(probe.name)
            if recorded is not None:
                attack = attack.as_recorded(recorded)
            found.append(ProbeView(results, probe, attack))
        except AssayError:
            continue
    return tuple(found)


def declared(results: Results) -> Iterator[tuple[str, ProbeView, Budget | None, Column]]:
    """(CSV column, probe, budget, declaration) of every column that an attack declares, or the task of every attack."""
    of_task = results.task.attack_columns(results.plan["dataset"]["classes"])
    for view in views(results):
        for eps in view.budgets:
            for column in (*view.attack.columns(), *(() if view.attack.generates else of_task)):
                yield f"{column.name}_{at_budget(view.name, eps)}", view, eps, column


def own_columns(results: Results, model: str) -> Iterator[tuple[Head, Estimate]]:
    """What it says and its estimate, of every column that an attack declares of its own."""
    for name, view, eps, column in declared(results):
        at = at_budget(view.name, eps, " · ")
        words = column.words or column.name.replace("_", " ")
        yield (
            head_of(column, column.table or OWN, name=name, words=words, at=at, probe=view.name),
            _estimate(view, model, eps, column),
        )


@lru_cache(maxsize=4)
def summaries(results: Results) -> tuple[Summary, ...]:
    """Columns that the classes of the suite's attacks declare over several of their probes."""
    known, found = views(results), list[Summary]()
    for cls in dict.fromkeys(type(view.attack) for view in known):
        found += cls.summaries([view for view in known if type(view.attack) is cls])
    return tuple(found)


def summary_columns(results: Results, model: str) -> Iterator[tuple[Head, Estimate]]:
    """What each says, and its estimate."""
    for each in summaries(results):
        if model in each.values:
            samples, values = each.values[model]
            groups = results.groups(model, pd.Index(samples))
            estimate = stats.bootstrap(values, "mean", groups, derive("bootstrap", each.name))
            yield Head(each.name, each.higher_is_better, group=OWN, words=each.words), estimate


def _estimate(view: ProbeView, model: str, eps: Budget | None, column: Column) -> Estimate:
    rows = view.clean(model) if column.kind == "clean" else view.rows(model, eps, kind=column.kind)
    if not len(rows):
        return Estimate(np.nan, np.nan, np.nan, 0)
    values = np.asarray(column.values(rows), dtype=float)
    judged = rows["status"].to_numpy() == "ok" if "status" in rows else np.ones(len(rows), bool)
    groups = view.results.groups(model, rows["sample"]) if column.kind in ("attack", "clean") else None
    if column.statistic == "rate" and "view" not in rows:
        counted = ~judged | ~np.isnan(values)
        return stats.rate(np.where(judged, values, np.nan)[counted], None if groups is None else groups[counted])
    if groups is None and "view" in rows:
        groups = rows["sample"].to_numpy(dtype=object)
    seed = derive("bootstrap", column.name, view.name)
    statistic = "mean" if column.statistic == "rate" else column.statistic  # a rate over several views of a sample
    within = (0.0, 1.0) if column.statistic == "rate" else (-np.inf, np.inf)
    known = np.where(judged, values, np.nan)
    return stats.bootstrap(known, statistic, groups, seed, within=within, successes=column.of_successes)


def artefact(results: Results, cells: Iterable[str], name: str) -> Mapping[str, NDArray[Any]] | None:
    """Arrays of an artefact, of all these cells that have it; None where no cell does."""
    parts = []
    for cell in cells:
        try:
            parts.append(results.store.artefact(cell, name))
        except StoreError:  # a clone has no artefacts; a cell may have kept nothing
            continue
    if len(parts) < 2:  # what a fit left may have no axis to join along
        return parts[0] if parts else None
    return {key: np.concatenate([part[key] for part in parts if key in part]) for key in parts[0]}


def fitted(results: Results) -> pd.DataFrame:
    """Where the artefacts of fits lie, under the suite's results folder; empty where nothing was fitted."""
    rows = []
    for cell in results.cells[results.cells["kind"] == "fit"].to_dict("records"):
        for name, kept in results.heads.get(cell["hash"], {}).get("artefacts", {}).items():
            rows.append(
                {
                    "probe": cell["probe"],
                    "eps": cell["eps"],
                    "model": cell["model"],
                    "artefact": name,
                    "file": f"artefacts/{kept['file']}",
                    "sha256": kept["sha256"],
                }
            )
    return pd.DataFrame(rows)


def published(results: Results, board: pd.DataFrame) -> pd.DataFrame:
    """Published figures beside ours; empty where the suite names none."""
    rows = []
    for each in results.suite.published:
        row = board[board["model"] == each.model]
        known = len(row) == 1 and each.column in board
        ours = {part: float(row[f"{each.column}{part}"].iloc[0]) if known else np.nan for part in ("", "_low", "_high")}
        rows.append(
            {
                "model": each.model,
                "column": each.column,
                "ours": ours[""],
                "ours_low": ours["_low"],
                "ours_high": ours["_high"],
                "published": each.value,
                "source": each.source,
            }
        )
    return pd.DataFrame(rows)


def with_clean(rows: pd.DataFrame, clean: pd.DataFrame, *, drop_empty: bool = False) -> pd.DataFrame:
    """Rows with the clean columns of their samples beside them."""
    extra = [name for name in clean.columns if name not in rows.columns and name != "sample"]
    if not len(clean):
        return rows
    if drop_empty:  # as of :func:`filled`, for the columns that come in
        extra = [name for name in extra if clean[name].reindex(rows["sample"].unique()).notna().any()]
    found = rows.merge(clean[extra], left_on="sample", right_index=True, how="left")
    return found.infer_objects() if drop_empty else found


def filled(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the columns that other kinds of rows brought in."""
    return rows.loc[:, rows.notna().any().to_numpy()].infer_objects()
