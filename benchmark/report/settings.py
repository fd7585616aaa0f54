"""Every setting that is needed to repeat a table: probes with all parameters, budgets, samples, seeds, versions.

Plain data from plan and records, for every kind of report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from benchmark.attacks.base import attacks
from benchmark.data.base import datasets
from benchmark.errors import AssayError
from benchmark.explainers.base import explainers
from benchmark.metrics.base import metrics
from benchmark.registry import Plugin, Registry, digest
from benchmark.results.base import Results, recorded_params
from benchmark.spec.suite import SuiteSpec
from benchmark.tasks.base import tasks

ELSEWHERE = "parameters that are not given are not shown: this version of the plugin is not installed here"
KINDS = {"attack": ("attack",), "explainer": ("explain", "drift"), "metric": ("score",)}


@dataclass(frozen=True)
class Setting:
    """One part of a suite as it was run.

    Attributes:
        kind: ``"task"``, ``"dataset"``, ``"attack"``, ``"explainer"`` or ``"metric"``.
        name: its label in the suite.
        use: the plugin.
        version: implementation version; empty where no record says it.
        library: library that does the work with its version, such as ``"foolbox==3.3.4"``; or empty.
        threat: threat model of an attack (norm, kind, knowledge, domain, ...).
        budgets: exact, such as ``"1/10"``.
        params: every parameter, defaults included (see ``note``).
        given: names of those that the suite sets.
        others: what else the suite says of it (``fit_samples``, ``source``, ``target``, ...).
        n: samples of a model.
        batch_sizes: samples a forward, as it was run; several where memory ran out or machines differed.
        note: why ``params`` lacks defaults, or empty.
    """

    kind: str
    name: str
    use: str
    version: str = ""
    library: str = ""
    threat: Mapping[str, Any] = field(default_factory=dict)
    budgets: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    others: Mapping[str, Any] = field(default_factory=dict)
    n: int = 0
    batch_sizes: tuple[int, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Settings:
    """Settings of a suite.

    Attributes:
        facts: what holds for the whole table, in words (seed, threat model, devices, dates, digests).
        versions: library to its version as the records name it; several are joined by commas.
        parts: task, dataset, attacks, explainers, metrics.
    """

    facts: Mapping[str, str]
    versions: Mapping[str, str]
    parts: tuple[Setting, ...]

    def plain(self) -> dict[str, Any]:
        """The same as JSON-able data."""
        return {
            "facts": dict(self.facts),
            "versions": dict(self.versions),
            "parts": [{k: v for k, v in asdict(part).items() if v not in ("", (), {}, 0)} for part in self.parts],
        }


def settings(results: Results) -> Settings:
    """Every setting of a suite's results."""
    return settings_of(results.plan, results.heads.values())


def settings_of(plan: Mapping[str, Any], heads: Iterable[Mapping[str, Any]] = ()) -> Settings:
    """Every setting of a plan; what only records know (devices, dates, batch sizes) from their JSON."""
    suite, kept = SuiteSpec.model_validate(plan["suite"]), list(heads)
    by_hash = {str(head.get("hash")): head for head in kept}
    versions = dict(plan.get("versions", {}))
    for head in kept:  # what the plan does not name, and plans of older versions
        _note_versions(head.get("spec") or {}, versions)
    task, data = plan.get("task") or {}, suite.dataset
    parts = [
        _part("task", suite.task, suite.task, tasks, suite.task_params, str(task.get("version", ""))),
        _part("dataset", data.label, data.use, datasets, data.params, versions.get("dataset ", ""), _of_dataset(suite)),
    ]
    for kind, registry, probes in (
        ("attack", attacks, suite.attacks),
        ("explainer", explainers, suite.explainers),
        ("metric", metrics, suite.metrics),
    ):
        for probe in probes:
            stated = probe.model_dump(
                mode="json", exclude={"name", "use", "params", "budgets", "time_limit", "metrics"}
            )
            others = {key: value for key, value in stated.items() if value not in (None, "", [], False)}
            ran = recorded_params(plan, by_hash, probe.name) if kind == "attack" else None
            version = versions.get(probe.name, "")
            found = _part(kind, probe.name, probe.use, registry, probe.params, version, others, ran)
            parts.append(_measured(found, plan, kept, [eps.text for eps in getattr(probe, "budgets", ())]))
    return Settings(_facts(plan, suite, kept), _libraries(kept), tuple(parts))


def _part(
    kind: str,
    name: str,
    use: str,
    registry: Registry[Any],
    given: Mapping[str, Any],
    recorded: str,
    others: Mapping[str, Any] | None = None,
    ran: Mapping[str, Any] | None = None,
) -> Setting:
    """A part with its parameters, as long as the plugin here is the one that was run.

    ``ran`` are the parameters that its records hold: a default that has come since is not theirs.
    """
    said = dict(others or {})
    version, _, library = recorded.partition("+")
    params, note = dict(given), ELSEWHERE
    try:
        stated: dict[str, Any] = {key: said[key] for key in ("norm", "kind") if kind == "attack" and key in said}
        plugin = registry.make(use, {**given, **stated})
    except AssayError:
        plugin = None
    if ran is not None and plugin is not None:
        plugin = plugin.as_recorded(ran)
    # our own defaults change with the version only; those of a library's class with the library's
    if plugin is not None and (recorded == plugin.implementation() or _ours(plugin, version)):
        params, note = plugin.settings(), ""
    params = {key: value for key, value in params.items() if not (key in ("norm", "kind") and value is None)}
    return Setting(kind, name, use, version, library, params=params, given=tuple(given), others=said, note=note)


