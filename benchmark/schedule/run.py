"""From a suite's name to its records: resolve, plan, lock, compute what is not known yet."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from benchmark.errors import UnknownNameError, UsageError
from benchmark.models.entries import Entry, find_entries, load_entry
from benchmark.models.weights import ensure_weights
from benchmark.schedule.board import Board, with_needs
from benchmark.schedule.costs import Costs
from benchmark.schedule.engine import Job, Watcher, Watchers
from benchmark.schedule.incoming import Incoming, records_at
from benchmark.schedule.plan import Plan, PlannedEntry
from benchmark.schedule.planner import KEEP_ALL_MB, make_plan
from benchmark.schedule.pool import devices, run_pool
from benchmark.schedule.progress import Progress
from benchmark.spec.cell import Cell
from benchmark.spec.suite import RunSpec, SuiteSpec
from benchmark.spec.suites import load_suite, parts, with_data
from benchmark.store.folder import Store


@dataclass(frozen=True)
class Options:
    """What the command line may say about a run; the defaults run the whole suite.

    Attributes:
        models: entries to run (default: the suite's).
        only: probes to run (default: all).
        limit: number of samples, instead of the suite's.
        entries: folders with further entries.
        data: dataset label to path.
        out: folder that holds one folder a suite.
        device, workers, threads, slots_per_device: see :func:`benchmark.schedule.pool.run_pool`.
        fail_fast: start nothing new after the first failure.
        retry_failed: try parked failures again.
        keep_inputs: instead of the suite's.
        engine: ``local`` or ``ray``; ``address`` and ``records``: see :class:`benchmark.schedule.ray.RaySettings`.
    """

    models: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    limit: int | None = None
    entries: tuple[Path, ...] = ()
    data: Mapping[str, Path] = field(default_factory=dict)
    out: Path = Path("results")
    device: str = "auto"
    workers: int | None = None
    threads: int = 1
    slots_per_device: int = 1
    fail_fast: bool = False
    retry_failed: bool = False
    keep_inputs: str | None = None
    engine: str = "local"
    address: str | None = None
    records: str = "driver"


@dataclass
class Prepared:
    """A run before anything is computed."""

    plan: Plan
    store: Store
    selected: list[Cell]
    board: Board


def resolve_all(name: str, options: Options) -> list[tuple[SuiteSpec, Options]]:
    """The suite and its parts with the command line's overrides, each with the options that concern it.

    ``--models`` and ``--only`` choose the parts that know one of them; an entry that none knows joins the suite itself.

    Raises:
        UsageError: an unknown suite, probe or dataset, or a limit that is not positive.
    """
    base = with_data(load_suite(name), options.data)
    if not base.parts or any(label in base.variants for label in options.data):
        return [(_overridden(base, options), options)]
    suites = [base, *parts(base)]
    probes = {probe for suite in suites for probe in probe_names(suite)}
    unknown = [probe for probe in options.only if probe not in probes]
    if unknown:
        raise UnknownNameError("probe", unknown[0], probes, f"suite {base.name!r}")
    strangers = [model for model in options.models if not any(model in suite.entries for suite in suites)]
    found = []
    for suite in suites:
        models = [m for m in options.models if m in suite.entries or (suite is base and m in strangers)]
        only = [probe for probe in options.only if probe in probe_names(suite)]
        if (options.models and not models) or (options.only and not only):
            continue
        own = replace(options, models=tuple(models), only=tuple(only))
        found.append((_overridden(suite, own), own))
    return found


def resolve(name: str, options: Options) -> SuiteSpec:
    """The suite without its parts, with the command line's overrides.

    Raises:
        UsageError: an unknown suite, probe or dataset, a limit that is not positive, options that do not go together.
    """
    return _overridden(with_data(load_suite(name), options.data), options)


def probe_names(suite: SuiteSpec) -> list[str]:
    """Labels of all probes."""
    return [*(probe.name for probe in suite.attacks), *(probe.name for probe in suite.explainers)]


def _check(options: Options) -> None:
    """Refuse what could only be refused later, or not at all where nothing is left to compute."""
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit {options.limit}: expected at least 1")
    if options.engine not in ("local", "ray"):
        raise UsageError(f"--engine {options.engine}: expected local or ray")
    if options.engine == "local":
        if options.address is not None or options.records != "driver":
            raise UsageError("--address and --records are for --engine ray")
        if options.device != "auto":
            devices(options.device)
    known = get_args(RunSpec.model_fields["keep_inputs"].annotation)
    if options.keep_inputs is not None and options.keep_inputs not in known:
        raise UsageError(f"--keep-inputs {options.keep_inputs}: expected {', '.join(known)}")


def _overridden(suite: SuiteSpec, options: Options) -> SuiteSpec:
    _check(options)
    if options.limit is not None:
        suite = suite.model_copy(update={"dataset": suite.dataset.model_copy(update={"samples": options.limit})})
    if options.keep_inputs is not None:
        suite = SuiteSpec.model_validate(
            suite.model_dump() | {"run": suite.run.model_dump() | {"keep_inputs": options.keep_inputs}}
        )
    probes = probe_names(suite)
    for probe in options.only:
        if probe not in probes:
            raise UnknownNameError("probe", probe, probes, f"suite {suite.name!r}")
    return suite


def planned_entries(suite: SuiteSpec, options: Options, watcher: Watcher) -> list[PlannedEntry]:
    """The suite's entries and those of ``--models``, weights at hand.

    Entries that a probe only takes an artefact from (``source``) follow with ``row = False``.

    Raises:
        UnknownNameError: no such entry.
    """
    known = find_entries(options.entries)
    names = list(dict.fromkeys([*suite.entries, *options.models]))
    missing = [name for name in options.models if name not in known]
    if missing:
        where = ", ".join(str(folder) for folder in options.entries) or "baselines/"
        raise UnknownNameError("entry", missing[0], known, where)
    sources = [name for probe in suite.attacks for name in (probe.source, *probe.sources) if name]
    planned = []
    for name in dict.fromkeys([*names, *sources]):
        entry = load_entry(name, options.entries)
        _weights(entry, watcher, options.data)
        folder, facts = entry.folder.resolve(), entry.facts()
        named = () if isinstance(entry.spec.classes, int) else entry.spec.classes
        count = 2 if entry.spec.output == "logit1" else entry.spec.class_count
        planned.append(PlannedEntry(name, entry.digest(), entry.spec.task, folder, name in names, facts, named, count))
    return planned


def _weights(entry: Entry, watcher: Watcher, data: Mapping[str, Path]) -> None:
    """Fetch or make missing weights; where that fails the entry's cells fail with the reason, all others go on."""
    try:
        ensure_weights(entry, watcher.said, data)
    except UsageError:
        raise
    except Exception as error:
        watcher.said(f"{entry.name}: {error}")


def prepare(
    suite: SuiteSpec, entries: Sequence[PlannedEntry], options: Options, *, store: Store | None = None
) -> Prepared:
    """Plan the suite and find what is known already."""
    plan = make_plan(suite, entries)
    store = store or Store(options.out / suite.name)
    selected = [
        cell
        for cell in plan.cells
        if (not options.models or cell.model in options.models)
        and (not options.only or cell.probe in options.only or cell.kind == "clean")
    ]
    selected = with_needs(selected, plan.cells)
    return Prepared(plan, store, selected, _board(plan, store, selected, options))


def _board(plan: Plan, store: Store, selected: Sequence[Cell], options: Options) -> Board:
    heads = usable(store, store.heads(cell.hash for cell in plan.cells))
    too_little = kept_too_little(plan.cells, heads)
    heads = {cell: head for cell, head in heads.items() if cell not in too_little}
    return Board(selected, heads, options.retry_failed, costs=Costs.of(plan.cells, heads))


def usable(store: Store, heads: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records whose files are all there; a record that lost its rows or artefacts is computed again."""
    files = {path.name for path in store.cells.glob("*.parquet")} if store.cells.is_dir() else set()
    kept = {}
    for cell, head in heads.items():
        artefacts = [store.artefacts / artefact["file"] for artefact in head.get("artefacts", {}).values()]
        if ("rows" not in head or f"{cell}.parquet" in files) and all(path.is_file() for path in artefacts):
            kept[cell] = head
    return kept


def kept_too_little(cells: Sequence[Cell], heads: Mapping[str, dict[str, Any]]) -> set[str]:
    """Attack cells that others now read, whose record (of a plan in which nobody did) kept only some inputs."""
    return {
        cell.hash
        for cell in cells
        if cell.kind == "attack" and cell.keep_inputs == "all" and cell.keep_inputs_mb >= KEEP_ALL_MB
        if heads.get(cell.hash, {}).get("status") == "done"
        if heads[cell.hash]["spec"]["keep_inputs"] != "all" or heads[cell.hash]["spec"]["keep_inputs_mb"] < KEEP_ALL_MB
    }


def merged_plan(plan: Plan, old: dict[str, Any] | None) -> dict[str, Any]:
    """plan.json; entries that an earlier run added to the same suite keep their cells and so their rows."""
    new = plan.to_json()
    if old is None or _comparable(old) != _comparable(new):
        return new
    own = set(new["entries"]) | set(old["suite"]["entries"])
    guests = {name: sha for name, sha in old["entries"].items() if name not in own}
    new["entries"] |= guests
    facts = {name: old["facts"][name] for name in guests if name in old.get("facts", {})}
    if facts:
        new["facts"] = new.get("facts", {}) | facts
    mapped = {name: old["mapped"][name] for name in guests if name in old.get("mapped", {})}
    if mapped:
        new["mapped"] = new.get("mapped", {}) | mapped
    new["cells"] += [cell for cell in old["cells"] if cell["model"] in guests]
    return new


def _comparable(plan: dict[str, Any]) -> dict[str, Any]:
    """The part of a plan that must agree for two models to stand in one table."""
    try:  # keys that a later version added have their defaults
        known = SuiteSpec.model_validate(plan["suite"]).model_dump(mode="json")
    except ValidationError:
        known = plan["suite"]
    suite = {key: value for key, value in known.items() if key not in ("entries", "run")}
    parts = ("plan_version", "dataset", "task", "versions")
    return {"suite": suite, **{part: plan.get(part) for part in parts}}


def _replaced(store: Store, old: dict[str, Any], new: dict[str, Any]) -> str:
    """What a user should know where tables of another plan make way, such as those of more samples; else empty."""
    if _comparable(old) == _comparable(new):
        return ""
    was, now = (plan["dataset"].get("n") for plan in (old, new))
    how = f"of {was} samples are replaced by those of {now}" if was != now else "of another plan are replaced"
    return f"{store.folder}: tables {how}; another --out keeps both"


Engine = Callable[[Job], None]


def execute_plan(prepared: Prepared, options: Options, watcher: Watcher, engine: Engine | None = None) -> None:
    """Write plan.json, then run what is not known yet.

    Raises:
        LockedError: another run holds the folder.
        StoreError: a record could not be written.
        KeyboardInterrupt: the user stopped it; what was finished is kept.
    """
    store = prepared.store
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    engine = engine or _engine(options, prepared.plan.suite.name)
    with store.locked(f"process {os.getpid()} on {platform.node()}, started {now}"):
        old = store.plan()
        new = merged_plan(prepared.plan, old)
        if old is not None and (words := _replaced(store, old, new)):
            watcher.said(words)
        store.write_plan(new)
        incoming = Incoming(store, records_at(options.records, prepared.plan.suite.name))
        if fetched := incoming.fetch(prepared.board.attempts):
            watcher.said(f"{fetched} records of an earlier run fetched from {incoming.records}")
            prepared.board = _board(prepared.plan, store, prepared.selected, options)
        if prepared.board.total:
            engine(Job(prepared.board, store, Watchers(watcher, Progress(store)), options.fail_fast))


def _engine(options: Options, suite: str) -> Engine:
    """The engine asked for."""
    if options.engine == "local":
        return lambda job: run_pool(job, options.device, options.workers, options.threads, options.slots_per_device)
    from benchmark.schedule.ray import RaySettings, run_ray

    settings = RaySettings(
        address=options.address,
        device=options.device,
        workers=options.workers,
        threads=options.threads,
        slots_per_device=options.slots_per_device,
        records=records_at(options.records, suite),
    )
    return lambda job: run_ray(job, settings)
