"""What a plan is: a suite's cells in order, and the pieces that they are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmark.attacks.base import Attack, attacks
from benchmark.data.base import Index
from benchmark.errors import SpecError
from benchmark.explainers.base import explainers
from benchmark.inputs import ANYTHING
from benchmark.metrics.base import metrics
from benchmark.registry import Plugin, digest
from benchmark.schedule.request import PlannedEntry
from benchmark.seeds import derive
from benchmark.spec.cell import KINDS, Cell, PluginRef
from benchmark.spec.suite import AttackProbe, DatasetSpec, SuiteSpec
from benchmark.tasks.base import tasks

PLAN_VERSION = 1


@dataclass
class Plan:
    """The cells of a suite, ordered by model, each after the cells that it needs.

    Attributes:
        suite: the resolved suite.
        entries: the planned entries, in order.
        classes: class names of the dataset.
        cells: all cells.
        facts: what every table must say of the data.
        notes: sentences on the data that stand under every table: what was left out, turned, or looks wrong.
        mapped: what was done to entries whose classes are in another order than the dataset's.
    """

    suite: SuiteSpec
    entries: list[PlannedEntry]
    index: Index
    samples: tuple[str, ...]
    cells: list[Cell] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    mapped: dict[str, str] = field(default_factory=dict)

    def versions(self) -> dict[str, str]:
        """Implementation version of every probe and metric: records of another one are never mixed in."""
        versions = {}
        for cell in self.cells:
            plugin = cell.plugin or cell.explainer
            if plugin is not None and (KINDS[cell.kind].plugin or cell.explainer):
                versions[cell.metric or cell.probe] = plugin.version
        return versions

    def to_json(self) -> dict[str, Any]:
        """plan.json: the resolved suite and the ordered cells with their labels."""
        task = tasks.make(self.suite.task, self.suite.task_params)
        return {
            "plan_version": PLAN_VERSION,
            "suite": self._suite(),
            "task": task.identity(),
            "dataset": {
                "digest": self.index.digest,
                "classes": list(self.index.classes),
                "n": len(self.samples),
                **({"facts": self.facts} if self.facts else {}),
                **({"notes": list(self.notes)} if self.notes else {}),
            },
            **({"mapped": self.mapped} if self.mapped else {}),
            "entries": {entry.name: entry.digest for entry in self.entries},
            **self._facts(),
            **self._about(),
            "explainers": {
                probe.name: {"use": probe.use, "control": explainers.lookup(probe.use)[0].control}
                for probe in self.suite.explainers
            },
            "metrics": {
                probe.name: {
                    "use": probe.use,
                    "higher_is_better": metrics.make(probe.use, probe.params).higher_is_better,
                }
                for probe in self.suite.metrics
            },
            "versions": self.versions(),
            "cells": [
                {
                    "hash": cell.hash,
                    "kind": cell.kind,
                    "model": cell.model,
                    "probe": cell.probe,
                    "metric": cell.metric,
                    "eps": cell.eps and cell.eps.text,
                    "n": len(cell.samples),
                    "threat": cell.threat,
                    **({"source": cell.source} if cell.source else {}),
                }
                for cell in self.cells
            ],
        }

    def _suite(self) -> dict[str, Any]:
        """The suite without what is this machine's, and without a part that it does not have (older plans match)."""
        suite = self.suite.model_dump(mode="json", exclude={"dataset": {"path": True}, "variants": True, "parts": True})
        for key in ("fit", "range", "classes", "order"):
            if getattr(self.suite.dataset, key) == DatasetSpec.model_fields[key].default:
                del suite["dataset"][key]
        return suite if self.suite.explaining is not None else {k: v for k, v in suite.items() if k != "explaining"}

    def _facts(self) -> dict[str, Any]:
        known = {entry.name: entry.facts for entry in self.entries if entry.facts}
        return {"facts": known} if known else {}

    def _about(self) -> dict[str, Any]:
        known = {entry.name: entry.about for entry in self.entries if entry.about}
        return {"about": known} if known else {}


def sample_order(index: Index, seed: int, n: int | None) -> tuple[str, ...]:
    """A prefix of a seeded permutation of the sample ids: a larger n keeps the first ones."""
    order = np.random.default_rng(derive("order", seed)).permutation(len(index.ids))
    return tuple(index.ids[i] for i in order[: n if n is not None else len(order)])


def chunks(samples: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Consecutive chunks; all but the last hold ``size`` samples."""
    return [tuple(samples[i : i + size]) for i in range(0, len(samples), size)]


def make_attack(probe: AttackProbe, where: str) -> Attack:
    """The probe's attack; the suite's ``norm`` and ``kind`` reach library attacks that take them.

    Raises:
        UnknownNameError, SpecError: no such attack, or a parameter or threat model that does not fit.
    """
    cls, _ = attacks.lookup(probe.use)
    stated = {key: value for key, value in (("norm", probe.norm), ("kind", probe.kind)) if value is not None}
    for key in stated:
        if key not in cls.model_fields:
            raise SpecError(f"{where}: {key!r} is fixed by {probe.use!r}; remove it")
    attack = attacks.make(probe.use, {**probe.params, **stated}, where).check_installed(where)
    threat = attack.threat
    if threat.kind == "fixed" and not probe.budgets:
        raise SpecError(f"{where}: {probe.use!r} runs at a fixed budget; give it budgets, such as budgets = ['8/255']")
    if probe.budgets and (threat.kind == "none" or (threat.kind == "minimal" and threat.norm == "none")):
        raise SpecError(f"{where}: {probe.use!r} has no norm to hold against a budget; remove `budgets`")
    for eps in probe.budgets:
        try:
            attack.check_budget(eps)
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from None
    return attack


def ref(plugin: Plugin) -> PluginRef:
    """Reference of a plugin instance, as cells hold it."""
    identity = plugin.identity()
    return PluginRef(use=identity["use"], params=identity["params"], version=identity["version"], local=plugin.local())


def threat_of(attack: Attack, inputs: str) -> dict[str, Any]:
    """The threat model as a plan holds it; what accepts any kind of inputs perturbs those of the task."""
    threat = attack.threat.model_dump() | {"control": attack.control}
    if attack.accepts == ANYTHING:
        threat["domain"] = inputs
    if not attack.breaks:
        threat["breaks"] = False
    if not threat["relative"]:
        del threat["relative"]
    return threat


def probe_seed(cell: Cell, sample: str) -> int:
    """Seed of one sample in one cell: from suite seed, probe and sample id, never from the model or the budget."""
    plugins = [part.hashed() for part in (cell.plugin, cell.explainer) if part is not None]
    return derive(cell.seed, digest(plugins), sample)