def _ours(plugin: Plugin, version: str) -> bool:
    return not plugin.borrowed and version in ("", str(plugin.version))


def _measured(part: Setting, plan: Mapping[str, Any], heads: list[Mapping[str, Any]], budgets: list[str]) -> Setting:
    """With what the plan's cells and the records say: threat model, samples, batch sizes."""
    column = "metric" if part.kind == "metric" else "probe"
    cells = [c for c in plan["cells"] if c["kind"] in KINDS[part.kind] and c[column] == part.name]
    sizes: dict[tuple[Any, ...], int] = {}
    for cell in cells:
        asked = (cell["model"], cell["kind"], cell["probe"], cell["eps"], cell.get("source", ""))
        sizes[asked] = sizes.get(asked, 0) + cell["n"]
    mine = {cell["hash"] for cell in cells}
    batches = {int(head["batch_size"]) for head in heads if head.get("hash") in mine and head.get("batch_size")}
    threat, n = dict((cells[0].get("threat") or {}) if cells else {}), max(sizes.values(), default=0)
    return replace(part, threat=threat, budgets=tuple(budgets), n=n, batch_sizes=tuple(sorted(batches)))


def _of_dataset(suite: SuiteSpec) -> dict[str, Any]:
    data = suite.dataset
    found = {"split": data.split, "size": data.size, "channels": data.channels}
    unusual = {"fit": "squeeze", "range": "dtype", "classes": "", "order": None}
    found |= {key: getattr(data, key) for key, usual in unusual.items() if getattr(data, key) != usual}
    if any(probe.fit_samples for probe in suite.attacks):
        found["fit_split"] = data.fit_split
    return {key: value for key, value in found.items() if value is not None}


def _note_versions(spec: Mapping[str, Any], versions: dict[str, str]) -> None:
    """Versions that a record's cell names, where the plan has none; the dataset's under a key that no probe has."""
    data = ((spec.get("dataset") or {}).get("plugin") or {}).get("version")
    for name, version in (("dataset ", data), (spec.get("probe"), (spec.get("plugin") or {}).get("version"))):
        if name and version and not spec.get("metric"):
            versions.setdefault(name, str(version))


def _facts(plan: Mapping[str, Any], suite: SuiteSpec, heads: list[Mapping[str, Any]]) -> dict[str, str]:
    threat, known = suite.threat, [head.get("provenance") or {} for head in heads]
    devices = sorted({str(each["device"]) for each in known if each.get("device")})
    days = sorted({str(each["date"])[:10] for each in known if each.get("date")})
    dtypes = sorted({str(head["spec"]["dtype"]) for head in heads if (head.get("spec") or {}).get("dtype")})
    facts = {
        "suite": suite.name,
        "samples": f"{plan['dataset']['n']} of {suite.dataset.label} ({suite.dataset.split})",
        "seed": f"{suite.seed}; that of each sample derives from it, the plugin and the sample's id",
        "headline threat model": "" if threat is None else f"{threat.norm}, eps = {threat.eps}, {threat.domain}",
        "chunk": f"{suite.run.chunk} samples a cell",
        "dtype": ", ".join(dtypes),
        "device": ", ".join(devices),
        "computed": " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "",
        "cells": f"{len(plan['cells'])}, {len(heads)} with a record" if heads else str(len(plan["cells"])),
        "plan": digest(plan),
        "dataset": str(plan["dataset"].get("digest", "")),
    }
    facts |= {f"entry {name}": str(found) for name, found in plan["entries"].items()}
    facts |= {f"network {name}": "; ".join(lines) for name, lines in networks(plan, heads).items()}
    return {name: text for name, text in facts.items() if text}


def networks(plan: Mapping[str, Any], heads: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What is known of each entry's network, lines by its name: its source, licence, revision, preprocessing, weights,
    and what its records say was done so that it runs. Entries of which nothing is said are left out."""
    found = {name: [f"{key}: {text}" for key, text in about.items()] for name, about in plan.get("about", {}).items()}
    for head in heads:
        model = (head.get("spec") or {}).get("model", "")
        for note in head.get("notes", ()):
            lines = found.setdefault(model, [])
            lines += [str(note)] if str(note) not in lines else []
    return {name: found[name] for name in plan["entries"] if name in found}


def _libraries(heads: list[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for head in heads:
        for name, version in (head.get("provenance") or {}).items():
            if name not in ("date", "device") and isinstance(version, str):
                found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(found[name])) for name in sorted(found)}
