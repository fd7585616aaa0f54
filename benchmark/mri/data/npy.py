"""Magnitude images in NumPy .npy files, turned into k-space again (see ``benchmark.mri.data.magnitudes``)."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmark.data.base import datasets
from benchmark.errors import DataError
from benchmark.files import why
from benchmark.mri.data.magnitudes import Magnitudes, Stack


@datasets.register("npy")
class Npy(Magnitudes):
    """Magnitude images of .npy files: PATH, a file, or those in ``PATH/<folder>/``, else right in PATH.

    A file is one image (H, W), named as the file, or (N, H, W), named ``file-007``. The group is the file.
    """

    endings: ClassVar[Collection[str]] = (".npy",)
    source: ClassVar[str] = "the user's own images"
    suffixes: ClassVar[tuple[str, ...]] = (".npy",)

    def stack(self, file: Path) -> Stack:
        """Images with square pixels, read when they are looked at (memory map)."""
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy raises whatever a damaged file makes it stumble over
            raise DataError(f"{file} cannot be read as .npy: {why(error, file)}; replace or remove the file") from error
        if array.dtype.kind not in "buif" or array.ndim not in (2, 3):
            raise DataError(
                f"{file}: expected real magnitudes (H, W) or (N, H, W), got shape {array.shape} and type"
                f" {array.dtype}; for complex k-space use the dataset kspace-npz"
            )
        if array.ndim == 2:
            return Stack(array[None], {self._stem(file): 0})
        return Stack(array, self._numbered(file, range(len(array)), len(array)))
