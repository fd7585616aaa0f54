"""What a dataset is: named samples in [0, 1] with labels, a digest, and where known masks and groups.

``index`` (ids, labels, classes, digest) needs no torch and is cached in the user's cache folder; ``read`` brings the
pixels of the asked samples only, so that a set is never forced into memory whole.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from benchmark.data.structures import Structures
from benchmark.errors import DataError
from benchmark.files import remembered
from benchmark.registry import Plugin, Registry

Split = str
INDEX_VERSION = 2  # raise when an index holds something else


class Grid(BaseModel):
    """The suite's grid: every input is resized to it before attacks, norms, masks and attributions see it.

    ``size`` is (height, width), None for the dataset's own size (all samples must then share one);
    ``channels`` is 1 (luminance of colour images) or 3 (grey repeated), None for the dataset's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: tuple[int, int] | None = None
    channels: Literal[1, 3] | None = None

    @field_validator("size", mode="before")
    @classmethod
    def _square(cls, value: object) -> object:
        return (value, value) if isinstance(value, int) else value


@dataclass(frozen=True)
class Index:
    """What is known of a split without its pixels.

    Attributes:
        ids: unique sample names, in the dataset's own order.
        labels: one label a sample: int64 class indices, or float64 targets for a regression task.
        classes: class names; empty where labels are not classes.
        digest: sha256 over the content (pixels, labels, names) of the split.
        groups: group (patient, sign, …) of each sample, or None.
        masks: True where the dataset can say where the evidence is.
        artefacts: True where it can say where a false structure (a watermark, a marker) is.
    """

    ids: tuple[str, ...]
    labels: NDArray[Any]
    classes: tuple[str, ...]
    digest: str
    groups: tuple[str, ...] | None = None
    masks: bool = False
    artefacts: bool = False

    def positions(self, ids: Sequence[str]) -> list[int]:
        """Positions of the ids in this index.

        Raises:
            DataError: an id that is not in the index.
        """
        where = {name: i for i, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in where]
        if missing:
            raise DataError(f"sample {missing[0]!r} is not in the dataset (it has {len(self.ids)} samples)")
        return [where[name] for name in ids]

    def to_json(self) -> dict[str, Any]:
        """JSON-able form, for the cache."""
        return {
            "ids": list(self.ids),
            "labels": self.labels.tolist(),
            "dtype": str(self.labels.dtype),
            "classes": list(self.classes),
            "digest": self.digest,
            "groups": None if self.groups is None else list(self.groups),
            "masks": self.masks,
            "artefacts": self.artefacts,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Index:
        """Inverse of :meth:`to_json`."""
        return cls(
            ids=tuple(data["ids"]),
            labels=np.asarray(data["labels"], dtype=data["dtype"]),
            classes=tuple(data["classes"]),
            digest=data["digest"],
            groups=None if data["groups"] is None else tuple(data["groups"]),
            masks=data["masks"],
            artefacts=data.get("artefacts", False),
        )


@dataclass(frozen=True)
class Batch:
    """Samples on the suite's grid, as NumPy arrays.

    Attributes:
        ids: sample names.
        inputs: float32 (N, C, H, W) in [0, 1].
        labels: (N,) int64 or float64.
        masks: bool (N, 1, H, W), where the evidence is, or None.
        artefacts: bool (N, 1, H, W), where the false structure is, or None.
    """

    ids: tuple[str, ...]
    inputs: NDArray[np.float32]
    labels: NDArray[Any]
    masks: NDArray[np.bool_] | None = None
    artefacts: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.ids)


