"""A record as bytes: the files that it becomes on disk, and those files as one object that travels.

A bundle is an uncompressed zip of a record's files, the JSON last. Its JSON names the sha256 of every other file, so
that half a bundle, or one of other files, is told from a whole one wherever it comes from.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import StoreError
from benchmark.store.record import SCHEMA_VERSION, Record

SMALL = 1000  # rows of a cell: dictionaries cost a small table twice the time, and save it nothing
Files = dict[str, bytes]  # path relative to the results folder → content, in the order of writing: the JSON comes last


def encode(record: Record) -> tuple[dict[str, Any], Files]:
    """(JSON, files) of a record: artefacts, then rows, then the JSON that names their sha256."""
    head, files = record.head(), Files()
    head["artefacts"] = {}
    for name, arrays in record.artefacts.items():
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        head["artefacts"][name] = _artefact(files, record.hash, f"{name}.npz", buffer.getvalue())
    for name, data in record.files.items():
        head["artefacts"][name] = _artefact(files, record.hash, name, data)
    if record.rows:
        data = files[f"cells/{record.hash}.parquet"] = parquet(record.rows)
        head["rows"] = {"sha256": sha256(data), "n": len(next(iter(record.rows.values())))}
    files[f"cells/{record.hash}.json"] = json.dumps(head, sort_keys=True).encode()
    return head, files


def _artefact(files: Files, cell: str, name: str, data: bytes) -> dict[str, Any]:
    files[f"artefacts/{cell}/{name}"] = data
    return {"file": f"{cell}/{name}", "sha256": sha256(data), "bytes": len(data)}


def sha256(data: bytes) -> str:
    """sha256 (hex) of the data."""
    return hashlib.sha256(data).hexdigest()


def bundle(files: Files) -> bytes:
    """The files of a record as one object."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def unbundle(data: bytes, cell: str, where: str) -> tuple[dict[str, Any], Files]:
    """(JSON, files) of a cell's bundle.

    Raises:
        StoreError: half a bundle, of another cell or schema, or a file that is not the one its JSON names.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        head = json.loads(files[f"cells/{cell}.json"])
        named = {f"artefacts/{each['file']}": each["sha256"] for each in head["artefacts"].values()}
        if "rows" in head:
            named[f"cells/{cell}.parquet"] = head["rows"]["sha256"]
        whole = head["schema_version"] == SCHEMA_VERSION and head["hash"] == cell
        inside = (f"artefacts/{cell}/", f"cells/{cell}.")
        whole = whole and all(name.startswith(inside) and ".." not in name.split("/") for name in named)
        whole = whole and {name: sha256(files[name]) for name in named} == named
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, OSError) as error:
        raise StoreError(f"{where} is no whole record of cell {cell} ({type(error).__name__}: {error})") from error
    if not whole:
        raise StoreError(f"{where} is no whole record of cell {cell}: its files are not those that it names")
    return head, {name: files[name] for name in [*named, f"cells/{cell}.json"]}


def parquet(columns: dict[str, NDArray[Any]]) -> bytes:
    """Columns as a parquet file."""
    import pyarrow as pa

    arrays = {}
    for name, column in columns.items():
        values = np.asarray(column)
        arrays[name] = pa.array(values.tolist(), pa.string()) if values.dtype.kind in "OU" else pa.array(values)
    table = pa.table(arrays)
    return parquet_bytes(table, dictionaries=table.num_rows > SMALL)


def parquet_bytes(table: Any, *, dictionaries: bool = True) -> bytes:
    """A pyarrow table as a parquet file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=dictionaries)
    return buffer.getvalue()


def table_of(data: bytes) -> Any:
    """A cell's parquet file as a pyarrow table; for files this small threads cost more than they save."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)


def columns_of(data: bytes) -> dict[str, NDArray[Any]]:
    """A cell's parquet file as columns."""
    table = table_of(data)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def arrays_of(data: bytes) -> dict[str, NDArray[Any]]:
    """An artefact's ``.npz`` file as named arrays."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)
