"""The record: what a cell leaves behind.

Schema (version 1) of the JSON beside the rows:

| key | meaning |
|---|---|
| schema_version | 1 |
| hash | the cell's hash |
| spec | the cell (benchmark.spec.cell.Cell) without machine paths |
| status | done, failed or skipped |
| reason | of a failed or skipped cell: the last lines of what went wrong, or why it does not apply |
| attempts | how often it was tried |
| blocked | true where it was not tried at all, since a cell that it needs failed or was skipped |
| seconds | wall time of the last try, model loading excluded |
| peak_memory_mb | device memory at its peak; on a CPU the worker process' resident peak during the cell |
| batch_size | samples a forward, as it was run in the end |
| provenance | versions of Assay, Python and libraries, device name, date |
| notes | what was done so that the network runs as every other (output unwrapped, cast), where something was |
| rows | sha256 of the parquet file, number of rows |
| artefacts | name → {file, sha256, bytes}; arrays by name, pictures by name with its ending |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 1
Status = Literal["done", "failed", "skipped"]


@dataclass
class Record:
    """A record in memory; :meth:`benchmark.store.folder.Store.write` puts it on disk.

    Attributes:
        rows: columns of per-sample values, all of one length; the first is ``sample``.
        artefacts: name → named arrays, each kept as one ``.npz``.
        files: name with its ending → content, such as pictures.
        notes: what was done so that the network runs as every other, in words.
    """

    hash: str
    spec: dict[str, Any]
    status: Status = "done"
    reason: str = ""
    attempts: int = 1
    blocked: bool = False
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    batch_size: int = 0
    provenance: dict[str, str] = field(default_factory=dict)
    rows: dict[str, NDArray[Any]] = field(default_factory=dict)
    artefacts: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def head(self) -> dict[str, Any]:
        """The JSON without what only the disk knows (digests of rows and artefacts)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "hash": self.hash,
            "spec": self.spec,
            "status": self.status,
            "reason": self.reason,
            "attempts": self.attempts,
            "blocked": self.blocked,
            "seconds": round(self.seconds, 4),
            "peak_memory_mb": round(self.peak_memory_mb, 1),
            "batch_size": self.batch_size,
            "provenance": self.provenance,
            **({"notes": list(self.notes)} if self.notes else {}),
        }


def last_line(reason: str) -> str:
    """The last line of a failure's reason."""
    return (reason.strip().splitlines() or [""])[-1]


def strings(values: object) -> NDArray[Any]:
    """An array of Python strings (object dtype), as parquet wants them."""
    return np.asarray(values, dtype=object)