class Dataset(Plugin):
    """Base of all datasets. A subclass says how to list and how to read; the base caches, resizes and stacks."""

    default_split: ClassVar[str] = "test"
    needs_path: ClassVar[bool] = False

    path: Path | None = Field(default=None, exclude=True)  # where it lies is never part of a hash
    _indices: dict[str, Index] = PrivateAttr(default_factory=dict)
    _fingerprints: dict[str, str] = PrivateAttr(default_factory=dict)

    # -- what a subclass writes ---------------------------------------------------------------------------------

    @abstractmethod
    def fingerprint(self, split: Split) -> str:
        """Cheap key that changes when the content may have changed (names, sizes, times, versions); no pixels read.

        Raises:
            DataError: the data are missing or empty, with what to do.
        """

    @abstractmethod
    def build_index(self, split: Split) -> Index:
        """Read names, labels and content digest of a split; slow, called once and cached.

        Raises:
            DataError: nothing there, unknown split, unreadable file (named).
        """

    @abstractmethod
    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Raw images of these samples: uint8, or float in [0, 1]; each (H, W) or (H, W, C), sizes may differ.

        A dataset whose samples are no such images says in :meth:`place` what becomes of them.
        """

    def place(self, raw: NDArray[Any], grid: Grid, name: str) -> NDArray[np.float32]:
        """One raw sample on the suite's grid, float32 (C, H, W).

        Args:
            raw: as :meth:`read` gives it.
            grid: the suite's grid.
            name: for messages.

        Raises:
            DataError: it cannot be brought there.
        """
        from benchmark.data.grid import to_grid

        return to_grid(raw, grid, name)

    def facts(self) -> dict[str, str]:
        """What every table must say of these data: a column and its text, such as ``{"kspace": "simulated"}``."""
        return {}

    def read_masks(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """Masks (H, W), True where the evidence is; only called where ``Index.masks`` is True."""
        raise DataError(f"dataset {self.name!r} has no masks")

    def read_artefacts(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """Masks (H, W), True where the sample's false structure is (nowhere where it has none); only called where
        ``Index.artefacts`` is True."""
        raise DataError(f"dataset {self.name!r} has no masks of false structures")

    def structures(self, split: Split, grid: Grid) -> Structures | None:
        """Patterns of the true and of the false structure on the grid, where the images are made of them.

        None where the dataset knows none, or where a split's images do not all carry their own class's false one.
        """
        return None

    # -- what everybody calls -----------------------------------------------------------------------------------

    def index(self, split: Split) -> Index:
        """Ids, labels, classes, digest, groups of a split, from the cache where its fingerprint is unchanged."""
        if split not in self._indices:
            self._indices[split] = self._cached_index(split)
        return self._indices[split]

    def _cached_index(self, split: Split) -> Index:
        """The index as remembered under this fingerprint, else built; what changes meanwhile is refused."""
        before = self.fingerprint(split)
        label = f"dataset {self.name!r}, split {split!r}{_at(self.path)}"

        def made() -> dict[str, Any]:
            index = self._built_index(split)
            self._check_same(split, before)
            return index.to_json()

        self._fingerprints[split] = before
        return Index.from_json(remembered("index", [INDEX_VERSION, self.identity(), split, before], label, made))

    def check_unchanged(self, split: Split) -> None:
        """Refuse data that are not those of the index any more.

        Raises:
            DataError: a file was replaced, added or removed since.
        """
        if split in self._fingerprints:
            self._check_same(split, self._fingerprints[split])

    def _check_same(self, split: Split, before: str) -> None:
        if self.fingerprint(split) != before:
            raise DataError(
                f"dataset {self.name!r}, split {split!r}: its files changed while they were read{_at(self.path)};"
                " wait until nothing writes there, then run the same command again"
            )

    def _built_index(self, split: Split) -> Index:
        index = self.build_index(split)
        if not index.ids:
            raise DataError(f"dataset {self.name!r}, split {split!r}: no samples found{_at(self.path)}")
        if len(set(index.ids)) != len(index.ids):
            raise DataError(f"dataset {self.name!r}, split {split!r}: sample names are not unique{_at(self.path)}")
        return index

    def load(self, split: Split, ids: Sequence[str], grid: Grid, *, masks: bool = False) -> Batch:
        """These samples on the suite's grid.

        Raises:
            DataError: an unknown id, an unreadable image, or sizes that differ while the grid names none.
        """
        from benchmark.data.grid import to_grid_mask

        index = self.index(split)
        where = index.positions(ids)
        raw = self.read(split, ids)
        images = [self.place(image, grid, name) for image, name in zip(raw, ids, strict=True)]
        shapes = {image.shape for image in images}
        if len(shapes) > 1:
            raise DataError(
                f"dataset {self.name!r}: images of {len(shapes)} shapes, such as {sorted(shapes)[:3]};"
                " name a `size` (and `channels`) in the suite's [dataset]"
            )

        def on_grid(raw_masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
            height, width = images[0].shape[1:]
            return np.stack([to_grid_mask(mask, (height, width)) for mask in raw_masks])

        return Batch(
            ids=tuple(ids),
            inputs=np.stack(images) if images else np.zeros((0, 1, 1, 1), np.float32),
            labels=index.labels[where],
            masks=on_grid(self.read_masks(split, ids)) if masks and index.masks else None,
            artefacts=on_grid(self.read_artefacts(split, ids)) if masks and index.artefacts else None,
        )


def _at(path: Path | None) -> str:
    return f" at {path}" if path is not None else ""


datasets: Registry[Dataset] = Registry("dataset", "benchmark.data")
