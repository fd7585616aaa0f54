"""MNIST's idx files (LeCun et al. 1998), raw or gzipped: also Fashion-MNIST, KMNIST and cut versions of them."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.data.base import Dataset, Index, Split, datasets
from benchmark.errors import DataError
from benchmark.files import Stamp, stamp, stamps
from benchmark.registry import digest

PREFIXES = {"train": "train", "test": "t10k"}


@lru_cache(maxsize=4)
def read_idx(file: Path, changed: Stamp) -> NDArray[np.uint8]:  # noqa: ARG001  (a key of the cache)
    """An idx file of unsigned bytes, raw or gzipped, as an array; kept once read.

    Args:
        file: the file.
        changed: its stamp: another one reads again.

    Raises:
        DataError: no idx file, or a length that is not what its header says.
    """
    try:
        raw = file.read_bytes()
        content = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"dataset 'mnist-idx': {file} cannot be read (truncated?): {error}") from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DataError(f"dataset 'mnist-idx': {file} is no idx file of bytes (magic number {content[:4].hex()})")
    ndim = content[3]
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim)]
    got, expected = len(content) - 4 - 4 * ndim, math.prod(shape)
    if got != expected:
        raise DataError(f"dataset 'mnist-idx': {file} holds {got} bytes, its header {shape} expects {expected}")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape)


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
        if images.ndim != 3 or labels.shape != (len(images),):
            raise DataError(
                f"dataset 'mnist-idx', split {split!r}: expected images (N, H, W) and N labels,"
                f" got shapes {images.shape} and {labels.shape}"
            )
        content = hashlib.sha256(f"{images.shape}".encode() + images.tobytes() + labels.tobytes())
        return Index(
            ids=tuple(f"{split}-{i:05d}" for i in range(len(images))),
            labels=labels.astype(np.int64),
            classes=tuple(str(i) for i in range(max(10, int(labels.max(initial=0)) + 1))),
            digest=content.hexdigest(),
        )

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Images (H, W), uint8."""
        images = self._read(split, "images")
        return [images[int(name.rpartition("-")[2])] for name in ids]

    def _read(self, split: Split, kind: str) -> NDArray[np.uint8]:
        file = self._file(split, kind)
        return read_idx(file, stamp(file))

    def _file(self, split: Split, kind: str) -> Path:
        if self.path is None:
            raise DataError("dataset 'mnist-idx' needs a folder: give `path` in [dataset] or --data NAME=PATH")
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise DataError(f"dataset 'mnist-idx': {root} does not exist or is no folder; correct --data NAME=PATH")
        if split not in PREFIXES:
            raise DataError(f"dataset 'mnist-idx' has the splits 'train' and 'test', not {split!r}")
        pattern = f"*{PREFIXES[split]}*{kind}*idx*"
        found = sorted(f for f in root.glob(pattern) if f.is_file())
        if not found:
            raise DataError(f"dataset 'mnist-idx', split {split!r}: no file {pattern} in {root}")
        raw = {f.name.removesuffix(".gz") for f in found}
        if len(raw) > 1:
            raise DataError(f"dataset 'mnist-idx': several files fit {pattern} in {root}: {', '.join(sorted(raw))}")
        return found[0]
