"""The results folder of one suite: records in ``cells/``, artefacts, plan, the packed records, the lock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import LockedError, StoreError
from benchmark.store.atomic import write_atomic
from benchmark.store.encoded import Files, arrays_of, columns_of, encode, parquet_bytes, sha256, table_of
from benchmark.store.record import SCHEMA_VERSION, Record


class Store:
    """Reads and writes the records of one suite.

    Args:
        folder: ``results/<suite>``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells, self.artefacts = folder / "cells", folder / "artefacts"

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, record: Record) -> dict[str, Any]:
        """Write artefacts, then rows, then the JSON that names their sha256; returns the JSON.

        Raises:
            StoreError: the disk is full or the folder cannot be written.
        """
        head, files = encode(record)
        self.write_files(record.hash, files)
        return head

    def write_files(self, cell: str, files: Files) -> None:
        """Write a record's files, in their order.

        Raises:
            StoreError: the disk is full or the folder cannot be written.
        """
        rows = f"cells/{cell}.parquet"
        if rows in files and (self.folder / rows).exists():  # an old JSON must not stand beside new rows
            (self.cells / f"{cell}.json").unlink(missing_ok=True)
        for name, data in files.items():
            write_atomic(self.folder / name, data)

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Write plan.json."""
        write_atomic(self.folder / "plan.json", (json.dumps(plan, indent=1) + "\n").encode())

    # -- reading ------------------------------------------------------------------------------------------------

    def plan(self) -> dict[str, Any] | None:
        """plan.json, or None where the suite has not been run here.

        Raises:
            StoreError: it is not JSON.
        """
        try:
            plan: dict[str, Any] = json.loads((self.folder / "plan.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise StoreError(f"{self.folder / 'plan.json'} is not JSON ({error}); run the suite again") from error
        return plan

    def head(self, cell: str) -> dict[str, Any] | None:
        """The JSON of a record in ``cells/``, or None where there is no whole record of this schema."""
        try:
            head: dict[str, Any] = json.loads((self.cells / f"{cell}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return head if head.get("schema_version") == SCHEMA_VERSION else None

    def heads(self, cells: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The JSONs of those cells that have a record in ``cells/``."""
        return {cell: head for cell in cells if (head := self.head(cell)) is not None}

    def rows(self, cell: str) -> dict[str, NDArray[Any]]:
        """Per-sample columns of a done cell.

        Raises:
            StoreError: no such record, or rows that are not the ones its JSON names.
        """
        return columns_of(self.row_bytes(cell))

    def row_bytes(self, cell: str) -> bytes:
        """The parquet file of a done cell, checked against the sha256 in the record.

        Raises:
            StoreError: no such record, or rows that are not the ones its JSON names.
        """
        head = self.head(cell)
        file = self.cells / f"{cell}.parquet"
        if head is None or "rows" not in head or not file.is_file():
            raise StoreError(f"no rows of cell {cell} in {self.cells}; run the suite again")
        data = file.read_bytes()
        _check(data, head["rows"]["sha256"], file)
        return data

    def artefact(self, cell: str, name: str) -> dict[str, NDArray[Any]]:
        """Named arrays of an artefact, checked against the sha256 in the record.

        Raises:
            StoreError: no such artefact, or other bytes than the record names.
        """
        return arrays_of(self.artefact_bytes(cell, name))

    def artefact_bytes(self, cell: str, name: str) -> bytes:
        """The file of an artefact, checked against the sha256 in the record.

        Raises:
            StoreError: no such artefact, or other bytes than the record names.
        """
        head = self.head(cell)
        if head is None or name not in head.get("artefacts", {}):
            raise StoreError(f"cell {cell} has no artefact {name!r} in {self.artefacts}; run the suite again")
        file = self.artefacts / head["artefacts"][name]["file"]
        try:
            data: bytes = file.read_bytes()
        except OSError as error:
            raise StoreError(f"{file} cannot be read: {error}") from error
        _check(data, head["artefacts"][name]["sha256"], file)
        return data

    def recorded(self) -> set[str]:
        """Hashes of all records in ``cells/``, whether any plan holds them or not."""
        return {file.stem for file in self.cells.glob("*.json")}

    def missing(self) -> int:
        """How many of the plan's cells have no record, neither in ``cells/`` nor packed."""
        planned = {cell["hash"] for cell in (self.plan() or {"cells": []})["cells"]} - self.recorded()
        return len(planned - set(self._packed_texts())) if planned else 0

    # -- packed -------------------------------------------------------------------------------------------------

    def pack(self, cells: Sequence[str]) -> int:
        """Write records.parquet: JSON and rows of those cells, in that order; from ``cells/``, else from the old pack.

        Of each cell one row holds its JSON, the others one sample each. A pack that holds these JSONs already is left.

        Returns:
            how many of the cells have a record.
        """
        import pyarrow as pa

        wanted = dict.fromkeys(cells)  # probes or entries that differ in name only share their cells
        heads, there = self.heads(wanted), self._packed_texts()
        texts = {cell: json.dumps(heads[cell], sort_keys=True) if cell in heads else there.get(cell) for cell in wanted}
        texts = {cell: text for cell, text in texts.items() if text is not None}
        if list(texts.items()) == list(there.items()):
            return len(texts)
        old = None
        tables = []
        for cell in wanted:
            if cell not in heads:
                if old is None:
                    old = self._packed_by_cell()
                tables += old.get(cell, [])
                continue
            tables.append(pa.table({"cell": [cell], "json": [texts[cell]]}))
            if "rows" in heads[cell]:
                tables.append(self._cell_table(cell, heads[cell]))
        if tables:
            whole = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
            order = ["cell", "json", "sample", *sorted(set(whole.column_names) - {"cell", "json", "sample"})]
            whole = whole.select([name for name in order if name in whole.column_names])
            write_atomic(self.folder / "records.parquet", parquet_bytes(whole))
        return len({table["cell"][0].as_py() for table in tables})

    def packed(self) -> Any:
        """records.parquet as a pandas DataFrame, or None."""
        import pyarrow.parquet as pq

        file = self.folder / "records.parquet"
        if not file.is_file():
            return None
        try:
            return pq.read_table(file).to_pandas()
        except (OSError, ValueError) as error:
            raise StoreError(f"{file} cannot be read: {error}") from error

    def recorded_rows(self, cells: Iterable[str]) -> dict[str, tuple[dict[str, Any], dict[str, NDArray[Any]]]]:
        """JSON and per-sample columns of those cells that have a record: from ``cells/``, else from records.parquet.

        Raises:
            StoreError: rows that are not the ones their JSON names.
        """
        packed: dict[str, Any] | None = None
        records = {}
        for cell in cells:
            head = self.head(cell)
            if head is not None:
                records[cell] = head, self.rows(cell) if "rows" in head else {}
                continue
            if packed is None:
                packed = self._packed_by_cell()
            if cell in packed:
                tables = packed[cell]
                table = tables[1].drop_columns(["cell"]) if len(tables) > 1 else None
                rows = {} if table is None else {n: table[n].to_numpy() for n in table.column_names}
                records[cell] = json.loads(tables[0]["json"][0].as_py()), rows
        return records

    def _cell_table(self, cell: str, head: dict[str, Any]) -> Any:
        import pyarrow as pa

        file = self.cells / f"{cell}.parquet"
        try:
            data = file.read_bytes()
        except OSError as error:
            raise StoreError(f"{file} cannot be read: {error}; run the suite again") from error
        _check(data, head["rows"]["sha256"], file)
        table = table_of(data)
        return table.append_column("cell", pa.array([cell] * len(table), pa.string()))

    def _packed_texts(self) -> dict[str, str]:
        """The JSONs in records.parquet, in its order; a damaged file has none, and is written anew."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self.folder / "records.parquet"
        try:
            table = pq.read_table(file, columns=["cell", "json"])
        except (OSError, ValueError, pa.ArrowException):
            return {}
        table = table.filter(table["json"].is_valid())
        return dict(zip(table["cell"].to_pylist(), table["json"].to_pylist(), strict=True))

    def _packed_by_cell(self) -> dict[str, Any]:
        import pyarrow.parquet as pq

        file = self.folder / "records.parquet"
        if not file.is_file():
            return {}
        table = pq.read_table(file)
        cells = np.asarray(table["cell"].to_pylist(), dtype=object)
        starts = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]]).tolist() if len(cells) else []
        parts = {}
        for start, end in zip(starts, [*starts[1:], len(cells)], strict=True):
            head, rows = table.slice(start, 1), table.slice(start + 1, end - start - 1)
            rows = rows.select([n for n in rows.column_names if n == "cell" or rows[n].null_count < len(rows)])
            parts[cells[start]] = [head.select(["cell", "json"]), *([rows] if len(rows) else [])]
        return parts

    # -- one run at a time --------------------------------------------------------------------------------------

    @property
    def progress_file(self) -> Path:
        """How the run that holds the folder stands (``benchmark.schedule.progress``)."""
        return self.folder / "progress.json"

    def progress(self) -> dict[str, Any] | None:
        """The contents of :attr:`progress_file`, or None where no run writes one."""
        try:
            state: dict[str, Any] = json.loads(self.progress_file.read_bytes())
        except (OSError, ValueError):
            return None
        return state

    def holder(self) -> str:
        """Who runs here now, "" where nobody does: a run that was killed leaves its note, but not its lock."""
        import filelock

        note = self.folder / "run.json"
        if not note.is_file():
            return ""
        try:
            with filelock.FileLock(self.folder / ".lock", timeout=0):
                return ""
        except filelock.Timeout:
            return note.read_text().strip() if note.is_file() else ""
        except OSError:  # a folder that may only be read: believe the note
            return note.read_text().strip()

    @contextmanager
    def locked(self, who: str) -> Iterator[None]:
        """Hold the folder: a second run on it is refused.

        Raises:
            LockedError: another process holds it; the text names it.
            StoreError: the folder cannot be made.
        """
        import filelock

        note = self.folder / "run.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.folder / ".lock")
            lock.acquire(timeout=0.5)  # not 0: `holder` tries the lock for a moment
        except filelock.Timeout:
            first = note.read_text().strip() if note.is_file() else "another process"
            raise LockedError(
                f"{self.folder} is in use by {first}; wait for it, or give this run its own folder with --out DIR"
            ) from None
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be used: {error}; give another folder with --out DIR") from error
        try:
            write_atomic(note, who.encode(), sync=False)
            yield
        finally:
            note.unlink(missing_ok=True)
            lock.release()


def _check(data: bytes, expected: str, file: Path) -> None:
    actual = sha256(data)
    if actual != expected:
        raise StoreError(
            f"{file} has changed since it was written (sha256 {actual}, its record says {expected});"
            f" delete {file.name} and its .json, and run the suite again"
        )
