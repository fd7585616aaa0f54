"""From a suite's name to its records: resolve, plan, lock, compute what is not known yet."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from benchmark.schedule.attack_cells import KEEP_ALL_MB
from benchmark.schedule.costs import Costs
from benchmark.schedule.engine import Job
from benchmark.schedule.incoming import Incoming, records_at
from benchmark.schedule.kept import drop_beyond, dropped, lacking
from benchmark.schedule.ledger import Ledger, with_needs
from benchmark.schedule.plan import Plan
from benchmark.schedule.planner import make_plan
from benchmark.schedule.pool import run_pool
from benchmark.schedule.progress import Progress
from benchmark.schedule.request import Options, PlannedEntry
from benchmark.schedule.watcher import Watcher, Watchers
from benchmark.spec.cell import Cell
from benchmark.spec.suite import SuiteSpec
from benchmark.store.folder import Store


@dataclass
class Prepared:
    """A run before anything is computed."""

    plan: Plan
    store: Store
    selected: list[Cell]
    ledger: Ledger


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
    return Prepared(plan, store, selected, _ledger(plan, store, selected, options))


def _ledger(plan: Plan, store: Store, selected: Sequence[Cell], options: Options) -> Ledger:
    heads = usable(store, store.heads(cell.hash for cell in plan.cells))
    too_little = kept_too_little(plan.cells, heads)
    heads = {cell: head for cell, head in heads.items() if cell not in too_little}
    too_little = lacking(store, selected, heads)
    heads = {cell: head for cell, head in heads.items() if cell not in too_little}
    return Ledger(selected, heads, options.retry_failed, costs=Costs.of(plan.cells, heads))


def usable(store: Store, heads: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records whose files are all there, or were taken away on purpose; one that lost some is computed again."""
    files = {path.name for path in store.cells.glob("*.parquet")} if store.cells.is_dir() else set()
    kept = {}
    for cell, head in heads.items():
        artefacts = [store.artefacts / artefact["file"] for artefact in head.get("artefacts", {}).values()]
        if ("rows" not in head or f"{cell}.parquet" in files) and all(
            path.is_file() or dropped(path) for path in artefacts
        ):
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
        if fetched := incoming.fetch(prepared.ledger.attempts):
            watcher.said(f"{fetched} records of an earlier run fetched from {incoming.records}")
            prepared.ledger = _ledger(prepared.plan, store, prepared.selected, options)
        if prepared.ledger.total:
            engine(Job(prepared.ledger, store, Watchers(watcher, Progress(store)), options.fail_fast))
            if words := drop_beyond(store, prepared.plan.cells, prepared.plan.suite.run.keep_attributions_mb):
                watcher.said(words)


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
