"""Where a dataset's files lie, and arrays of .npz files: what several datasets ask in the same way."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.base import Dataset, Split
from benchmark.errors import DataError


def given_path(dataset: Dataset, what: str = "file") -> Path:
    """The dataset's ``path``, which exists.

    Args:
        dataset: for its path and its name.
        what: for messages: ``"file"``, or ``"file or folder"``.

    Raises:
        DataError: none was given, nothing lies there, or a folder where a file is needed.
    """
    if dataset.path is None:
        raise DataError(
            f"dataset {dataset.name!r} needs a {what}: give `path` in the suite's [dataset] or --data NAME=PATH"
        )
    path = Path(dataset.path).expanduser()
    if not (path.is_file() if what == "file" else path.exists()):
        raise DataError(
            f"dataset {dataset.name!r}: {path} does not exist or is no {what}; correct `path` or --data NAME=PATH"
        )
    return path


def check_split(dataset: Dataset, split: Split, own: str, *templates: str) -> None:
    """Refuse a split that is not ``own`` where no template contains ``{split}``.

    Raises:
        DataError: it is another.
    """
    if split != own and not any("{split}" in template for template in templates):
        raise DataError(f"dataset {dataset.name!r} has only the split {own!r} (parameter `split`), not {split!r}")


def file_stats(files: Sequence[Path]) -> list[list[Any]]:
    """Name, size and time of each file, for a fingerprint."""
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def npz_keys(dataset: Dataset) -> list[str]:
    """Names of the arrays in the dataset's .npz file.

    Raises:
        DataError: it is missing, truncated or no such file.
    """
    file = given_path(dataset)
    try:
        with zipfile.ZipFile(file) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"dataset {dataset.name!r}: {file} is no .npz file or is truncated: {error}") from error


def npz_array(dataset: Dataset, key: str) -> NDArray[Any]:
    """One array of the dataset's .npz file; kept, since it can only be read whole.

    Raises:
        DataError: it cannot be read.
    """
    file = given_path(dataset)
    try:
        return _array(file.resolve(), key, file.stat().st_mtime_ns)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"dataset {dataset.name!r}: the array {key!r} of {file} cannot be read: {error}") from error


@lru_cache(maxsize=4)
def _array(file: Path, key: str, changed: int) -> NDArray[Any]:  # noqa: ARG001  (a key of the cache)
    with np.load(file, allow_pickle=False) as archive:
        array: NDArray[Any] = archive[key]
    return array
