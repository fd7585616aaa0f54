"""Where a dataset's files lie, and arrays of .npz files: what several datasets ask in the same way."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

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


def split_files(dataset: Dataset, split: Split, folder: str, own: str, suffixes: Sequence[str]) -> list[Path]:
    """Files of a split, sorted by name: of ``PATH/<folder>``, else PATH's own, else PATH itself, a file.

    Args:
        dataset: for its path and its name.
        split: the split that is asked for.
        folder: folder under PATH; ``{split}`` stands for the split.
        own: the one split that files right in PATH are.
        suffixes: endings of the files' names, in lower case.

    Raises:
        DataError: there are none, or another split is asked of the files right in PATH.
    """
    path = given_path(dataset, "file or folder")

    def files_in(place: Path) -> list[Path]:
        inside = sorted(place.iterdir()) if place.is_dir() else []
        return [f for f in inside if f.name.lower().endswith(tuple(suffixes)) and not f.name.startswith(".")]

    inside = path / folder.replace("{split}", split)
    if path.is_dir() and (found := files_in(inside)):
        return found
    found = [path] if path.is_file() else files_in(path)
    if not found:
        folders = ", ".join(sorted(f.name for f in path.iterdir() if f.is_dir())[:8])
        raise DataError(
            f"dataset {dataset.name!r}, split {split!r}: expected files {', '.join(suffixes)} in {inside} or in {path},"
            f" got none; {path} has {'the folders ' + folders if folders else 'no folders'}: correct `path`, or the"
            " parameter folder"
        )
    check_split(dataset, split, own)
    return found


Slices = Literal["middle", "all"] | Annotated[int, Field(ge=1)]


def chosen_slices(slices: Slices, count: int) -> list[int]:
    """Which of ``count`` slices are samples: the middle one, all, or so many around the middle."""
    if slices == "all":
        return list(range(count))
    kept = min(1 if slices == "middle" else slices, count)
    first = count // 2 - kept // 2
    return list(range(first, first + kept))


def useful_groups(groups: Sequence[str]) -> tuple[str, ...] | None:
    """The groups, also where all samples are of one (then nothing has an interval); None without samples."""
    return tuple(groups) or None


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
