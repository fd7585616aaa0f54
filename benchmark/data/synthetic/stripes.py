"""Stripes: images with a true structure and an easier false one that goes along with it, made to be told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.data.base import Dataset, Grid, Index, Split, datasets
from benchmark.data.structures import Structures
from benchmark.errors import DataError
from benchmark.registry import digest


@datasets.register("stripes")
class Stripes(Dataset):
    """A bright stripe at a random place of a noisy 16x16 image; its direction is the class. One corner is shaded, too.

    The stripe (true structure) is horizontal, vertical, diagonal or antidiagonal, two pixels wide, and goes round the
    edges; a class's mean image shows nothing of it. The shade (false structure) is a square of 3x3 in the corner of a
    class, always in the same place: a linear function of the input finds it. Both are added, values are multiples of
    1/256, and nothing is clipped, so that either can be exchanged bit by bit.

    In ``train`` the shade is that of the image's class with probability ``rate``, else of one of the other three; at
    0.25 it says nothing. In ``val`` it is drawn like in ``train``. In ``test`` it always agrees: attacks exchange it.

    Masks: the sample's stripe. Artefacts: all four corners, since a corner without shade tells as much. Where a stripe
    crosses a corner, pixels are in both.

    Attributes:
        rate: share of training images whose shade is that of their class.
        train, val, test: images in each split.
        seed: of all images.
    """

    source: ClassVar[str] = "generated; the thought experiment of Thesing, Antun and Hansen 2019 (arXiv:1906.01478)"

    rate: float = Field(default=1.0, ge=0, le=1)
    train: int = Field(default=4000, ge=1)
    val: int = Field(default=400, ge=1)
    test: int = Field(default=1000, ge=1)
    seed: int = 0

    def fingerprint(self, split: Split) -> str:
        """Versions of the generator and of NumPy."""
        from benchmark.data.synthetic.stripe_patterns import VERSION

        return digest([VERSION, np.__version__, self._count(split)])

    def build_index(self, split: Split) -> Index:
        """Names, labels (the classes in turn) and the digest over pixels, labels and masks."""
        from benchmark.data.synthetic.stripe_patterns import ORIENTATIONS

        ids = tuple(f"stripes-{split}-{i:05d}" for i in range(self._count(split)))
        labels = np.array([self._label(name) for name in ids], np.int64)
        content = hashlib.sha256(labels.astype("<i8").tobytes())
        for pixels, mask in zip(self.read(split, ids), self.read_masks(split, ids), strict=True):
            content.update(pixels.astype("<f4").tobytes() + mask.tobytes())
        return Index(ids, labels, ORIENTATIONS, content.hexdigest(), masks=True, artefacts=True)

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Images (16, 16), float32 in [0, 1]."""
        from benchmark.data.synthetic import stripe_patterns as made

        true, false = made.stripes(), made.shades()
        images: list[NDArray[Any]] = []
        for name in ids:
            label = self._label(name)
            background, place, chance, step = made.drawn(self.seed, split, self._number(name))
            agrees = split == "test" or chance < self.rate
            images.append(made.image(background, true[label, place], false[label if agrees else (label + step) % 4]))
        return images

    def read_masks(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """(16, 16), True on the stripe."""
        from benchmark.data.synthetic import stripe_patterns as made

        true = made.stripes()
        places = [made.drawn(self.seed, split, self._number(name))[1] for name in ids]
        return list(true[[self._label(name) for name in ids], places])

    def read_artefacts(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """(16, 16), True in the four corners."""
        from benchmark.data.synthetic import stripe_patterns as made

        corners = np.asarray(made.shades().any(0))
        return [corners for _ in ids]

    def structures(self, split: Split, grid: Grid) -> Structures | None:
        """Stripes at all 16 places, and shades; None for splits other than ``test``, where shades may disagree."""
        from benchmark.data.synthetic import stripe_patterns as made

        if split != "test":
            return None

        def placed(patterns: NDArray[np.bool_], amount: int) -> NDArray[np.float32]:
            return np.stack([self.place((p * amount / made.LEVELS).astype(np.float32), grid, "p") for p in patterns])

        true = placed(made.stripes().reshape(-1, made.SIZE, made.SIZE), made.STRIPE)
        return Structures(true.reshape(4, made.SIZE, *true.shape[1:]), placed(made.shades(), made.SHADE))

    def _number(self, name: str) -> int:
        return int(name.rpartition("-")[2])

    def _label(self, name: str) -> int:
        return self._number(name) % 4

    def _count(self, split: Split) -> int:
        if split not in ("train", "val", "test"):
            raise DataError(f"dataset 'stripes' has the splits 'train', 'val' and 'test', not {split!r}")
        return int(getattr(self, split))
