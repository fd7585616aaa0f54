"""Images and their masks in two folders of the same layout: segmentation sets, such as the Leeds butterflies."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

from pydantic import PrivateAttr

from benchmark.data.base import Split, datasets
from benchmark.data.folder import Folder
from benchmark.data.reading.files import fitting
from benchmark.data.reading.folder_notes import class_folders, images_in, is_debris
from benchmark.data.reading.labels import whole_texts
from benchmark.data.reading.left_out import count, debris_in, shown
from benchmark.data.reading.manifest import Row, Table, by_file, plain_path, refuse_near
from benchmark.data.reading.pictures import SUFFIXES
from benchmark.errors import DataError, printable


@datasets.register("folder-with-masks")
class FolderWithMasks(Folder):
    """``PATH/images/x.jpg`` with its mask ``PATH/masks/x.png``: the same place and stem, any image format.

    Classes and splits come from folders (``images/<split>/<class>/*`` or ``images/<class>/*``, as in ``folder``), or,
    where the images lie flat, from the manifest: a row an image, with columns for its stem (``id``; or ``file``, its
    path under PATH), its class (``label``) and where there is one its ``split`` (else drawn as in ``folder``).

    Every image needs a mask of its own size, above half of its range where the evidence is.

    Attributes:
        images, masks: the two folders under PATH.
        id: column of the manifest with the images' stems.
        label: column with their class; numbers are sorted as such.
        manifest, group, test_share, split_seed: as in ``folder``.
        mask: as in ``folder``: a column of the manifest that says where a mask lies, before the folder does.
    """

    endings: ClassVar[Collection[str]] = SUFFIXES
    source: ClassVar[str] = "the user's own images and masks"

    images: str = "images"
    masks: str = "masks"
    id: str = "id"
    label: str = "label"

    _masks_at: dict[str, Path] | None = PrivateAttr(default=None)

    def _top(self) -> Path:
        top = self._root() / self.images
        if not top.is_dir():
            other = fitting(self._root(), self.use)
            raise DataError(f"dataset {self.use!r}: {top} does not exist; it should hold the images (`images`){other}")
        return top

    def _by_table(self) -> bool:
        return False  # see _flat

    def _flat(self) -> bool:
        return bool(images_in(self._top()))

    def _own_columns(self) -> tuple[str, ...]:
        return (self.id, self.label, "split") if self._flat() else ()

    def _split_files(self, split: Split) -> dict[str, tuple[Path, str]]:
        if not self._flat():
            return super()._split_files(split)
        rows, root = self._rows(), self._root()
        labels = self._labels()
        files: dict[str, tuple[Path, str]] = {}
        for path in images_in(self._top()):
            name = printable(path.relative_to(root).as_posix())
            if plain_path(name) not in rows:
                raise DataError(
                    f"dataset {self.use!r}: {root / self.manifest} has no row for the image {name!r}: images that lie"
                    f" flat have their class there (columns {self.id!r} or 'file', {self.label!r}, and 'split')"
                )
            files[name] = (path, labels[plain_path(name)])
        if "split" in self._read_table().columns:
            return {name: file for name, file in files.items() if rows[plain_path(name)]["split"] == split}
        return self._drawn(files, split)

    def _labels(self) -> dict[str, str]:
        """The class of each row, by its file."""
        rows = self._rows()
        texts = whole_texts([row[self.label] for row in rows.values()], list(rows), self._what(self.label))
        return dict(zip(rows, texts, strict=True))

    def _what(self, column: str) -> str:
        return f"dataset {self.use!r}, {self.manifest}, column {column!r}"

    def _class_names(self, split: Split) -> list[str]:
        if not self._flat():
            return super()._class_names(split)
        names = set(self._labels().values())
        return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)

    def _class_folders(self, split: Split) -> list[Path]:
        return [] if self._flat() else super()._class_folders(split)

    def _notes(self, split: Split) -> list[str]:
        """As of a folder; of flat images what lies beside them; and masks without an image."""
        if not self._flat():
            notes = super()._notes(split)
        else:
            top = self._top()
            others = [path for path in sorted(top.iterdir()) if is_debris(path) or path.suffix.lower() not in SUFFIXES]
            names = shown([path.name for path in others])
            notes = [f"left out: {count(len(others), 'file')} beside the images ({names})"] if others else []
        stems = {Path(name).relative_to(self.images).with_suffix("").as_posix() for name in self._everywhere(split)}
        debris = debris_in({path.parent for path in self._masks_by_stem().values()})
        if debris:
            names = shown([path.name for path in debris])
            notes.append(f"left out: {count(len(debris), 'file')} among the masks ({names})")
        spare = [path for stem, path in self._masks_by_stem().items() if stem not in stems]
        if spare:
            notes.append(f"{count(len(spare), 'mask')} without an image: {shown([path.name for path in spare])}")
        return notes

    def _everywhere(self, split: Split) -> list[str]:
        """Names of the images of all splits."""
        root, places = self._root(), [self._top()] if self._flat() else self._class_folders(split)
        return [printable(path.relative_to(root).as_posix()) for place in places for path in images_in(place)]

    def _read_rows(self, table: Table) -> dict[str, Row]:
        """Rows by path under PATH; where there is no column ``file``, by the flat image whose stem is ``id``."""
        if not self._flat() or not table.columns:
            return super()._read_rows(table)
        what = f"dataset {self.use!r}"
        column = "file" if "file" in table.columns else self.id
        absent = {name: name for name in (column, self.label) if name not in table.columns}
        refuse_near(table, {name: "id" if name == self.id else "label" for name in absent}, what)
        for name in absent:
            raise DataError(f"{what}: {table.file} has no column {name!r}, it has {', '.join(table.columns)}")
        if "split" not in table.columns:
            refuse_near(table, {"split": ""}, what)
        if column == "file":
            return super()._read_rows(table)
        stems = {printable(p.stem): printable(p.relative_to(self._root()).as_posix()) for p in images_in(self._top())}
        plain = {plain_path(stem): name for stem, name in stems.items()}
        rows = by_file(table, self.id, [self.label, self._group_column(table), self.mask, "split"], what)
        for stem in rows:
            if stem not in plain:
                raise DataError(f"{what}: {table.file} names {stem!r}, but {self.images} has no such image")
        return {plain_path(plain[stem]): row for stem, row in rows.items()}

    def _mask_file(self, rows: dict[str, Row], name: str) -> Path | None:
        given = super()._mask_file(rows, name)
        if given is not None:
            return given
        masks = self._masks_by_stem()
        stem = Path(name).relative_to(self.images).with_suffix("").as_posix()
        if stem not in masks:
            raise DataError(
                f"dataset {self.use!r}: the image {name!r} has no mask: expected {self.masks}/{stem}.png (or another"
                f" image format) in {self._root()}; every image needs one, or use the dataset 'folder'"
            )
        return masks[stem]

    def _masks_by_stem(self) -> dict[str, Path]:
        """Masks by their path under ``masks``, without suffix."""
        if self._masks_at is None:
            folder = self._root() / self.masks
            if not folder.is_dir():
                raise DataError(f"dataset {self.use!r}: {folder} does not exist; it should hold the masks (`masks`)")
            self._masks_at = _by_stem(folder)
        return self._masks_at


def _by_stem(folder: Path) -> dict[str, Path]:
    """Images in a folder and all that lie in it, by their path without suffix."""
    paths = {printable(path.relative_to(folder).with_suffix("").as_posix()): path for path in images_in(folder)}
    for inner in class_folders(folder):
        paths |= {f"{printable(inner.name)}/{stem}": path for stem, path in _by_stem(inner).items()}
    return paths
