"""scikit-learn's handwritten digits (Alpaydin and Kaynak 1998): 1,797 real 8x8 grey images, the embedded default."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.data.base import Dataset, Index, Split, datasets
from benchmark.errors import DataError
from benchmark.registry import library_version


@cache
def _raw() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All images (1797, 8, 8), float32 in [0, 1] (0..16 divided by 16, exact), and labels (1797,)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.images / 16.0).astype(np.float32), bunch.target.astype(np.int64)


@datasets.register("digits")
class Digits(Dataset):
    """scikit-learn's digits with a fixed, seeded, stratified split: train 1,297, test 500.

    Sample ``digits-0007`` is number 7 of ``sklearn.datasets.load_digits()``.
    """

    source: ClassVar[str] = "Alpaydin and Kaynak 1998 (UCI optdigits), as in scikit-learn"
    library: ClassVar[str] = "scikit-learn"
    split_seed: ClassVar[int] = 20260101
    test_size: ClassVar[int] = 500

    def fingerprint(self, split: Split) -> str:
        """The version of scikit-learn, which ships the images."""
        return f"scikit-learn=={library_version('scikit-learn')}"

    def build_index(self, split: Split) -> Index:
        """Names, labels and the digest over pixels and labels."""
        images, labels = _raw()
        chosen = self._positions(split)
        content = hashlib.sha256(images[chosen].tobytes() + labels[chosen].tobytes())
        content.update(",".join(map(str, chosen)).encode())
        return Index(
            ids=tuple(f"digits-{i:04d}" for i in chosen),
            labels=labels[chosen],
            classes=tuple(str(digit) for digit in range(10)),
            digest=content.hexdigest(),
        )

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Images (8, 8), float32 in [0, 1]."""
        images, _ = _raw()
        return [images[int(name.rpartition("-")[2])] for name in ids]

    def _positions(self, split: Split) -> list[int]:
        from sklearn.model_selection import train_test_split

        if split not in ("train", "test"):
            raise DataError(f"dataset 'digits' has the splits 'train' and 'test', not {split!r}")
        _, labels = _raw()
        train, test = train_test_split(
            np.arange(len(labels)), test_size=self.test_size, random_state=self.split_seed, stratify=labels
        )
        return sorted(int(i) for i in (train if split == "train" else test))
