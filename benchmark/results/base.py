"""Plan and records of one suite, as tables to compute with. Needs no torch and no model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import stats
from benchmark.errors import NoRecordsError
from benchmark.inputs import IMAGE
from benchmark.reported import Estimate
from benchmark.spec.budget import Budget, at_budget
from benchmark.spec.suite import AttackProbe, SuiteSpec
from benchmark.store.folder import Store
from benchmark.tasks.base import Task, tasks

NORMS = ("linf", "l2", "l1", "l0")
SMALL = 5000  # rows below which comparing Python's texts is faster than calling Arrow
# columns of attack rows that are read where all of them are empty too; norms beside them
READ = {"cell", "sample", "kind", "model", "probe", "metric", "eps", "source", "status", "success", "success_8bit",
        "forwards"}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """One judged condition: a probe at a budget (``eps`` None: a minimal-norm or budget-less probe as a whole).

    ``source`` is the entry that the attack was fitted on; None: the one that the suite means for each model.
    """

    probe: str
    eps: Budget | None
    source: str | None = None

    @property
    def suffix(self) -> str:
        """What column names end in, such as ``pgd_0.03137``."""
        return at_budget(self.probe, self.eps)


def labels_of(folders: Sequence[Path]) -> list[str]:
    """Labels of the datasets of these results folders, by which ``--data`` names them."""
    plans = [plan for folder in folders if (plan := Store(folder).plan()) is not None]
    return list(dict.fromkeys(SuiteSpec.model_validate(plan["suite"]).dataset.label for plan in plans))


def recorded_params(
    plan: Mapping[str, Any], heads: Mapping[str, Mapping[str, Any]], probe: str
) -> dict[str, Any] | None:
    """Parameters of a probe's attack in the first of its records, defaults of our own code among them; or None."""
    for cell in plan["cells"]:
        if cell["kind"] == "attack" and cell["probe"] == probe and cell["hash"] in heads:
            plugin = (heads[cell["hash"]].get("spec") or {}).get("plugin")
            return None if plugin is None else dict(plugin.get("params") or {})
    return None


def of_budget(rows: pd.DataFrame, eps: Budget | None) -> pd.Series:
    """Which of these rows or cells ran at a budget; None: which ran without one."""
    found: pd.Series = rows["eps"].isna() if eps is None else rows["eps"] == eps.text
    return found


def quick(table: pd.DataFrame) -> pd.DataFrame:
    """The same with texts as objects where it is small: Arrow's take a multiple of the time there."""
    if len(table) > SMALL:
        return table
    return table.astype({name: object for name in table if isinstance(table[name].dtype, pd.StringDtype)})


def own(rows: pd.DataFrame) -> pd.DataFrame:
    """Attack rows without the columns that only other probes fill: most of a suite's, and every look copies them."""
    kept = [name in READ or str(name).startswith("norm_") or rows[name].notna().any() for name in rows]
    return rows.loc[:, kept]


