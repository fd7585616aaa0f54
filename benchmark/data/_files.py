"""Where a dataset's files lie, and arrays of .npz files: what several datasets ask in the same way."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.data._left_out import count, is_debris, kinds
from benchmark.data._pictures import SUFFIXES
from benchmark.data.base import Dataset, Split
from benchmark.errors import DataError
from benchmark.files import Stamp, stamp, why

IDX = ("-ubyte", "-ubyte.gz", ".idx", ".idx.gz")
READERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(SUFFIXES, ("folder", "folder-with-masks", "stop-signs")),
    **dict.fromkeys(IDX, ("mnist-idx",)),
    ".npy": ("npy",),
    ".npz": ("npz", "kspace-npz"),
    ".nii": ("nifti",),
    ".nii.gz": ("nifti",),
    ".h5": ("fastmri",),
    ".hdf5": ("fastmri",),
}
"""Which datasets read files of an ending."""

MOST_FILES = 200  # that are looked at to guess which dataset a folder is for


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
            + fitting(path, dataset.use)
        )
    return path


def fitting(path: Path, use: str) -> str:
    """Which dataset reads what lies there, where it is not ``use``, as the end of a message; empty where none does.

    Args:
        path: a file, or a folder whose files (two folders deep) are looked at.
        use: the dataset that was asked.
    """
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(islice((f for depth in ("*", "*/*", "*/*/*") for f in path.glob(depth)), MOST_FILES))
    else:
        return ""
    own = {ending for ending, readers in READERS.items() if use in readers}
    for file in files:
        name = file.name.lower()
        if is_debris(file) or not file.is_file() or any(name.endswith(ending) for ending in own):
            continue
        ending = next((e for e in sorted(READERS, key=len, reverse=True) if name.endswith(e)), "")
        if ending:
            readers = " or ".join(repr(reader) for reader in READERS[ending])
            return f"; {file.name} is for the dataset {readers}: set use to it, and path to {_place(path, ending)}"
    return ""


def _place(path: Path, ending: str) -> str:
    """What to give as a path to the dataset that reads such files."""
    if ending in SUFFIXES:
        return "the folder that holds its class folders"
    return "the file's folder" if ending in IDX else "the file" if path.is_file() else "it"


def refuse_others(path: Path, dataset: Dataset) -> None:
    """Refuse a file that another dataset reads, by its ending, before this one stumbles over it.

    Raises:
        DataError: naming the dataset that would fit.
    """
    if path.is_file() and (words := fitting(path, dataset.use)):
        raise DataError(f"dataset {dataset.name!r} does not read {path}{words}")


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
    if path.is_file() and not path.name.lower().endswith(tuple(suffixes)):
        raise DataError(
            f"dataset {dataset.name!r} reads files {', '.join(suffixes)}, not {path}"
            + (fitting(path, dataset.use) or "; correct `path` or --data NAME=PATH")
        )

    def files_in(place: Path) -> list[Path]:
        inside = sorted(place.iterdir()) if place.is_dir() else []
        return [f for f in inside if f.name.lower().endswith(tuple(suffixes)) and not is_debris(f)]

    inside = path / folder.replace("{split}", split)
    if path.is_dir() and (files := files_in(inside)):
        return files
    files = [path] if path.is_file() else files_in(path)
    if not files:
        folders = ", ".join(sorted(f.name for f in path.iterdir() if f.is_dir())[:8])
        raise DataError(
            f"dataset {dataset.name!r}, split {split!r}: expected files {', '.join(suffixes)} in {inside} or in {path},"
            f" got none; {path} has {'the folders ' + folders if folders else 'no folders'}: correct `path`, or the"
            f" parameter folder{fitting(path, dataset.use)}"
        )
    check_split(dataset, split, own)
    return files


def beside(files: Sequence[Path], path: Path) -> tuple[str, ...]:
    """What lies beside the files that are read and is not read, as a sentence; nothing where there is nothing.

    Args:
        files: those that are read.
        path: what was given: nothing is said of what lies beside a single file.
    """
    if path.is_file():
        return ()
    others = sorted({other for file in files for other in file.parent.iterdir()} - set(files))
    others = [other for other in others if not other.is_dir()]
    return (f"left out: {count(len(others), 'file')} beside the data ({kinds(others)})",) if others else ()


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


def npz_keys(dataset: Dataset) -> list[str]:
    """Names of the arrays in the dataset's .npz file.

    Raises:
        DataError: it is missing, truncated or no such file.
    """
    file = given_path(dataset)
    try:
        with zipfile.ZipFile(file) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except Exception as error:  # zipfile raises whatever a damaged file makes it stumble over
        refuse_others(file, dataset)
        raise DataError(
            f"dataset {dataset.name!r}: {file} is no .npz file or is truncated: {why(error, file)}; replace it"
        ) from error


def npz_array(dataset: Dataset, key: str) -> NDArray[Any]:
    """One array of the dataset's .npz file; kept, since it can only be read whole.

    Raises:
        DataError: it cannot be read.
    """
    file = given_path(dataset)
    try:
        return _array(file, key, stamp(file))
    except Exception as error:  # zipfile and numpy raise whatever a damaged file makes them stumble over
        todo = "store numbers of one type, such as numpy.stack(list(images))" if "Object arrays" in str(error) else ""
        raise DataError(
            f"dataset {dataset.name!r}: the array {key!r} of {file} cannot be read: {why(error, file)};"
            f" {todo or 'replace the file'}"
        ) from error


@lru_cache(maxsize=4)
def _array(file: Path, key: str, changed: Stamp) -> NDArray[Any]:  # noqa: ARG001  (a key of the cache)
    with np.load(file, allow_pickle=False) as archive:
        array: NDArray[Any] = archive[key]
    return array
