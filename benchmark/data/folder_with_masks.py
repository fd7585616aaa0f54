"""Images and their masks in two folders of the same layout: segmentation sets, such as the Leeds butterflies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from benchmark.data.base import Split, datasets
from benchmark.data.folder import Folder, Row, _class_folders, _images
from benchmark.errors import DataError


@datasets.register("folder-with-masks")
class FolderWithMasks(Folder):
    """``PATH/images/x.jpg`` with its mask ``PATH/masks/x.png``: the same place and stem, any image format.

    Classes and splits come from folders (``images/<split>/<class>/*`` or ``images/<class>/*``, as in ``folder``), or,
    where the images lie flat, from the manifest: a row an image, with columns for its stem (``id``; or ``file``, its
    path under PATH), its class (``label``) and where there is one its ``split`` (else drawn as in ``folder``).

    Every image needs a mask of its own size, not 0 where the evidence is.

    Attributes:
        images, masks: the two folders under PATH.
        id: column of the manifest with the images' stems.
        label: column with their class; numbers are sorted as such.
        manifest, group, test_share, split_seed: as in ``folder``.
        mask: as in ``folder``: a column of the manifest that says where a mask lies, before the folder does.
    """

    source: ClassVar[str] = "the user's own images and masks"

    images: str = "images"
    masks: str = "masks"
    id: str = "id"
    label: str = "label"

    _masks_at: dict[str, Path] | None = PrivateAttr(default=None)

    def read_masks(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """Masks (H, W): where the mask image is not 0.

        Raises:
            DataError: a mask that is missing, or of another size than its image.
        """
        from PIL import Image

        found = super().read_masks(split, ids)
        files = self._files(split)
        for name, mask in zip(ids, found, strict=True):
            with Image.open(files[name][0]) as image:
                width, height = image.size
            if mask.shape != (height, width):
                raise DataError(
                    f"dataset {self.use!r}: the mask of {name!r} has {mask.shape[0]} rows and {mask.shape[1]} columns,"
                    f" its image {height} and {width}; a mask must be of its image's size"
                )
        return found

    def _top(self) -> Path:
        top = self._root() / self.images
        if not top.is_dir():
            raise DataError(f"dataset {self.use!r}: {top} does not exist; it should hold the images (`images`)")
        return top

    def _flat(self) -> bool:
        return bool(_images(self._top()))

    def _found(self, split: Split) -> dict[str, tuple[Path, str]]:
        if not self._flat():
            return super()._found(split)
        rows, root = self._rows(), self._root()
        files: dict[str, tuple[Path, str]] = {}
        for path in _images(self._top()):
            name = path.relative_to(root).as_posix()
            if name not in rows:
                raise DataError(
                    f"dataset {self.use!r}: {root / self.manifest} has no row for the image {name!r}: images that lie"
                    f" flat have their class there (columns {self.id!r} or 'file', {self.label!r}, and 'split')"
                )
            files[name] = (path, rows[name][self.label])
        if any("split" in row for row in rows.values()):
            return {name: file for name, file in files.items() if rows[name]["split"] == split}
        return self._drawn(files, split)

    def _class_names(self, split: Split) -> list[str]:
        if not self._flat():
            return super()._class_names(split)
        found = {row[self.label] for row in self._rows().values()}
        return sorted(found, key=int) if all(name.isdecimal() for name in found) else sorted(found)

    def _read_rows(self, file: Path) -> dict[str, Row]:
        """Rows by path under PATH; where there is no column ``file``, by the flat image whose stem is ``id``."""
        rows = self._csv(file)
        if not self._flat() or not rows:
            return super()._read_rows(file)
        for column in ("file" if "file" in rows[0] else self.id, self.label):
            if column not in rows[0]:
                raise DataError(f"dataset {self.use!r}: {file} has no column {column!r}, it has {', '.join(rows[0])}")
        if "file" in rows[0]:
            return super()._read_rows(file)
        stems = {path.stem: path.relative_to(self._root()).as_posix() for path in _images(self._top())}
        for row in rows:
            if row[self.id] not in stems:
                raise DataError(
                    f"dataset {self.use!r}: {file} names {row[self.id]!r}, but {self.images} has no such image"
                )
        return {stems[row[self.id]]: row for row in rows}

    def _mask_file(self, rows: dict[str, Row], name: str) -> Path | None:
        given = super()._mask_file(rows, name)
        if given is not None:
            return given
        if self._masks_at is None:
            folder = self._root() / self.masks
            if not folder.is_dir():
                raise DataError(f"dataset {self.use!r}: {folder} does not exist; it should hold the masks (`masks`)")
            self._masks_at = _by_stem(folder)
        stem = Path(name).relative_to(self.images).with_suffix("").as_posix()
        if stem not in self._masks_at:
            raise DataError(
                f"dataset {self.use!r}: the image {name!r} has no mask: expected {self.masks}/{stem}.png (or another"
                f" image format) in {self._root()}; every image needs one, or use the dataset 'folder'"
            )
        return self._masks_at[stem]


def _by_stem(folder: Path) -> dict[str, Path]:
    """Images in a folder and all that lie in it, by their path without suffix."""
    found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in _images(folder) if path.is_file()}
    for inner in _class_folders(folder):
        found |= {f"{inner.name}/{stem}": path for stem, path in _by_stem(inner).items()}
    return found
