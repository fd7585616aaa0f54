"""Folders of images, one folder a class: the layout of ImageFolder, of chest X-ray sets, of most home-made sets."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from benchmark.data.base import Dataset, Index, Split, datasets
from benchmark.errors import DataError
from benchmark.files import stamps
from benchmark.registry import digest
from benchmark.seeds import derive

SUFFIXES = frozenset(
    {".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".pbm", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2"}
)
GROUPS = ("patient_group", "patient", "group", "track")
Row = dict[str, str]


@datasets.register("folder")
class Folder(Dataset):
    """Images in ``PATH/<split>/<class>/*`` or, where there are no split folders, ``PATH/<class>/*``.

    In the second layout every split is drawn by name: a sample belongs to the test part if the hash of its group
    (else of its name) falls below ``test_share``; adding an image moves no other.

    The digest is over the bytes of the files, so pixels are decoded only when read; a broken image raises then.

    Attributes:
        manifest: CSV file under PATH with a column ``file`` (path under PATH), read where it exists; columns of groups
            and masks are taken from it.
        group: column that names the group of a sample (patient, sign, …); default: the first of ``patient_group``,
            ``patient``, ``group``, ``track`` that is there.
        mask: column that names an image under PATH, non-zero where the evidence is.
        test_share: share of the test part where there are no split folders.
        split_seed: seed of that draw.
    """

    source: ClassVar[str] = "the user's own images"
    needs_path: ClassVar[bool] = True

    manifest: str = "manifest.csv"
    group: str = ""
    mask: str = "mask"
    test_share: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = 0

    _listed: dict[str, dict[str, tuple[Path, str]]] = PrivateAttr(default_factory=dict)
    _manifest_rows: dict[str, Row] | None = PrivateAttr(default=None)

    def fingerprint(self, split: Split) -> str:
        """Names and stamps of the split's files (and of masks and manifest)."""
        root, rows = self._root(), self._rows()
        files = [path for path, _ in self._files(split).values()]
        files += [mask for name in self._files(split) if (mask := self._mask_file(rows, name)) is not None]
        if (root / self.manifest).is_file():
            files.append(root / self.manifest)
        return digest([[str(f.relative_to(root)) for f in files], stamps(f for f in files if f.exists())])

    def build_index(self, split: Split) -> Index:
        """Names (paths under PATH), labels, groups, and the digest over the files' bytes."""
        files, rows = self._files(split), self._rows()
        classes = self._class_names(split)
        content = hashlib.sha256("\n".join(classes).encode())
        for name, (path, label) in files.items():
            content.update(f"\n{name}\t{label}\t{_sha256(path)}".encode())
        column = self._group_column(rows)
        groups = self._column(files, rows, column) if column else None
        masks = all(self._mask_file(rows, name) is not None for name in files)
        if groups:
            content.update("\n".join(["groups", *groups]).encode())
        if masks:
            for name in files:
                content.update(f"\nmask\t{name}\t{_sha256(self._mask_path(rows, name))}".encode())
        where = {label: i for i, label in enumerate(classes)}
        return Index(
            ids=tuple(files),
            labels=np.array([where[label] for _, label in files.values()], np.int64),
            classes=tuple(classes),
            digest=content.hexdigest(),
            groups=groups,
            masks=masks,
        )

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Images (H, W) or (H, W, 3), uint8 (16-bit grey: float in [0, 1]).

        Raises:
            DataError: an image that cannot be decoded, with its path.
        """
        files = self._files(split)
        return [read_image(files[name][0]) for name in ids]

    def read_masks(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """Masks (H, W): where the mask image is not 0."""
        rows = self._rows()
        return [_flat(read_image(self._mask_path(rows, name))) > 0 for name in ids]

    # -- where things lie ---------------------------------------------------------------------------------------

    def _root(self) -> Path:
        if self.path is None:
            raise DataError(
                f"dataset {self.use!r} needs to know where the images are: give `path` in the suite's [dataset]"
                " or --data NAME=PATH"
            )
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise DataError(
                f"dataset {self.use!r}: {root} does not exist or is no folder; correct `path` or --data NAME=PATH"
            )
        return root

    def _top(self) -> Path:
        """The folder that holds split folders or class folders."""
        return self._root()

    def _files(self, split: Split) -> dict[str, tuple[Path, str]]:
        """Sample names (path under the root) to (file, class), sorted by name."""
        if split not in self._listed:
            found = self._found(split)
            if not found:
                raise DataError(self._nothing(self._top(), split))
            self._listed[split] = dict(sorted(found.items()))
        return self._listed[split]

    def _found(self, split: Split) -> dict[str, tuple[Path, str]]:
        """What :meth:`_files` sorts and keeps; empty where there is nothing."""
        top = self._top()
        inside = top / split
        # a split folder holds class folders, a class folder holds images
        if inside.is_dir() and not _images(inside) and _class_folders(inside):
            return _by_class(inside, self._root())
        if any(_class_folders(folder) for folder in _class_folders(top)):
            return {}
        return self._drawn(_by_class(top, self._root()), split)

    def _drawn(self, files: dict[str, tuple[Path, str]], split: Split) -> dict[str, tuple[Path, str]]:
        """Those of the files that fall into the split; empty for splits other than ``train`` and ``test``."""
        if split not in ("train", "test"):
            return {}
        rows = self._rows()
        column = self._group_column(rows)

        def part(name: str) -> str:
            unit = rows.get(name, {}).get(column, "") or name
            return "test" if derive(self.split_seed, unit) / 2**63 < self.test_share else "train"

        return {name: file for name, file in files.items() if part(name) == split}

    def _class_names(self, split: Split) -> list[str]:
        """Names of all classes, in their order."""
        return sorted({label for _, label in self._all_classes(split)})

    def _all_classes(self, split: Split) -> list[tuple[Path, str]]:
        """One item a class: of all splits, so that a split that lacks a class still counts them alike."""
        top = self._top()
        if (top / split).is_dir() and _class_folders(top / split):
            parts = [folder for folder in _class_folders(top) if _class_folders(folder) and not _images(folder)]
            return [(inner, inner.name) for part in parts for inner in _class_folders(part) if _images(inner)]
        return [(folder, folder.name) for folder in _class_folders(top) if _images(folder)]

    def _nothing(self, root: Path, split: Split) -> str:
        inside = [folder.name for folder in _class_folders(root)]
        return (
            f"dataset {self.use!r}, split {split!r}: no images in {root / split}/<class>/ nor in {root}/<class>/;"
            f" {root} holds {'the folders ' + ', '.join(inside[:6]) if inside else 'no folders'};"
            f" images end in {', '.join(sorted(SUFFIXES))}"
        )

    def _rows(self) -> dict[str, Row]:
        """Rows of the manifest by file; empty where there is none."""
        if self._manifest_rows is None:
            self._manifest_rows = self._read_rows(self._root() / self.manifest)
        return self._manifest_rows

    def _csv(self, file: Path) -> list[Row]:
        """Rows of a CSV file; none where it does not exist."""
        if not file.is_file():
            return []
        try:
            with file.open(newline="", encoding="utf-8-sig") as stream:
                return list(csv.DictReader(stream))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"dataset {self.use!r}: {file} cannot be read as CSV: {error}") from error

    def _read_rows(self, file: Path) -> dict[str, Row]:
        rows = self._csv(file)
        if rows and "file" not in rows[0]:
            if self.group:
                raise DataError(f"dataset {self.use!r}: {file} has no column 'file', it has {', '.join(rows[0])}")
            return {}
        return {row["file"].replace("\\", "/"): row for row in rows}

    def _group_column(self, rows: dict[str, Row]) -> str:
        columns = next(iter(rows.values()), {})
        if self.group and self.group not in columns:
            raise DataError(
                f"dataset {self.use!r}: {self._root() / self.manifest} has no column {self.group!r} (parameter"
                f" `group`); it has {', '.join(columns) or 'none'}"
            )
        return self.group or next((name for name in GROUPS if name in columns), "")

    def _column(self, files: dict[str, tuple[Path, str]], rows: dict[str, Row], column: str) -> tuple[str, ...]:
        for name in files:
            if name not in rows:
                raise DataError(
                    f"dataset {self.use!r}: {self._root() / self.manifest} has no row for the file {name!r}"
                )
        return tuple(rows[name][column] for name in files)

    def _mask_file(self, rows: dict[str, Row], name: str) -> Path | None:
        """Where the mask of a sample should lie; None where it has none."""
        given = rows.get(name, {}).get(self.mask)
        return self._root() / given if given else None

    def _mask_path(self, rows: dict[str, Row], name: str) -> Path:
        path = self._mask_file(rows, name)
        if path is None or not path.is_file():
            raise DataError(f"dataset {self.use!r}: the mask {path} of {name!r} does not exist")
        return path


def read_image(path: Path) -> NDArray[Any]:
    """An image file as (H, W) or (H, W, 3), uint8; 16-bit and float grey images as float32 in [0, 1].

    Raises:
        DataError: it is missing, truncated or no image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode in ("I;16", "I;16B", "I;16L", "I"):
                return np.asarray(image, dtype=np.float32) / np.float32(65535)
            if image.mode == "F":
                return np.asarray(image, dtype=np.float32)
            grey = image.mode in ("1", "L", "LA")
            return np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"the image {path} cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__};"
            " replace or remove the file"
        ) from error


def _flat(image: NDArray[Any]) -> NDArray[Any]:
    return image.max(axis=2) if image.ndim == 3 else image


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _class_folders(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return [f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith(".")]


def _by_class(folder: Path, root: Path) -> dict[str, tuple[Path, str]]:
    return {
        image.relative_to(root).as_posix(): (image, inner.name)
        for inner in _class_folders(folder)
        for image in _images(inner)
    }
