"""Whole files or none.

Guarantee: after ``write_atomic`` returns, the file holds exactly the bytes and survives a power cut; before that, the
old file (or none) is there. A temporary file in the same folder is written, synced and moved over the target.
Trade-off: the folder's own entry is not synced, so that a power cut just after may bring the old file back whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from benchmark.errors import StoreError


def write_atomic(path: Path, data: bytes, *, sync: bool = True) -> str:
    """Write ``data`` to ``path`` whole or not at all.

    Returns:
        sha256 (hex) of the data.

    Raises:
        StoreError: the disk is full or the folder cannot be written; nothing of the file is left behind.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink(missing_ok=True)
        raise StoreError(
            f"{path} could not be written: {error.strerror or error}."
            " Everything finished before is kept; free some space and run the same command again"
        ) from error
    return hashlib.sha256(data).hexdigest()