class Results:
    """Everything a report needs of one suite.

    Args:
        store: the suite's results folder; its records.parquet must have been packed.
        where: paths by the dataset's label, of ``--data`` or of the suite (a plan has none): where pictures find their
            inputs.

    Raises:
        NoRecordsError: there is no plan, or none of its cells has a record.
    """

    def __init__(self, store: Store, where: Mapping[str, Path] | None = None) -> None:
        plan = store.plan()
        packed = store.packed() if plan is not None else None
        if plan is None or packed is None or not plan["cells"]:
            raise NoRecordsError(f"{store.folder} holds no records; run the suite first: assay run {store.folder.name}")
        self.store, self.plan, self.where = store, plan, dict(where or {})
        self.suite = SuiteSpec.model_validate(plan["suite"])
        self.task: Task = tasks.make(self.suite.task, self.suite.task_params)
        self.cells = quick(pd.DataFrame(plan["cells"]))
        source = self.cells["source"] if "source" in self.cells else pd.Series("", index=self.cells.index)
        self.cells["source"] = source.astype(object).fillna("")
        heads = packed.loc[packed["json"].notna(), ["cell", "json"]]
        wanted = set(self.cells["hash"])
        self.heads: dict[str, dict[str, Any]] = {
            cell: json.loads(text) for cell, text in zip(heads["cell"], heads["json"], strict=True) if cell in wanted
        }
        if not self.heads:
            raise NoRecordsError(f"{store.folder}: none of the plan's {len(self.cells)} cells has a record yet")
        rows = packed.loc[packed["json"].isna()].drop(columns="json")
        if "sample" not in rows:  # nothing but failures
            rows = rows.assign(sample=pd.Series(dtype=object))
        labels = self.cells[["hash", "kind", "model", "probe", "metric", "eps", "source"]].rename(
            columns={"hash": "cell"}
        )
        self.rows = rows.merge(labels, on="cell", how="inner")
        self.models: list[str] = list(plan["entries"])
        self.stray = len(store.recorded() - wanted)
        self._clean = {model: self._clean_rows(model) for model in self.models}
        self._outcomes: dict[tuple[str, Condition, str], pd.Series] = {}
        self._asked: dict[tuple[str, Condition], list[str]] = {}
        # of the tables that attack_rows returns, by their identity: they live as long as this
        self._good: dict[int, NDArray[np.bool_]] = {}
        self._wins: dict[tuple[int, str], NDArray[np.bool_]] = {}
        self._ids: dict[int, NDArray[Any]] = {}
        self._valid: dict[tuple[int, Budget | None], set[str]] = {}

    @property
    def pictured(self) -> bool:
        """Whether samples can be drawn: they are images."""
        return self.task.inputs == IMAGE

    @property
    def classes(self) -> list[str]:
        """Class names of the dataset."""
        return [str(name) for name in self.plan["dataset"]["classes"]]

    # -- parts --------------------------------------------------------------------------------------------------

    def _clean_rows(self, model: str) -> pd.DataFrame:
        part = self.rows[(self.rows["kind"] == "clean") & (self.rows["model"] == model)]
        filled = [name for name in part if name == "sample" or part[name].notna().any()]
        rows: pd.DataFrame = part[filled].set_index("sample", drop=False)
        return rows

    def clean(self, model: str) -> pd.DataFrame:
        """Clean rows of a model, by sample; without rows where its clean cells failed."""
        return self._clean[model]

    def planned(self, model: str, kind: str = "clean", probe: str = "", eps: Budget | None = None) -> int:
        """Number of samples that the plan asks of a model."""
        cells = self.cells[
            (self.cells["model"] == model) & (self.cells["kind"] == kind) & (self.cells["probe"] == probe)
        ]
        if kind == "attack":
            cells = cells[of_budget(cells, eps)]
        return int(cells["n"].sum())

    def threat(self, probe: str) -> dict[str, Any]:
        """Threat model of an attack probe, as the plan holds it; empty where it makes inputs from nothing."""
        return self._threats.get(probe, {})

    @cached_property
    def _threats(self) -> dict[str, dict[str, Any]]:
        cells = self.cells[self.cells["kind"] == "attack"].drop_duplicates("probe")
        return {probe: dict(threat) for probe, threat in zip(cells["probe"], cells["threat"], strict=True)}

    def conditions(self) -> list[Condition]:
        """Every judged condition, in the suite's order; a minimal-norm probe also has one without a budget.

        Attacks that do not mean to break a prediction have none.
        """
        found = []
        for probe in self.suite.attacks:
            threat = self.threat(probe.name)
            if not threat or not threat.get("breaks", True):
                continue
            if threat.get("kind") != "fixed":
                found.append(Condition(probe.name, None))
            found += [Condition(probe.name, eps) for eps in probe.budgets]
        return found

    def of_norm(self, norm: str) -> list[AttackProbe]:
        """Attack probes whose perturbations have this norm, in the domain of the headline threat model."""
        domain = self.suite.threat.domain if self.suite.threat is not None else IMAGE
        wanted = {"norm": norm, "domain": domain}
        return [probe for probe in self.suite.attacks if wanted.items() <= self.threat(probe.name).items()]

    @property
    def elsewhere(self) -> str:
        """What the headline's budget is a share of the norm of, in a clause; empty where it is none."""
        threat = self.suite.threat
        relative = threat is not None and any(self.threat(p.name).get("relative") for p in self.of_norm(threat.norm))
        return f" of the {threat.domain}'s norm" if threat is not None and relative else ""

    def sources(self, probe: str) -> list[str]:
        """Entries that an attack probe was fitted on, in the plan's order."""
        return self._sources.get(probe, [])

    @cached_property
    def _sources(self) -> dict[str, list[str]]:
        cells = self.cells[self.cells["kind"] == "attack"].drop_duplicates(["probe", "source"])
        fitted = cells[cells["source"] != ""]
        return {str(probe): list(part["source"]) for probe, part in fitted.groupby("probe", sort=False)}

    def own_source(self, model: str, probe: str) -> str:
        """The entry whose fit stands for a model's own row, "" where the attack fits nothing."""
        named = next((each.source for each in self.suite.attacks if each.name == probe), "")
        return (named or model) if self.sources(probe) else ""

    def attack_rows(
        self, model: str, probe: str | None = None, norm: str | None = None, source: str | None = None
    ) -> pd.DataFrame:
        """Attack rows of a model: of one probe (fitted on ``source``, default its own), or of every probe of a norm."""
        rows = self._attacked.get(model, self.rows.iloc[:0])
        if probe is not None:
            own = self.own_source(model, probe) if source is None else source
            rows = self._by_probe.get((model, probe, own), self.rows.iloc[:0])
        if norm is not None:
            rows = rows[rows["probe"].isin([each.name for each in self.of_norm(norm)])]
        found: pd.DataFrame = rows
        return found

    def recorded(self, probe: str) -> dict[str, Any] | None:
        """The parameters with which an attack ran, as its records say; None where there is none yet."""
        return recorded_params(self.plan, self.heads, probe)

    @cached_property
    def _attacked(self) -> dict[str, pd.DataFrame]:
        """Attack rows of each model."""
        attacked: Any = self.rows[self.rows["kind"] == "attack"]
        return {model: quick(rows) for model, rows in attacked.groupby("model", sort=False)}

    @cached_property
    def _by_probe(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        """Attack rows of each model, probe and source: every column of a report asks for them."""
        attacked: Any = self.rows[self.rows["kind"] == "attack"]
        by_probe = attacked.groupby(["model", "probe", "source"], sort=False)
        found: dict[tuple[str, str, str], pd.DataFrame] = {key: quick(own(rows)) for key, rows in by_probe}
        self._good = {id(rows): self._ok(rows) for rows in found.values()}
        return found

    @cached_property
    def _cells_by_probe(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        """Attack cells of each model, probe and source."""
        cells: Any = self.cells[self.cells["kind"] == "attack"]
        return dict(tuple(cells.groupby(["model", "probe", "source"], sort=False)))

    # -- verdicts -----------------------------------------------------------------------------------------------

    def outcome(self, model: str, condition: Condition, success: str = "success") -> pd.Series:
        """Right and not broken, per planned sample of the condition: 1, 0, or NaN without a valid verdict.

        A sample is broken at eps by any verified success of the probe with a norm (or a budget) of at most eps;
        ``success`` is the column that says so (``"success_8bit"``: after rounding to 8 bits).
        """
        asked = model, condition, success  # by the row, the pairs, the page and the attack's own tables
        if asked not in self._outcomes:
            rows = self.attack_rows(model, condition.probe)
            broken = self.broken(rows, condition.eps, str(self.threat(condition.probe).get("norm")), success)
            samples = self.attacked_samples(model, condition)
            self._outcomes[asked] = self._judge(model, broken, self.valid(rows, condition), samples)
        return self._outcomes[asked].copy()

    def worst(self, model: str, norm: str, eps: Budget) -> pd.Series:
        """Right and broken by no attack or control of this norm within eps; NaN without a verdict of each of them."""
        broken = self.broken(self.attack_rows(model, norm=norm), eps, norm)
        required = [
            Condition(condition.probe, condition.eps, source)
            for condition in self.required(norm, eps)
            for source in self.planned_sources(model, condition.probe)
        ]
        valid, samples = self.common(model, required)
        return self._judge(model, broken, valid, samples)

    def common(self, model: str, conditions: Sequence[Condition]) -> tuple[set[str], list[str]]:
        """Samples with a valid verdict in every condition, and the ids that all of them were asked for."""
        valid: set[str] | None = None
        samples: list[str] | None = None
        for condition in conditions:
            found = self.valid(self.attack_rows(model, condition.probe, source=condition.source), condition)
            valid = found if valid is None else valid & found
            planned = self.attacked_samples(model, condition)
            samples = planned if samples is None or len(planned) < len(samples) else samples
        return valid or set(), samples or []

    def planned_sources(self, model: str, probe: str) -> list[str]:
        """Entries whose fit the plan judges on this model; [""] for an attack that fits nothing."""
        cells = self.cells[
            (self.cells["kind"] == "attack") & (self.cells["probe"] == probe) & (self.cells["model"] == model)
        ]
        return list(dict.fromkeys(cells["source"])) or [""]

    def required(self, norm: str, eps: Budget) -> list[Condition]:
        """The conditions whose verdicts the worst case needs: attacks at exactly eps, and minimal-norm ones."""
        found = []
        for probe in self.of_norm(norm):
            if self.threat(probe.name).get("kind") == "minimal":
                found.append(Condition(probe.name, None))
            elif eps in probe.budgets:
                found.append(Condition(probe.name, eps))
        return found

    def broken(self, rows: pd.DataFrame, eps: Budget | None, norm: str, success: str = "success") -> set[str]:
        """Samples with a verified success among these attack rows, of a norm or a budget of at most eps (None: any)."""
        won = self._won(rows, success)
        if eps is not None and won.any():
            asked = rows["eps"]
            small = {text for text in asked[won].unique() if isinstance(text, str) and Budget.parse(text) <= eps}
            within = np.array(asked.isin(small), dtype=bool)
            if f"norm_{norm}" in rows:
                within |= rows[f"norm_{norm}"].to_numpy(dtype=float) <= eps.value
            won &= within
        return set(self._samples_of(rows)[won])

    def _won(self, rows: pd.DataFrame, success: str) -> NDArray[np.bool_]:
        """Where a verified success says so; the caller's to change."""
        if (id(rows), success) in self._wins:
            return self._wins[id(rows), success].copy()
        won = np.ones(len(rows), dtype=bool)
        for column in dict.fromkeys(("success", success)) if len(rows) else ():
            won &= rows[column].fillna(False).astype(bool).to_numpy() & self._ok(rows)
        if id(rows) in self._good:
            self._wins[id(rows), success] = won.copy()
        return won

    def _samples_of(self, rows: pd.DataFrame) -> NDArray[Any]:
        if id(rows) not in self._good:
            return rows["sample"].to_numpy()
        if id(rows) not in self._ids:
            self._ids[id(rows)] = rows["sample"].to_numpy()
        return self._ids[id(rows)]

    def valid(self, rows: pd.DataFrame, condition: Condition) -> set[str]:
        """Samples to which these rows of a probe give a valid verdict in the condition."""
        if not len(rows):
            return set()
        fixed = self.threat(condition.probe).get("kind") == "fixed"
        eps = condition.eps if fixed else None
        if (id(rows), eps) not in self._valid:
            at = of_budget(rows, eps).to_numpy(dtype=bool)
            good, samples = self._ok(rows), self._samples_of(rows)
            found = set(samples[at & good]) - set(samples[at & ~good])  # each of a sample's views must be good
            if id(rows) not in self._good:
                return found
            self._valid[id(rows), eps] = found
        return set(self._valid[id(rows), eps])

    def _ok(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        known = self._good.get(id(rows))
        return (rows["status"] == "ok").to_numpy(dtype=bool) if known is None else known

    def attacked_samples(self, model: str, condition: Condition) -> list[str]:
        """Ids of all samples that the plan asks of a model in a condition."""
        if (model, condition) not in self._asked:
            self._asked[model, condition] = self._sample_ids(self._sizes(model, condition))
        return list(self._asked[model, condition])

    def _sizes(self, model: str, condition: Condition) -> list[int]:
        fixed = self.threat(condition.probe).get("kind") == "fixed"
        own = self.own_source(model, condition.probe) if condition.source is None else condition.source
        cells = self._cells_by_probe.get((model, condition.probe, own), self.cells.iloc[:0])
        return list(cells["n"][of_budget(cells, condition.eps if fixed else None)])

    def _sample_ids(self, sizes: list[int]) -> list[str]:
        """Ids of a planned prefix; a sample that no record names gets a placeholder, so that it is counted."""
        return [self._order.get(i, f"?{i}") for i in range(sum(sizes))]

    @cached_property
    def _order(self) -> dict[int, str]:
        """Position in the suite's order to sample id, as far as records name it; models may differ in chunk size."""
        found: dict[int, str] = {}
        judged = self.cells[~self.cells["kind"].isin(["fit", "generate", "similarity"])]
        by = ["model", "kind", "probe", "metric", "eps", "source"]
        for _, cells in judged.groupby(by, dropna=False, sort=False):
            start = 0
            for cell, n in zip(cells["hash"], cells["n"], strict=True):
                if cell in self.heads and start not in found:
                    found |= dict(enumerate(self.heads[cell]["spec"]["samples"], start))
                start += n
        return found

    def samples(self, model: str) -> list[str]:
        """Ids of all planned samples of a model."""
        clean = self.cells[(self.cells["kind"] == "clean") & (self.cells["model"] == model)]
        return self._sample_ids(list(clean["n"]))

    def _judge(self, model: str, broken: set[str], valid: set[str], samples: list[str]) -> pd.Series:
        clean = self.clean(model)
        right = dict(zip(clean.index, clean["correct"].astype(bool), strict=True)) if len(clean) else {}
        values = []
        for sample in samples:
            if sample not in right:
                values.append(np.nan)
            elif not right[sample] or sample in broken:
                values.append(0.0)
            else:
                values.append(1.0 if sample in valid else np.nan)
        return pd.Series(values, index=samples, dtype=float)

    def correct(self, model: str) -> pd.Series:
        """1, 0 or NaN (no record) per planned sample: the clean prediction is right."""
        clean = self.clean(model)
        known = clean["correct"].astype(float) if len(clean) else pd.Series(dtype=float)
        return known.reindex(self.samples(model))

    def groups(self, model: str, samples: Any) -> NDArray[Any] | None:
        """Group of each sample, or None where the dataset has none."""
        clean = self.clean(model)
        if "group" not in clean:
            return None
        known = clean["group"].reindex(samples).to_numpy(dtype=object)
        pairs = zip(known, samples, strict=True)  # a sample of no group is one of its own
        return np.asarray([f"={g}" if isinstance(g, str) and g else f"?{s}" for g, s in pairs], dtype=object)

    def rate(self, model: str, outcomes: pd.Series) -> Estimate:
        """Share of outcomes (1, 0, NaN without a verdict; by sample) with its interval, over groups where known."""
        return stats.rate(outcomes.to_numpy(dtype=float), self.groups(model, outcomes.index))

    def rate_of_known(self, model: str, values: pd.Series) -> Estimate:
        """As :meth:`rate`, of values of clean rows: NaN is outside the denominator, a planned sample without a row has
        no verdict."""
        kept, lost = values[values.notna()], len(self.samples(model)) - len(values)
        if lost:
            return stats.rate(np.concatenate([kept.to_numpy(dtype=float), np.full(lost, np.nan)]))
        return self.rate(model, kept)

    def facts(self, model: str) -> dict[str, Any]:
        """What a table must say of a model and of the data: column to content."""
        own = self.plan.get("facts", {})
        every = {name: "" for known in own.values() for name in known}
        return {**every, **own.get(model, {}), **self.plan["dataset"].get("facts", {})}

    def counts(self, model: str) -> dict[str, int]:
        """Cells of a model: planned, failed, skipped, missing; samples: NaN, out of budget.

        A metric without a value for a sample is no fault of the model's: ``explanations.csv`` counts it.
        """
        cells = self.cells[self.cells["model"] == model]["hash"]
        status = [self.heads[cell]["status"] if cell in self.heads else "missing" for cell in cells]
        of_metrics = self.rows["kind"].isin(["score", "similarity", "drift"])
        rows = self.rows[(self.rows["model"] == model) & ~of_metrics]
        states = rows["status"].value_counts() if "status" in rows else {}
        return {
            "cells": len(status),
            "failed": status.count("failed"),
            "skipped": status.count("skipped"),
            "missing": status.count("missing"),
            "nan": int(states.get("nan", 0)),
            "out_of_budget": int(states.get("out_of_budget", 0)),
        }

    def verified(self) -> tuple[int, int, int]:
        """Returned inputs that the verifier judged, and how many of them were out of budget, and not finite."""
        rows = self.rows[self.rows["kind"].isin(["attack", "fit", "generate"])]
        status = rows["status"].dropna() if "status" in rows else pd.Series(dtype=object)
        return len(status), int((status == "out_of_budget").sum()), int((status == "nan").sum())

    def reasons(self) -> list[tuple[str, str, str]]:
        """(cell labels, status, last line of the reason) of failed and skipped cells that are not merely blocked.

        Cells of one reason share a line: the first is named, the others are counted.
        """
        found: dict[tuple[str, str], list[str]] = {}
        for cell in self.cells.to_dict("records"):
            head = self.heads.get(cell["hash"])
            if head is not None and head["status"] != "done" and not head.get("blocked"):
                label = " · ".join(
                    part for part in (cell["model"], cell["probe"] or cell["kind"], cell["metric"]) if part
                )
                reason = (head["reason"].strip().splitlines() or [""])[-1]
                found.setdefault((head["status"], reason), []).append(label)
        return [
            (labels[0] + (f" and {len(labels) - 1} more" if len(labels) > 1 else ""), status, reason)
            for (status, reason), labels in found.items()
        ]
