"""What a dataset is: named samples with labels, a digest, and where known masks and groups.

``index`` (ids, labels, classes, digest) needs no torch and is cached in the user's cache folder; ``read`` brings the
asked samples only, so that a set is never forced into memory whole.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from benchmark.data.reading.classes import BY_INDEX, ClassList, class_indices, class_list
from benchmark.data.reading.faults import reading, stamps
from benchmark.data.samples import Batch, Grid, Gridded, Index, Split
from benchmark.data.structures import Structures
from benchmark.errors import DataError, SpecError
from benchmark.files import Stamp, remembered
from benchmark.inputs import IMAGE
from benchmark.registry import Plugin, Registry, digest

INDEX_VERSION = 4  # raise when an index holds something else


class Dataset(Plugin):
    """Base of all datasets. A subclass says how to list and how to read; the base caches, resizes and stacks.

    Class attributes:
        needs_path: it lies somewhere, and must be told where.
        inputs: the kind of its samples (:mod:`benchmark.inputs`): tasks of that kind take them.
    """

    needs_path: ClassVar[bool] = False
    endings: ClassVar[Collection[str]] = ()  # of the names of the files that it reads, in lower case
    inputs: ClassVar[str] = IMAGE

    path: Path | None = Field(default=None, exclude=True)  # where it lies is never part of a hash
    _indices: dict[str, Index] = PrivateAttr(default_factory=dict)
    _stamps: dict[Path, Stamp | None] = PrivateAttr(default_factory=dict)
    _class_list: ClassList | None = PrivateAttr(default=None)

    # -- what a subclass writes ---------------------------------------------------------------------------------

    @abstractmethod
    def fingerprint(self, split: Split) -> str:
        """Cheap key that changes when the content may have changed (names, sizes, times, versions); no sample is read.

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
        """Raw samples: images are uint8, or float in [0, 1]; each (H, W) or (H, W, C), sizes may differ.

        Samples of another kind (``inputs``) are any arrays; :meth:`place` says what becomes of them.
        """

    def place(self, raw: NDArray[Any], grid: Grid, name: str) -> NDArray[Any]:
        """One raw sample as a model is asked with it: an image on the suite's grid, float32 (C, H, W).

        Of another kind: as it was read, unless the dataset says otherwise here.

        Args:
            raw: as :meth:`read` gives it.
            grid: the suite's grid.
            name: for messages.

        Raises:
            DataError: it cannot be brought there.
        """
        if self.inputs != IMAGE:
            return np.asarray(raw)
        from benchmark.data.grid import to_grid

        return to_grid(raw, grid, name)

    def place_mask(
        self, mask: NDArray[np.bool_], raw: NDArray[Any], placed: NDArray[Any], grid: Grid, name: str
    ) -> NDArray[np.bool_]:
        """A sample's mask brought where the sample was: of an image (1, H, W) on the suite's grid.

        Of another kind: as it was read, of the shape of what was placed.

        Args:
            mask: as :meth:`read_masks` gives it.
            raw, placed: the sample before and after :meth:`place`.
            grid: the suite's grid.
            name: for messages.

        Raises:
            DataError: a mask of another size than its sample.
        """
        what = f"dataset {self.name!r}: the mask of {name!r} has"
        if self.inputs != IMAGE:
            if mask.shape != placed.shape:
                raise DataError(f"{what} the shape {mask.shape}, its sample {placed.shape}; give both one shape")
            return mask
        from benchmark.data.grid import to_grid_mask

        if mask.shape != raw.shape[:2]:
            raise DataError(
                f"{what} {mask.shape[0]} rows and {mask.shape[1]} columns, its image {raw.shape[0]} and {raw.shape[1]};"
                " a mask must be of its image's size"
            )
        return to_grid_mask(mask, (placed.shape[1], placed.shape[2]), grid.fit, grid.crop)

    def sources(self, split: Split, ids: Sequence[str] | None = None) -> Sequence[Path]:
        """Files that these samples (default: all of the split) are read from: they may not change during a run."""
        return ()

    def facts(self) -> dict[str, str]:
        """What every table must say of these data: a column and its text, such as ``{"scanner": "simulated"}``."""
        return {}

    def read_masks(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """Masks, True where the evidence is: of images (H, W); only called where ``Index.masks`` is True."""
        raise DataError(f"dataset {self.name!r} has no masks")

    def read_counterparts(self, split: Split, ids: Sequence[str], kind: str, severity: int) -> list[NDArray[Any]]:
        """Published corrupted versions of samples, as :meth:`read` gives them.

        Raises:
            DataError: there are none.
        """
        raise DataError(
            f"dataset {self.name!r} has no corrupted images to read: use 'imagenet-c' or 'cifar10-c', or have the"
            " corruptions made"
        )

    def read_artefacts(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """Masks likewise, True where the sample's false structure is (nowhere where it has none); only called where
        ``Index.artefacts`` is True."""
        raise DataError(f"dataset {self.name!r} has no masks of false structures")

    def structures(self, split: Split, grid: Grid) -> Structures | None:
        """Patterns of the true and of the false structure on the grid, where the images are made of them.

        None where the dataset knows none, or where a split's images do not all carry their own class's false one.
        """
        return None

    # -- what everybody calls -----------------------------------------------------------------------------------

    def index(self, split: Split) -> Index:
        """Ids, labels, classes, digest, groups of a split, from the cache where its fingerprint is unchanged.

        Raises:
            DataError: what cannot be read at all, or changed while it was read.
        """
        if split not in self._indices:
            with reading(f"dataset {self.name!r}", todo="correct it, or `path` and --data NAME=PATH"):
                before = stamps(self.sources(split))
                index = self._listed(self._cached_index(split))
            self._unchanged(before)
            self._stamps |= before
            self._indices[split] = index
        return self._indices[split]

    def listed(self, classes: str) -> Self:
        """This dataset with the indices that a list of classes gives its classes (``classes`` of a suite's [dataset]).

        Raises:
            DataError: no such list.
        """
        self._class_list = class_list(classes) if classes not in ("", BY_INDEX) else None
        return self

    def known_as(self, split: Split) -> list[tuple[str, ...]]:
        """Every way to write each class of a split: its name, and what a list says besides."""
        if self._class_list is not None:
            return list(self._class_list.known_as)
        return [(name,) for name in self.index(split).classes]

    def _listed(self, index: Index) -> Index:
        """The index with the labels that the list of classes gives them."""
        known = self._class_list
        if known is None:
            return index
        what = f"dataset {self.name!r}"
        if not index.classes:
            raise DataError(
                f"{what}: its labels are no classes, so [dataset] classes = {known.source!r} cannot number them"
            )
        if index.named:
            at = np.array(class_indices(index.classes, known, what), np.int64)
        elif len(index.classes) <= len(known.names):
            at = np.arange(len(index.classes))
        else:
            most = f"labels up to {len(index.classes) - 1}, {known.source} lists {len(known.names)} classes"
            raise DataError(f"{what}: has {most}; name another list in [dataset] classes")
        return replace(
            index,
            labels=at[index.labels],
            classes=known.names,
            digest=digest(["classes", index.digest, list(known.names), at.tolist()]),
            named=True,
        )

    def _unchanged(self, before: Mapping[Path, Stamp | None]) -> None:
        """Refuse files that are not as they were.

        Raises:
            DataError: naming the first that changed.
        """
        now = stamps(before)
        for file, stamp in before.items():
            if now[file] != stamp:
                raise DataError(
                    f"dataset {self.name!r}: {file} changed while it was read, or during this run; let it rest, and run"
                    " the same command again"
                )

    def _cached_index(self, split: Split) -> Index:
        """The index as remembered under this fingerprint, else built."""
        label = f"dataset {self.name!r}, split {split!r}{_at(self.path)}"
        key = [INDEX_VERSION, self.identity(), split, self.fingerprint(split)]
        whole: list[Index] = []

        def made() -> dict[str, Any]:
            whole.append(self._built_index(split))
            return whole[0].to_json()

        return Index.from_json(remembered("index", key, label, made, lambda _: whole[0].keep))

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
            DataError: an unknown id, an unreadable sample, sizes that differ while the grid names none, a mask of
                another size than its sample, or a file that is no longer what the index was made of.
        """
        index = self.index(split)
        where = index.positions(ids)
        with reading(f"dataset {self.name!r}"):
            raw = self.read(split, ids)
            evidence = self.read_masks(split, ids) if masks and index.masks else None
            false = self.read_artefacts(split, ids) if masks and index.artefacts else None
        self._unchanged({file: self._stamps[file] for file in self.sources(split, ids) if file in self._stamps})
        placed = [self.place(sample, grid, name) for sample, name in zip(raw, ids, strict=True)]
        shapes = {sample.shape for sample in placed}
        if len(shapes) > 1:
            todo = "name a `size` (and `channels`) in the suite's [dataset]" if self.inputs == IMAGE else "give all one"
            some = f"{len(shapes)} shapes, such as {sorted(shapes)[:3]}"
            raise DataError(f"dataset {self.name!r}: samples of {some}; {todo}")

        def on_grid(masks: Sequence[NDArray[np.bool_]] | None) -> NDArray[np.bool_] | None:
            if masks is None:
                return None
            parts = zip(masks, raw, placed, ids, strict=True)
            return np.stack([self.place_mask(mask, one, there, grid, name) for mask, one, there, name in parts])

        return Batch(
            ids=tuple(ids),
            inputs=np.stack(placed) if placed else np.zeros((0, 1, 1, 1), np.float32),
            labels=index.labels[where],
            masks=on_grid(evidence),
            artefacts=on_grid(false),
        )


@dataclass(frozen=True)
class Samples:
    """Which samples an attack is given.

    Attributes:
        dataset, split, ids: their names, in order.
        grid: the suite's.
    """

    dataset: Dataset
    split: Split
    ids: tuple[str, ...]
    grid: Grid

    def counterparts(self, kind: str, severity: int) -> list[NDArray[Any]]:
        """Their published corrupted versions on the grid, float32 (C, H, W) each; they are cut already."""
        read = self.dataset.read_counterparts(self.split, self.ids, kind, severity)
        grid = self.grid.model_copy(update={"crop": 1.0})
        return [self.dataset.place(raw, grid, name) for raw, name in zip(read, self.ids, strict=True)]


def _at(path: Path | None) -> str:
    return f" at {path}" if path is not None else ""


datasets: Registry[Dataset] = Registry("dataset", "benchmark.data")


def open_dataset(
    use: str,
    params: Mapping[str, Any],
    *,
    path: Path | None = None,
    classes: str = "",
    order: str | None = None,
    where: str = "",
) -> Dataset:
    """The dataset that a suite's [dataset], or a cell's, names.

    Args:
        use: dataset plugin.
        params: its parameters.
        path: where it lies.
        classes: list of classes, see :meth:`Dataset.listed`.
        order: of class folders whose names are numbers, ``"text"`` or ``"number"``, for datasets of class folders.
        where: for messages.

    Raises:
        UnknownNameError, SpecError: no such dataset or parameter, or an order for a dataset without class folders.
        DataError: no such list of classes.
    """
    given = {**params, **({} if path is None else {"path": path})}
    if order is not None:
        if "order" not in datasets.lookup(use)[0].model_fields:
            raise SpecError(
                f"{where or use}: order = {order!r} is for datasets of class folders, {use!r} is none; remove it"
            )
        given["order"] = order
    return datasets.make(use, given, where).listed(classes)


__all__ = [
    "Batch",
    "Dataset",
    "Grid",
    "Gridded",
    "Index",
    "Samples",
    "Split",
    "Structures",
    "datasets",
    "open_dataset",
]
