"""Is a results folder that somebody hands in whole, and do its tables follow from its records? Needs no torch.

What is checked says nothing of whether the records are true: ``assay verify`` computes some of them again.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from benchmark.attacks.verify import allowed
from benchmark.errors import AssayError, UsageError
from benchmark.models.entries import load_entry
from benchmark.report.write import write_report
from benchmark.results.versions import outdated
from benchmark.spec.cell import Cell
from benchmark.spec.suite import SuiteSpec
from benchmark.spec.suites import load_suite
from benchmark.store.folder import Store
from benchmark.store.record import SCHEMA_VERSION

KEYS = {"schema_version", "hash", "spec", "status", "attempts", "seconds", "batch_size", "provenance"}
PROVENANCE = {"assay", "python", "torch", "device", "date"}
STATUSES = {"done", "failed", "skipped"}
JUDGED = {"ok", "out_of_budget", "nan", "missing", "not_attacked", "not_judged"}
MANY_ELEMENTS = 10**7  # of one sample: a record does not say how many, and rounding grows with them


@dataclass
class Validated:
    """What is wrong with a results folder (``faults``), and what a reader must know (``notes``)."""

    folder: Path
    cells: int = 0
    records: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def validate(folder: Path, entries: Sequence[Path] = ()) -> Validated:
    """Check plan, records and tables of ``results/<suite>``.

    Schema of plan and records, hashes (each is computed again from what its record says), completeness, verdicts that
    follow from their rows, the suite, entries and versions that stand here, and tables (made again from the records,
    which must give the same bytes).

    Args:
        folder: holds plan.json, records.parquet and the tables.
        entries: folders with further entries.
    """
    found = Validated(folder)
    plan = _plan(folder, found)
    if plan is None:
        return found
    packed = _packed(folder, found)
    if packed is None:
        return found
    planned = {cell["hash"]: cell for cell in plan["cells"]}
    found.cells = len(planned)
    _records(packed, planned, found)
    _suite(plan, found)
    _entries(plan, entries, found)
    found.notes += [each.words for each in outdated(plan)]
    if not found.faults:  # tables of broken records say nothing more
        found.faults += list(_tables(folder))
    return found


def _plan(folder: Path, found: Validated) -> dict[str, Any] | None:
    try:
        plan = Store(folder).plan()
    except AssayError as error:
        found.faults.append(str(error))
        return None
    if plan is None:
        found.faults.append("plan.json is missing; run the suite, and hand in the whole folder")
        return None
    try:
        SuiteSpec.model_validate(plan["suite"])
        missing = {"plan_version", "dataset", "task", "entries", "cells", "versions"} - set(plan)
        if missing:
            raise KeyError(", ".join(sorted(missing)))
        for cell in plan["cells"]:
            _ = cell["hash"], cell["kind"], cell["model"], cell["n"]
            if cell["model"] not in plan["entries"] and cell["kind"] not in ("fit", "clean", "attack"):
                raise KeyError(f"an entry {cell['model']!r}")
    except (ValidationError, KeyError, TypeError) as error:
        found.faults.append(f"plan.json is no plan: {type(error).__name__}: {error}")
        return None
    return plan


def _packed(folder: Path, found: Validated) -> pd.DataFrame | None:
    try:
        packed: pd.DataFrame | None = Store(folder).packed()
    except AssayError as error:
        found.faults.append(str(error))
        return None
    if packed is None or not {"cell", "json"} <= set(packed):
        found.faults.append("records.parquet is missing or holds no records; assay report writes it")
        return None
    return packed


def _records(packed: pd.DataFrame, planned: Mapping[str, dict[str, Any]], found: Validated) -> None:
    """Every planned cell has one record, of the schema, whose hash is its own and whose rows are whole."""
    heads = packed[packed["json"].notna()]
    rows = dict(tuple(packed[packed["json"].isna()].groupby("cell", sort=False)))
    there: dict[str, dict[str, Any]] = {}
    for name, text in zip(heads["cell"].tolist(), heads["json"].tolist(), strict=True):
        try:
            head = json.loads(text)
        except ValueError as error:
            found.faults.append(f"record {name}: not JSON ({error})")
            continue
        if name in there:
            found.faults.append(f"record {name} stands twice")
        there[name] = head
        label = _label(planned.get(name), name)
        found.faults += [f"{label}: {fault}" for fault in _record(name, head, rows.get(name), planned.get(name))]
    found.records = len(there)
    strangers = [str(name) for name in {*there, *rows} if name not in planned]
    if strangers:
        found.faults.append(f"{len(strangers)} records belong to no cell of the plan, such as {strangers[0]}")
    missing = [cell for name, cell in planned.items() if name not in there]
    if missing:
        found.faults.append(f"{len(missing)} planned cells have no record, such as {_label(missing[0], '')}; run again")
    for status in ("failed", "skipped"):
        n = sum(head.get("status") == status for head in there.values())
        if n:
            found.notes.append(f"{n} cells {status}")


def _label(cell: Mapping[str, Any] | None, name: str) -> str:
    if cell is None:
        return f"record {name}"
    parts = [cell["model"], cell.get("probe") or cell["kind"], cell.get("metric", "")]
    return " · ".join(part for part in parts if part) + (f" @ {cell['eps']}" if cell.get("eps") else "")


def _record(
    name: str, head: Mapping[str, Any], rows: pd.DataFrame | None, planned: Mapping[str, Any] | None
) -> Iterator[str]:
    lacking = KEYS - set(head)
    if lacking or head.get("schema_version") != SCHEMA_VERSION or head.get("status") not in STATUSES:
        yield f"no record of schema {SCHEMA_VERSION}: {', '.join(sorted(lacking)) or head.get('status')}"
        return
    try:
        cell = Cell.model_validate(head["spec"])
    except ValidationError as error:
        yield f"its spec is no cell: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}"
        return
    if not name == head["hash"] == cell.hash:
        yield f"its hash should be {cell.hash}, by what it says that it computed; it was changed by hand"
    if planned is not None and (planned["kind"], planned["n"]) != (cell.kind, len(cell.samples)):
        asked = f"{planned['kind']} of {planned['n']} samples"
        yield f"the plan says {asked}, the record {cell.kind} of {len(cell.samples)}"
    if head["status"] == "done":
        bare = PROVENANCE - set(head["provenance"])
        if bare:
            yield f"its provenance lacks {', '.join(sorted(bare))}"
        yield from _rows(cell, head, pd.DataFrame() if rows is None else rows.dropna(axis=1, how="all"))


def _rows(cell: Cell, head: Mapping[str, Any], rows: pd.DataFrame) -> Iterator[str]:
    """Rows of a done cell: as many as it says, of its samples, with verdicts that agree with their own numbers."""
    n = head.get("rows", {}).get("n")
    if n != len(rows):
        yield f"{len(rows)} rows, its JSON says {n}"
        return
    if cell.kind == "similarity" or not n:
        return
    strangers = set(rows["sample"]) - set(cell.samples)
    if strangers or len(rows) % len(cell.samples):
        yield f"rows of samples that are not the cell's, such as {next(iter(strangers), rows['sample'].iloc[0])!r}"
    if "status" in rows and not set(rows["status"].dropna()) <= JUDGED:
        yield f"unknown status {sorted(set(rows['status'].dropna()) - JUDGED)[0]!r}"
    if cell.kind == "attack":
        yield from _attack(cell, rows)


def _attack(cell: Cell, rows: pd.DataFrame) -> Iterator[str]:
    """A success is another class than the label, of status ok, and within its budget."""
    if not {"success", "status"} <= set(rows):
        return
    won = rows[rows["success"].fillna(False).astype(bool)]
    if (won["status"] != "ok").any():
        yield f"{int((won['status'] != 'ok').sum())} successes whose status is not ok"
    if {"pred", "label"} <= set(won) and (won["pred"] == won["label"]).any():
        yield f"{int((won['pred'] == won['label']).sum())} successes that predict the label"
    norm = f"norm_{cell.threat.get('norm')}"
    if cell.eps is not None and cell.threat.get("kind") == "fixed" and norm in won and not cell.threat.get("relative"):
        most = allowed(cell.eps.value, cell.threat["norm"], MANY_ELEMENTS)
        over = won[norm].to_numpy(dtype=float) > most
        if over.any():
            yield f"{int(over.sum())} successes beyond the budget {cell.eps}, the largest {np.max(won[norm]):.6g}"


def _suite(plan: Mapping[str, Any], found: Validated) -> None:
    """The suite is the one that stands here, but for its entries and its size."""
    name = plan["suite"]["name"]
    try:
        here = load_suite(name)
    except UsageError:
        found.notes.append(f"no suite {name!r} here to hold the plan against")
        return
    old = SuiteSpec.model_validate(plan["suite"]).model_dump(mode="json")
    new = here.model_dump(mode="json")
    for suite in (old, new):
        for key in ("entries", "run", "variants", "parts", "title", "description"):
            suite.pop(key)
        suite["dataset"].pop("path")
    for key, ours, theirs in _apart(new, old):
        if key == "dataset.samples":
            found.notes.append(f"{theirs} samples, the suite here asks for {ours or 'all'}")
        else:
            found.faults.append(f"plan.json: {key} = {theirs!r}, in the suite here {ours!r}")


def _apart(a: Any, b: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two JSON values differ: dotted key and both; parts of a list go by their names."""
    if isinstance(a, list) and isinstance(b, list) and all(isinstance(x, dict) and "name" in x for x in [*a, *b]):
        a, b = ({x["name"]: x for x in part} for part in (a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        for name in dict.fromkeys([*a, *b]):
            yield from _apart(a.get(name), b.get(name), f"{key}.{name}" if key else str(name))
    elif a != b:
        yield key, a, b


def _entries(plan: Mapping[str, Any], folders: Sequence[Path], found: Validated) -> None:
    """The entries are those that stand here."""
    for name, digest in plan["entries"].items():
        try:
            here = load_entry(name, folders).digest()
        except AssayError as error:
            found.notes.append(f"entry {name!r} is not here: {error}")
            continue
        if here != digest:
            found.faults.append(
                f"entry {name!r}: the records are of {digest}, here stands {here}; run it again, or fetch"
                f" its weights: assay train {name}"
            )


def _tables(folder: Path) -> Iterator[str]:
    """Tables that are not what the records give."""
    with tempfile.TemporaryDirectory(prefix="assay-validate-") as place:
        again = Path(place) / folder.name
        again.mkdir()
        for name in ("plan.json", "records.parquet"):
            shutil.copy(folder / name, again)
        if (folder / "figures").is_dir():
            shutil.copytree(folder / "figures", again / "figures")
        try:
            write_report(again)
        except (AssayError, KeyError, ValueError, AssertionError) as error:
            yield f"no report can be made of these records: {type(error).__name__}: {error}"
            return
        made = {file.name for file in again.glob("*.csv")} | {"leaderboard.md"}
        theirs = {file.name for file in folder.glob("*.csv") if not file.name.startswith("combined")}
        for name in sorted(made - theirs - {"leaderboard.md"}):
            yield f"{name} is missing; assay report writes it"
        for name in sorted(theirs - made):
            yield f"{name} does not come from these records; remove it"
        for name in sorted(made):
            if (folder / name).is_file() and (folder / name).read_bytes() != (again / name).read_bytes():
                yield from _table_fault(folder / name, again / name)


def _table_fault(theirs: Path, ours: Path) -> Iterator[str]:
    """The first value of a table that is not the records'."""
    where = "assay report writes it as the records have it"
    if theirs.suffix == ".csv":
        try:
            a, b = (pd.read_csv(file, dtype=str, keep_default_na=False) for file in (theirs, ours))
        except (ValueError, OSError):
            a = b = pd.DataFrame()
        if list(a) == list(b) and len(a) == len(b) and len(a):
            row, column = (int(i) for i in np.argwhere((a != b).to_numpy())[0]) if (a != b).to_numpy().any() else (0, 0)
            yield (
                f"{theirs.name}, row {a.iloc[row, 0]!s}, column {a.columns[column]}: {a.iloc[row, column]!r}, by the"
                f" records {b.iloc[row, column]!r}; {where}"
            )
            return
    yield f"{theirs.name} is not what the records give; {where}"
