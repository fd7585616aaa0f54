"""Published corrupted images, as they are downloaded: where they lie, and what of them a digest covers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import DataError
from benchmark.files import FAULTS, file_sha256, why


def folder_of(root: Path, name: str, marks: Sequence[str], what: str) -> Path:
    """The folder of the corrupted images: ``name`` below the root, the root itself, or a part of a published archive.

    Args:
        root: the dataset's folder.
        name: as the set is called.
        marks: a file or folder of these lies right in it.
        what: for messages.

    Raises:
        DataError: there is none.
    """
    for place in (root / name, root, root.parent / name):
        if any((place / mark).exists() for mark in marks):
            return place
    raise DataError(
        f"{what}: expected the folder {name} in {root} (or beside it) with {' or '.join(marks[:2])}; download it,"
        " and put it there"
    )


def cifar_images(folder: Path, kind: str, severity: int, what: str) -> NDArray[np.uint8]:
    """The images (10,000, 32, 32, 3) of a corruption at a severity: mapped from the file, not read.

    A file holds those of the five severities one after another.

    Raises:
        DataError: no such file, or of another shape.
    """
    file = folder / f"{kind}.npy"
    try:
        whole = np.load(file, mmap_mode="r", allow_pickle=False)
    except (*FAULTS, ValueError) as error:
        raise DataError(f"{what}: {file} cannot be read: {why(error, file)}; download the set again") from error
    if whole.dtype != np.uint8 or whole.shape[1:] != (32, 32, 3) or len(whole) % 5 or not len(whole):
        raise DataError(
            f"{what}: {file} holds {whole.dtype} {whole.shape}, expected uint8 (50000, 32, 32, 3): five severities of"
            " 10,000 images; download the set again"
        )
    each = len(whole) // 5
    part: NDArray[np.uint8] = whole[(severity - 1) * each : severity * each]
    return part


def content(files: Iterable[Path], root: Path) -> str:
    """sha256 over names and contents of files."""
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.relative_to(root).as_posix()}\t{file_sha256(file)}\n".encode())
    return found.hexdigest()
