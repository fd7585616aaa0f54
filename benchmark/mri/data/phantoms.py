"""Seeded random heads for MRI reconstruction, the embedded default: nothing to download, as many as are wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.data.base import Dataset, Grid, Index, Split, datasets
from benchmark.errors import DataError
from benchmark.mri import MEASUREMENT
from benchmark.registry import canonical, digest
from benchmark.seeds import derive

SEEN = 2  # rendered phantoms in the digest: they tell a change of NumPy's random streams
SIZE = (32, 32)


@datasets.register("phantoms")
class Phantoms(Dataset):
    """Random heads on the suite's grid, each with a seed of its own: sample ``phantom-test-0007`` is always the same.

    A head has scalp, skull, folded cortex, white matter, ventricles, deep nuclei, lesions and vessels, with soft edges,
    texture, a bias field and a smooth phase (``benchmark.mri.data.phantom``). It is rendered on a grid four times as
    fine and its k-space cropped, so that the operator's grid is not the generator's own.

    Attributes:
        coils: number of receive coils; 1: no maps.
        noise: standard deviation of the complex noise in k-space, in units of the image's maximum. It is part of the
            truth, as in measured data.
        train, val, test: number of phantoms in each split.
        seed: of all phantoms.
    """

    inputs: ClassVar[str] = MEASUREMENT
    source: ClassVar[str] = "generated; in the spirit of Shepp and Logan 1974, but not piecewise constant"

    coils: int = Field(default=1, ge=1, le=64)
    noise: float = Field(default=0.005, ge=0, le=1)
    train: int = Field(default=2000, ge=1)
    val: int = Field(default=100, ge=1)
    test: int = Field(default=200, ge=1)
    seed: int = 0

    def fingerprint(self, split: Split) -> str:
        """Versions of the generator and of NumPy."""
        from benchmark.mri.data.phantom import VERSION

        return digest([VERSION, np.__version__, self._count(split)])

    def build_index(self, split: Split) -> Index:
        """Names, labels of 0, and a digest over the parameters, the generator's version and the first phantoms.

        The phantoms enter rounded to 1e-3: they tell another generator, not another processor.
        """
        from benchmark.mri.data.phantom import VERSION

        count = self._count(split)
        ids = tuple(f"phantom-{split}-{i:04d}" for i in range(count))
        content = hashlib.sha256(canonical([VERSION, self.coils, self.noise, self.seed, split, count]).encode())
        for raw, name in zip(self.read(split, ids[:SEEN]), ids, strict=False):
            rounded = np.rint(1000 * self.place(raw, Grid(size=SIZE), name)).astype(np.int16)
            content.update(rounded.astype("<i2").tobytes())
        return Index(ids=ids, labels=np.zeros(count), classes=(), digest=content.hexdigest())

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """What identifies each phantom: its seed, int64 of shape ()."""
        self._count(split)
        return [np.asarray(derive("phantom", self.seed, split, int(name.rpartition("-")[2]))) for name in ids]

    def place(self, raw: NDArray[Any], grid: Grid, name: str) -> NDArray[np.float32]:
        """The phantom rendered for the grid: (2, H, W), or (4 c, H, W) with coils; max|truth| = 1.

        Raises:
            DataError: the grid names no size.
        """
        from benchmark.mri.data.kspace import grid_size
        from benchmark.mri.data.phantom import phantom

        return phantom(int(raw), grid_size(grid, name), coils=self.coils, noise=self.noise)

    def facts(self) -> dict[str, str]:
        """K-space is simulated."""
        return {"kspace": "simulated (phantoms)"}

    def _count(self, split: Split) -> int:
        if split not in ("train", "val", "test"):
            raise DataError(f"dataset 'phantoms' has the splits 'train', 'val' and 'test', not {split!r}")
        return int(getattr(self, split))
