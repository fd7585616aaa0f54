"""CIFAR's files: Python batches in a folder or in the archive that is downloaded, or arrays in a .npz file.

The batches are pickles, which may hold code: only what arrays and lists of them need is built.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.data.base import Dataset, Index, Split
from benchmark.data.reading.classes import class_list
from benchmark.data.reading.files import fitting
from benchmark.data.reading.labels import class_labels
from benchmark.data.reading.left_out import count
from benchmark.errors import DataError
from benchmark.files import FAULTS, Stamp, stamp, stamps, why
from benchmark.registry import digest

SIDE, VALUES = 32, 3072
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


@dataclass(frozen=True)
class Layout:
    """How one of the two sets is stored.

    Attributes:
        folder: of the batches, as it is archived.
        archive: the file that is downloaded.
        batches: names of the files of each split.
        labels: key of the labels in a batch.
        classes: list of its classes.
    """

    folder: str
    archive: str
    batches: Mapping[str, tuple[str, ...]]
    labels: str
    classes: str


class Cifar(Dataset):
    """What CIFAR-10 and CIFAR-100 share; PATH is the folder of the batches or one above it, the archive, or a .npz.

    A .npz has ``x_<split>`` (N, 32, 32, 3) uint8 and ``y_<split>``; of a part of the set ``<split>_index`` says where
    each image stands in the whole. A split is read once a process (30 MB of test images).
    """

    needs_path: ClassVar[bool] = True

    def layout(self) -> Layout:
        """Names of files and keys."""
        raise NotImplementedError

    def fingerprint(self, split: Split) -> str:
        """The files' stamps."""
        return digest([split, *stamps(self.sources(split))])

    def sources(self, split: Split, ids: Sequence[str] | None = None) -> Sequence[Path]:
        """The batches of the split, the archive or the .npz file."""
        self._check_split(split)
        place = self._place()
        return [place / name for name in self.layout().batches[split]] if place.is_dir() else [place]

    def build_index(self, split: Split) -> Index:
        """Names such as ``test-00007`` (the position in the whole set), labels, digest over pixels and labels."""
        images, labels, where = self._arrays(split)
        classes = class_list(self.layout().classes).names
        if len(labels) and int(labels.max()) >= len(classes):
            raise DataError(
                f"dataset {self.use!r}: {self._place()} has a label {int(labels.max())}, expected 0 to"
                f" {len(classes) - 1}; it is another set's"
            )
        content = hashlib.sha256(images.tobytes() + labels.tobytes() + where.tobytes())
        whole = 10000 if split == "test" else 50000
        part = f"{count(len(images), 'image')} of the {whole:,} of the split {split!r} are there"
        return Index(
            ids=tuple(f"{split}-{i:05d}" for i in where),
            labels=labels,
            classes=classes,
            digest=content.hexdigest(),
            notes=() if len(images) == whole else (part,),
            shapes=((SIDE, SIDE, len(images)),),
        )

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Images (32, 32, 3), uint8."""
        images = self._arrays(split)[0]
        return [images[i] for i in self.index(split).positions(ids)]

    # -- where things lie ---------------------------------------------------------------------------------------

    def _check_split(self, split: Split) -> None:
        if split not in self.layout().batches:
            raise DataError(f"dataset {self.use!r} has the splits 'train' and 'test', not {split!r}")

    def _place(self) -> Path:
        """The folder of the batches, the archive, or a .npz file."""
        layout = self.layout()
        want = f"the folder {layout.folder} or one that holds it, {layout.archive}, or a .npz with x_test and y_test"
        if self.path is None:
            raise DataError(
                f"dataset {self.use!r} needs to know where the images are ({want}): give `path` in the suite's"
                " [dataset] or --data NAME=PATH"
            )
        path = Path(self.path).expanduser()
        first = layout.batches["test"][0]
        for folder in (path, path / layout.folder):
            if (folder / first).is_file():
                return folder
        arrays = sorted(path.glob("*.npz")) if path.is_dir() else []
        files: list[Path] = [path, path / layout.archive, *(arrays if len(arrays) == 1 else ())]
        for file in files:
            if file.is_file():
                return file
        if not path.exists():
            raise DataError(f"dataset {self.use!r}: {path} does not exist; expected {want}: correct --data NAME=PATH")
        there = sorted(each.name for each in path.iterdir())[:6]
        raise DataError(
            f"dataset {self.use!r}: expected {want}, but {path} holds {', '.join(there) or 'nothing'}; correct `path`"
            f" or --data NAME=PATH{fitting(path, self.use)}"
        )

    def _arrays(self, split: Split) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """Images (N, 32, 32, 3), labels and positions in the whole set (N,)."""
        self._check_split(split)
        place, layout = self._place(), self.layout()
        if place.suffix.lower() == ".npz":
            return _from_npz(place, split, self.use, stamp(place))
        files = [place / name for name in layout.batches[split]] if place.is_dir() else [place]
        keys = tuple(stamp(file) for file in files if file.exists())
        return _from_batches(place, layout.folder, layout.batches[split], layout.labels, self.use, keys)


@lru_cache(maxsize=4)
def _from_npz(
    file: Path,
    split: str,
    use: str,
    changed: Stamp,  # noqa: ARG001  (a key of the cache)
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    what = f"dataset {use!r}"
    try:
        with np.load(file, allow_pickle=False) as archive:
            names = list(archive)
            lacking = [key for key in (f"x_{split}", f"y_{split}") if key not in names]
            if lacking:
                raise DataError(
                    f"{what}: {file} has no array {lacking[0]!r}, it has {', '.join(names)}; store the images (N, 32,"
                    f" 32, 3) as x_{split} and the labels as y_{split}, or use the dataset 'npz'"
                )
            images, labels = archive[f"x_{split}"], archive[f"y_{split}"]
            where = archive[f"{split}_index"] if f"{split}_index" in names else np.arange(len(images))
    except (*FAULTS, ValueError) as error:
        raise DataError(f"{what}: {file} cannot be read: {why(error, file)}; replace it") from error
    if images.shape[1:] != (SIDE, SIDE, 3) or images.dtype != np.uint8:
        raise DataError(
            f"{what}: {file}, x_{split}: expected images (N, 32, 32, 3) of uint8, got {images.dtype} {images.shape};"
            " the dataset 'npz' takes other shapes and types"
        )
    if not len(images) == labels.size == where.size:
        raise DataError(
            f"{what}: {file}: {len(images)} images, {labels.size} labels and {where.size} positions; store one of each"
        )
    return images, class_labels(labels, f"{what}, {file}, y_{split}"), where.reshape(-1).astype(np.int64)


@lru_cache(maxsize=4)
def _from_batches(
    place: Path,
    folder: str,
    names: tuple[str, ...],
    key: str,
    use: str,
    changed: tuple[Stamp, ...],  # noqa: ARG001
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    read = _in_folder(place, use) if place.is_dir() else _in_archive(place, folder, use)
    images, labels = [], []
    for name in names:
        data, where = read(name)
        batch = _unpickled(data, where, use)
        pixels, numbers = np.asarray(batch.get("data", ())), np.asarray(batch.get(key, ()))
        if pixels.dtype != np.uint8 or pixels.shape != (len(numbers), VALUES) or not len(numbers):
            raise DataError(
                f"dataset {use!r}: {where} should hold `data` (N, {VALUES}) of uint8 and {key!r} (N,), got"
                f" {pixels.dtype} {pixels.shape} and {numbers.shape}, keys {', '.join(sorted(map(str, batch)))};"
                " download it again"
            )
        images.append(pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
        labels.append(class_labels(numbers, f"dataset {use!r}, {where}, {key!r}"))
    whole = np.ascontiguousarray(np.concatenate(images))
    return whole, np.concatenate(labels), np.arange(len(whole))


def _in_folder(place: Path, use: str) -> Callable[[str], tuple[bytes, str]]:
    def read(name: str) -> tuple[bytes, str]:
        try:
            return (place / name).read_bytes(), str(place / name)
        except FAULTS as error:
            raise DataError(
                f"dataset {use!r}: {place / name} cannot be read: {why(error, place / name)}; download the set again"
            ) from error

    return read


def _in_archive(file: Path, folder: str, use: str) -> Callable[[str], tuple[bytes, str]]:
    def read(name: str) -> tuple[bytes, str]:
        where = f"{folder}/{name} of {file}"
        try:
            with tarfile.open(file) as archive:
                inside = archive.extractfile(f"{folder}/{name}")
                if inside is not None:
                    return inside.read(), where
        except (tarfile.TarError, KeyError, *FAULTS) as error:
            said = str(error).partition("\n")[0].rstrip(":")
            raise DataError(
                f"dataset {use!r}: {where} cannot be read ({type(error).__name__}: {said}); expected CIFAR's archive"
                " of Python batches: download it again"
            ) from error
        raise DataError(f"dataset {use!r}: {where} is no file; download the archive again")

    return read


class _Arrays(pickle.Unpickler):
    """Builds arrays and plain values, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may name."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which no batch of CIFAR needs")
        return super().find_class(module, name)


def _unpickled(data: bytes, where: str, use: str) -> dict[str, Any]:
    try:
        batch = _Arrays(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # pickle raises whatever a damaged file makes it stumble over
        raise DataError(
            f"dataset {use!r}: {where} is no batch of CIFAR, or truncated: {type(error).__name__}: {error}; download"
            " it again"
        ) from error
    if not isinstance(batch, dict):
        raise DataError(f"dataset {use!r}: {where} holds a {type(batch).__name__}, expected CIFAR's dictionary")
    return batch
