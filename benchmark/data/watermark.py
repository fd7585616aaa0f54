"""A planted Clever Hans: a watermark on a share of one class of any other dataset.

The known case that detectors and remedies are tried on: in training the mark goes with the class; in the test split a
known half of the class carries it, and nobody else, so that a detector can be held against the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from benchmark.data._mark import Corner, square, where
from benchmark.data._pictures import scale_of
from benchmark.data.base import Dataset, Grid, Index, Split, datasets
from benchmark.errors import DataError
from benchmark.registry import digest
from benchmark.seeds import derive


@datasets.register("watermarked")
class Watermarked(Dataset):
    """Another dataset, with a bright square in a corner of some samples of one class.

    Exactly ``round(rate * n)`` of the n samples of the class carry it in ``train`` and ``val``, and
    ``round(test_rate * n)`` in any other split; which ones is a seeded order of their names, so that a lower rate marks
    a part of what a higher one marks. ``Batch.artefacts`` says where the mark is, and is False everywhere in samples
    without it. Masks, groups and names are the other dataset's.

    Fields:
        base: the other dataset, such as ``"digits"`` or ``"folder"``; ``path`` is handed on to it.
        base_params: its parameters.
        label: the class that gets the mark.
        rate, test_rate: share of the class that carries it.
        size: side of the square as a share of the image's shorter side.
        corner: where it is.
        value: its value in [0, 1], the same in every channel.
        seed: of which samples carry it.
    """

    source: ClassVar[str] = "planted: a watermark on a share of one class (as in Lapuschkin et al. 2019)"

    base: str = "digits"
    base_params: dict[str, Any] = Field(default_factory=dict)
    label: int = Field(default=0, ge=0)
    rate: float = Field(default=0.6, ge=0, le=1)
    test_rate: float = Field(default=0.5, ge=0, le=1)
    size: float = Field(default=0.25, gt=0, le=0.5)
    corner: Corner = "top-left"
    value: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0

    _made: dict[str, Dataset] = PrivateAttr(default_factory=dict)
    _marked: dict[str, frozenset[str]] = PrivateAttr(default_factory=dict)

    @property
    def other(self) -> Dataset:
        """The dataset that is marked.

        Raises:
            UnknownNameError, SpecError: there is none of that name, or it does not take these parameters.
        """
        if "other" not in self._made:
            path = {} if self.path is None else {"path": self.path}
            where_ = f"dataset {self.name!r}, base {self.base!r}"
            self._made["other"] = datasets.make(self.base, {**self.base_params, **path}, where_)
        return self._made["other"]

    def fingerprint(self, split: Split) -> str:
        """The other dataset's, and which one it is."""
        return digest([self.other.identity(), self.other.fingerprint(split)])

    def build_index(self, split: Split) -> Index:
        """The other's index; the digest covers its digest, the mark, and who carries it.

        Raises:
            DataError: the class is none of the other dataset's, or its labels are no classes.
        """
        index = self.other.index(split)
        if self.label >= len(index.classes):
            raise DataError(
                f"dataset {self.name!r}: label = {self.label}, but {self.base!r} has {len(index.classes)} classes;"
                " name one of them, counted from 0"
            )
        mark = [self.label, self.size, self.corner, self.value, sorted(self.marked(split))]
        return Index(
            ids=index.ids,
            labels=index.labels,
            classes=index.classes,
            digest=digest(["watermarked", self.version, index.digest, mark]),
            groups=index.groups,
            masks=index.masks,
            artefacts=True,
            notes=index.notes,
            named=index.named,
            shapes=index.shapes,
            keep=index.keep,
            peak=index.peak,
        )

    def sources(self, split: Split, ids: Sequence[str] | None = None) -> Sequence[Path]:
        """The other's."""
        return self.other.sources(split, ids)

    def marked(self, split: Split) -> frozenset[str]:
        """Names of the samples that carry the mark."""
        if split not in self._marked:
            index = self.other.index(split)
            of_class = [name for name, label in zip(index.ids, index.labels, strict=True) if label == self.label]
            order = sorted(of_class, key=lambda name: derive("watermark", self.seed, name))
            share = self.rate if split in ("train", "val") else self.test_rate
            self._marked[split] = frozenset(order[: round(share * len(order))])
        return self._marked[split]

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """The other's images, marked where they are to be."""
        marked = self.marked(split)
        images = self.other.read(split, ids)
        return [self._plant(image) if name in marked else image for name, image in zip(ids, images, strict=True)]

    def place(self, raw: NDArray[Any], grid: Grid, name: str) -> NDArray[np.float32]:
        """As the other dataset does."""
        return self.other.place(raw, grid, name)

    def facts(self) -> dict[str, str]:
        """The other's."""
        return self.other.facts()

    def read_masks(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """The other's."""
        return self.other.read_masks(split, ids)

    def read_artefacts(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """(H, W) each: True in the square of a marked sample, nowhere in others."""
        marked, artefacts = self.marked(split), []
        for name, image in zip(ids, self.other.read(split, ids), strict=True):
            height, width = image.shape[:2]
            mask = where(self.corner, self.size, height, width)
            artefacts.append(mask if name in marked else np.zeros_like(mask))
        return artefacts

    def _plant(self, image: NDArray[Any]) -> NDArray[Any]:
        """A marked copy; integers get the value on the scale of their type."""
        planted = image.copy()
        rows, columns = square(self.corner, self.size, *image.shape[:2])
        colours = slice(0, 3)  # an alpha channel stays
        place = (rows, columns) if image.ndim == 2 else (rows, columns, colours)
        scale = scale_of(image.dtype) or 1.0
        planted[place] = round(scale * self.value) if image.dtype.kind == "u" else self.value
        return planted
