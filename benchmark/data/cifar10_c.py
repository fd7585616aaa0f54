"""CIFAR-10 with the published corrupted images of CIFAR-10-C beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.data.base import Index, Split, datasets
from benchmark.data.cifar10 import Cifar10
from benchmark.data.reading.published import cifar_images, content, folder_of
from benchmark.errors import DataError
from benchmark.files import FAULTS, stamps
from benchmark.registry import digest


@datasets.register("cifar10-c")
class Cifar10C(Cifar10):
    """CIFAR-10's test images as ``cifar10`` reads them, and their versions in ``PATH/CIFAR-10-C/<corruption>.npy``.

    For the attack ``corruption-files``. The labels that come with the corrupted images must be those of the clean ones.
    """

    source: ClassVar[str] = "Hendrycks and Dietterich 2019 (CIFAR-10-C)"

    def fingerprint(self, split: Split) -> str:
        """Also of the corrupted images' files."""
        return digest([super().fingerprint(split), stamps(self._published())])

    def _check_split(self, split: Split) -> None:
        if split != "test":
            raise DataError(f"dataset {self.use!r} has the split 'test' alone, not {split!r}")

    def build_index(self, split: Split) -> Index:
        """As of ``cifar10``; the digest covers the corrupted images too.

        Raises:
            DataError: labels that are not those of the clean images.
        """
        index, folder = super().build_index(split), self._corrupted()
        labels = self._labels(folder)
        places = np.array([int(name.rpartition("-")[2]) for name in index.ids])
        if len(labels) <= places.max() or not np.array_equal(labels[places], index.labels):
            raise DataError(f"dataset {self.use!r}: {folder / 'labels.npy'} are not the labels of the clean images")
        return replace(index, digest=digest([index.digest, content(self._published(), folder)]))

    def read_counterparts(self, split: Split, ids: Sequence[str], kind: str, severity: int) -> list[NDArray[Any]]:
        """Images (32, 32, 3), uint8."""
        images = cifar_images(self._corrupted(), kind, severity, f"dataset {self.use!r}")
        return [np.asarray(images[int(name.rpartition("-")[2])]) for name in ids]

    def _corrupted(self) -> Path:
        place = self._place()
        root = place if place.is_dir() else place.parent
        above = Path(self.path or root).expanduser()
        return folder_of(above if above.is_dir() else root, "CIFAR-10-C", ("labels.npy",), f"dataset {self.use!r}")

    def _published(self) -> list[Path]:
        return sorted(self._corrupted().glob("*.npy"))

    def _labels(self, folder: Path) -> NDArray[Any]:
        """Of one severity: the file holds them five times."""
        try:
            labels: NDArray[Any] = np.load(folder / "labels.npy", allow_pickle=False)
        except (*FAULTS, ValueError) as error:
            raise DataError(
                f"dataset {self.use!r}: {folder / 'labels.npy'} cannot be read: {error}; download the set again"
            ) from error
        return labels[: len(labels) // 5]
