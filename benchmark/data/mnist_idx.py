"""MNIST's idx files (LeCun et al. 1998), raw or gzipped: also Fashion-MNIST, KMNIST and cut versions of them."""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.data._files import fitting
from benchmark.data._labels import class_labels
from benchmark.data._left_out import is_debris
from benchmark.data._pictures import dark_note, share_of_scale
from benchmark.data.base import Dataset, Index, Split, datasets
from benchmark.errors import DataError
from benchmark.files import FAULTS, Stamp, stamp, stamps, why
from benchmark.registry import digest

PREFIXES = {"train": "train", "test": "t10k"}
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}  # the idx format's own codes


@lru_cache(maxsize=4)
def read_idx(file: Path, changed: Stamp) -> NDArray[Any]:  # noqa: ARG001  (a key of the cache)
    """An idx file, raw or gzipped, as an array of its own type; kept once read.

    Args:
        file: the file.
        changed: its stamp: another one reads again.

    Raises:
        DataError: no idx file, or a length that is not what its header says.
    """
    try:
        raw = file.read_bytes()
        content = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except FAULTS as error:
        raise DataError(
            f"dataset 'mnist-idx': {file} cannot be read (truncated?): {why(error, file)}; replace the file"
        ) from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise DataError(f"dataset 'mnist-idx': {file} is no idx file (magic number {content[:4].hex()}); replace it")
    ndim = content[3]
    if not 1 <= ndim <= 4:
        raise DataError(
            f"dataset 'mnist-idx': {file} says that it has {ndim} axes, expected 1 (labels) or 3; replace it"
        )
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim)]
    dtype = np.dtype(TYPES[content[2]])
    got, expected = len(content) - 4 - 4 * ndim, math.prod(shape) * dtype.itemsize
    if got != expected:
        raise DataError(f"dataset 'mnist-idx': {file} holds {got} bytes, its header {shape} expects {expected}")
    return np.frombuffer(content, dtype, offset=4 + 4 * ndim).reshape(shape)


@datasets.register("mnist-idx")
class MnistIdx(Dataset):
    """Images and labels in the folder PATH: ``t10k-images*``, ``t10k-labels*`` (test), ``train*-images*`` … (train).

    A gzipped file can only be read whole: the images of a split are read once a process (47 MB for MNIST) and kept.
    """

    source: ClassVar[str] = "LeCun et al. 1998"
    needs_path: ClassVar[bool] = True

    def fingerprint(self, split: Split) -> str:
        """The two files' stamps."""
        files = [self._file(split, kind) for kind in ("images", "labels")]
        return digest(stamps(files))

    def build_index(self, split: Split) -> Index:
        """Names such as ``test-00007`` (the position in the file), labels, digest over the uncompressed content."""
        images, labels = self._read(split, "images"), self._read(split, "labels")
        numbers = class_labels(labels, f"dataset 'mnist-idx', split {split!r}, labels")
        if images.ndim != 3 or numbers.shape != (len(images),):
            raise DataError(
                f"dataset 'mnist-idx', split {split!r}: expected images (N, H, W) and N labels,"
                f" got shapes {images.shape} and {labels.shape}"
            )
        peak = (share_of_scale(images) if images.dtype.kind in "uf" else 1.0, (str(images.dtype),))
        content = hashlib.sha256(f"{images.shape}".encode() + images.tobytes() + labels.tobytes())
        return Index(
            ids=tuple(f"{split}-{i:05d}" for i in range(len(images))),
            labels=numbers,
            classes=tuple(str(i) for i in range(max(10, int(numbers.max(initial=0)) + 1))),
            digest=content.hexdigest(),
            notes=dark_note(*peak),
            peak=peak,
            named=False,  # idx files hold no names: they may be clothes
            shapes=((int(images.shape[1]), int(images.shape[2]), len(images)),),
        )

    def sources(self, split: Split, ids: Sequence[str] | None = None) -> Sequence[Path]:
        """The two files."""
        return [self._file(split, kind) for kind in ("images", "labels")]

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Images (H, W), as stored."""
        images = self._read(split, "images")
        return [images[int(name.rpartition("-")[2])] for name in ids]

    def _read(self, split: Split, kind: str) -> NDArray[Any]:
        file = self._file(split, kind)
        return read_idx(file, stamp(file))

    def _file(self, split: Split, kind: str) -> Path:
        if self.path is None:
            raise DataError("dataset 'mnist-idx' needs a folder: give `path` in [dataset] or --data NAME=PATH")
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise DataError(
                f"dataset 'mnist-idx': {root} does not exist or is no folder; correct --data NAME=PATH"
                + fitting(root, self.use)
            )
        if split not in PREFIXES:
            raise DataError(f"dataset 'mnist-idx' has the splits 'train' and 'test', not {split!r}")
        pattern = f"*{PREFIXES[split]}*{kind}*idx*"
        files = sorted(f for f in root.glob(pattern) if f.is_file() and not is_debris(f))
        if not files:
            raise DataError(
                f"dataset 'mnist-idx', split {split!r}: no file {pattern} in {root}{fitting(root, self.use)}"
            )
        raw = {f.name.removesuffix(".gz") for f in files}
        if len(raw) > 1:
            raise DataError(f"dataset 'mnist-idx': several files fit {pattern} in {root}: {', '.join(sorted(raw))}")
        return files[0]
