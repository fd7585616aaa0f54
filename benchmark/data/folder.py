"""Folders of images, one folder a class: the layout of ImageFolder, of chest X-ray sets, of most home-made sets."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, model_validator

from benchmark.data.base import Index, Split, datasets
from benchmark.data.reading.by_table import ByTable
from benchmark.data.reading.classes import in_order
from benchmark.data.reading.faults import reading
from benchmark.data.reading.files import fitting
from benchmark.data.reading.folder_notes import (
    TABLES,
    class_folders,
    holds_classes,
    images_in,
    left_out,
    other_tables,
    without_images,
)
from benchmark.data.reading.labelled import images_below
from benchmark.data.reading.left_out import count, inside, shown
from benchmark.data.reading.manifest import (
    Row,
    Table,
    by_file,
    has_files,
    missing_files,
    plain_path,
    read_table,
    refuse_near,
)
from benchmark.data.reading.pictures import SUFFIXES, as_mask, read_image
from benchmark.data.reading.scan import scan
from benchmark.errors import DataError, printable
from benchmark.files import stamps
from benchmark.registry import digest
from benchmark.seeds import derive

GROUPS = ("patient_group", "patient", "group", "track")


@datasets.register("folder")
class Folder(ByTable):
    """Images in ``PATH/<split>/<class>/*`` or, where there are no split folders, ``PATH/<class>/*``; or anywhere below
    PATH, with their classes in a table (``label``).

    In the second layout every split is drawn by name: a sample belongs to the test part if the hash of its group
    (else of its name) falls below ``test_share``; adding an image moves no other.

    The digest is over the bytes of the files, so pixels are decoded only when read; a broken image, or a file that
    cannot be read at all, raises then, and costs its chunk. What is left out of the folder is counted in the index's
    notes.

    Attributes:
        manifest: CSV file under PATH with a column ``file`` (path under PATH), read where it exists; columns of groups
            and masks are taken from it, with ``label`` also classes and ``split``.
        group: column that names the group of a sample (patient, sign, …); default: the first of ``patient_group``,
            ``patient``, ``group``, ``track`` that is there.
        mask: column that names an image under PATH, bright where the evidence is.
        test_share: share of the test part where there are no split folders.
        split_seed: seed of that draw.
        label: column of the manifest with the classes; images then lie anywhere below PATH, and those without a row
            are left out and counted.
        one_hot: instead, columns of the manifest, one a class, of which one is 1.
        id: with either, the column of the images' names: paths, file names, or these without ending; default: the one
            that is called so (``file``, ``image_id``, ...).
        order: of classes whose names are numbers: as ``"text"`` or by ``"number"``, where that differs.
    """

    endings: ClassVar[Collection[str]] = SUFFIXES
    source: ClassVar[str] = "the user's own images"
    needs_path: ClassVar[bool] = True

    manifest: str = "manifest.csv"
    group: str = ""
    mask: str = "mask"
    test_share: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = 0
    id: str = ""
    label: str = ""
    one_hot: tuple[str, ...] = ()
    order: Literal["text", "number"] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.one_hot and self.label) or len(self.one_hot) == 1:
            raise ValueError("one_hot names two or more columns, one a class, and takes the place of label")
        return self

    _listed_files: dict[str, dict[str, tuple[Path, str]]] = PrivateAttr(default_factory=dict)
    _table: Table | None = PrivateAttr(default=None)
    _manifest_rows: dict[str, Row] | None = PrivateAttr(default=None)

    def fingerprint(self, split: Split) -> str:
        """Names and stamps of the split's files (and of masks and manifest)."""
        root, rows = self._root(), self._rows()
        files = [path for path, _ in self._files(split).values()]
        files += [mask for name in self._files(split) if (mask := self._mask_file(rows, name)) is not None]
        if (root / self.manifest).is_file():
            files.append(root / self.manifest)
        known = [[printable(str(f.relative_to(root))), f.exists()] for f in files]
        return digest([known, stamps(f for f in files if f.exists()), [self._class_names(split), *self._notes(split)]])

    def sources(self, split: Split, ids: Sequence[str] | None = None) -> Sequence[Path]:
        """The images, and their masks."""
        files, rows = self._files(split), self._rows()
        names = list(files) if ids is None else [name for name in ids if name in files]
        masks = [mask for name in names if (mask := self._mask_file(rows, name)) is not None]
        return [*(files[name][0] for name in names), *masks]

    def build_index(self, split: Split) -> Index:
        """Names (paths under PATH), labels, groups, and the digest over the files' bytes.

        A file that cannot be read enters the digest as such: once it can, the digest is another one.
        """
        files, rows = self._files(split), self._rows()
        classes = self._class_names(split)
        column = self._group_column()
        groups, alone = self._groups(files, rows, column) if column else (None, "")
        have = {name: mask for name in files if (mask := self._mask_file(rows, name)) is not None}
        contents = scan(files, have if len(have) == len(files) else {})
        content = hashlib.sha256("\n".join(classes).encode())
        content.update(contents.images)
        if groups:
            content.update("\n".join(["groups", *groups]).encode())
        content.update(contents.masks)
        where = {label: i for i, label in enumerate(classes)}
        return Index(
            ids=tuple(files),
            labels=np.array([where[label] for _, label in files.values()], np.int64),
            classes=tuple(classes),
            digest=content.hexdigest(),
            groups=groups,
            masks=bool(have) and len(have) == len(files),
            notes=(*self._notes(split), *self._manifest_notes(files, have, alone), *contents.notes),
            shapes=contents.shapes,
            keep=contents.keep,
            peak=contents.peak,
        )

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Images (H, W) or (H, W, 3), upright; uint8, of grey images with more bits as stored.

        Raises:
            DataError: an image that cannot be decoded, with its path.
        """
        files = self._files(split)
        return [read_image(files[name][0]) for name in ids]

    def read_masks(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """Masks (H, W): where the mask image is above half of its range."""
        rows = self._rows()
        return [as_mask(read_image(self._mask_path(rows, name)))[0] for name in ids]

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
                + fitting(root, self.use)
            )
        return root

    def _top(self) -> Path:
        """The folder that holds split folders or class folders."""
        return self._root()

    def _files(self, split: Split) -> dict[str, tuple[Path, str]]:
        """Sample names (path under the root) to (file, class), sorted by name."""
        if split not in self._listed_files:
            with reading(f"dataset {self.use!r}", todo="correct it, or `path` and --data NAME=PATH"):
                listed = self._split_files(split)
                if not listed:
                    raise DataError(self._nothing(self._top(), split))
            self._listed_files[split] = dict(sorted(listed.items()))
        return self._listed_files[split]

    def _split_files(self, split: Split) -> dict[str, tuple[Path, str]]:
        """What :meth:`_files` sorts and keeps; empty where there is nothing."""
        if self._by_table():
            return self._labelled_files(split)
        top = self._top()
        inside = top / split
        # a split folder holds class folders, a class folder holds images
        if holds_classes(inside) or (inside.is_dir() and not images_in(inside) and class_folders(inside)):
            return _by_class(inside, self._root())
        if any(holds_classes(folder) for folder in class_folders(top)):
            return {}
        return self._drawn(_by_class(top, self._root()), split)

    def _drawn(self, files: dict[str, tuple[Path, str]], split: Split) -> dict[str, tuple[Path, str]]:
        """Those of the files that fall into the split; empty for splits other than ``train`` and ``test``."""
        if split not in ("train", "test"):
            return {}
        rows = self._rows()
        column = self._group_column()

        def part(name: str) -> str:
            unit = rows.get(plain_path(name), {}).get(column, "") or name
            return "test" if derive(self.split_seed, unit) / 2**63 < self.test_share else "train"

        return {name: file for name, file in files.items() if part(name) == split}

    def settings(self) -> dict[str, Any]:
        """See :meth:`Plugin.settings`; how a table is read only where classes are read from one."""
        settings = super().settings()
        return {key: value for key, value in settings.items() if value or key not in ("id", "label", "one_hot")}

    def _label_columns(self) -> tuple[str, ...]:
        return self.one_hot or ((self.label,) if self.label else ())

    def _table_parameters(self) -> tuple[str, str, str]:
        return self.manifest, self.id, self.mask

    def _class_names(self, split: Split) -> list[str]:
        """Names of all classes, in their order."""
        if self.one_hot:
            return list(self.one_hot)
        if self._by_table():
            return in_order(set(self._labels().values()), self.order, f"dataset {self.use!r}, {self.manifest}")
        names = {label for _, label in self._all_classes(split)}
        return in_order(names, self.order, f"dataset {self.use!r}, {self._top()}")

    def _all_classes(self, split: Split) -> list[tuple[Path, str]]:
        """One item a class: of all splits, so that a split that lacks a class still counts them alike."""
        return [(folder, printable(folder.name)) for folder in self._class_folders(split) if images_in(folder)]

    def _class_folders(self, split: Split) -> list[Path]:
        """Class folders of all splits."""
        top = self._top()
        if (top / split).is_dir() and class_folders(top / split):
            parts = [folder for folder in class_folders(top) if holds_classes(folder)]
            return [inner for part in parts for inner in class_folders(part)]
        return class_folders(top)

    def _nothing(self, root: Path, split: Split) -> str:
        inside = [folder.name for folder in class_folders(root)]
        return (
            f"dataset {self.use!r}, split {split!r}: no images in {root / split}/<class>/ nor in {root}/<class>/;"
            f" {root} holds {'the folders ' + ', '.join(inside[:6]) if inside else 'no folders'};"
            f" images end in {', '.join(sorted(SUFFIXES))}{self._other_files(root)}"
        )

    def _other_files(self, root: Path) -> str:
        """Which dataset would fit the files that lie there, or how images that lie flat get their classes."""
        tables = [path.name for path in inside(root) if path.suffix.lower() in TABLES] if root.is_dir() else []
        if tables and images_below(root):
            table = sorted(tables, key=lambda name: name != self.manifest)[0]
            todo = f'manifest = "{table}" and label = "<its column of classes>"'
            return f"; where {shown(tables)} names the classes of the images there, say {todo} in [dataset.params]"
        return fitting(root, self.use)

    # -- what must be said ----------------------------------------------------------------------------------------

    def _notes(self, split: Split) -> list[str]:
        """What lies among the images and is left out, and class folders without one."""
        if self._by_table():
            return [*self._unlabelled()]
        top = self._top()
        drawn = not holds_classes(top / split)
        folder = top if drawn else top / split
        notes = [left_out(self._root(), folder, skip={self.manifest}), other_tables(self._root(), self.manifest)]
        notes += [without_images(self._class_folders(split), self._class_names(split))]
        return [note for note in notes if note]

    def _manifest_notes(self, files: dict[str, tuple[Path, str]], have: Collection[str], alone: str) -> list[str]:
        """What the manifest and the files have without one another."""
        table = self._read_table()
        listed = "file" in table.columns and not self._by_table()
        notes = [missing_files(list(self._rows()), self._root()) if listed else "", alone]
        if not self._by_table() and table.rows and not have and not self._group_column():
            notes.append(
                f"{self.manifest}: none of its columns ({', '.join(table.columns)}) names groups or masks, so it is not"
                " used"
            )
        if have and len(have) < len(files):
            lack = [name for name in files if name not in have]
            notes.append(
                f"masks are not used: {count(len(lack), 'file')} of {len(files):,} without one in the column"
                f" {self.mask!r}: {shown(lack)}"
            )
        return [note for note in notes if note]

    # -- the manifest ---------------------------------------------------------------------------------------------

    def _rows(self) -> dict[str, Row]:
        """Rows of the manifest by file (as :func:`plain_path`); empty where there is none."""
        if self._manifest_rows is None:
            self._manifest_rows = self._read_rows(self._read_table())
        return self._manifest_rows

    def _read_table(self) -> Table:
        if self._table is None:
            known = ("file", self.group, self.mask, *GROUPS, self.id, *self._label_columns(), *self._own_columns())
            self._table = read_table(self._root() / self.manifest, [k for k in known if k], f"dataset {self.use!r}")
        return self._table

    def _own_columns(self) -> tuple[str, ...]:
        """Further columns that are looked for."""
        return ()

    def _read_rows(self, table: Table) -> dict[str, Row]:
        what = f"dataset {self.use!r}"
        if self._by_table():
            return self._labelled_rows(table, what)
        if not has_files(table, what):
            return {}
        wanted = {self.mask: "mask"} if self.mask not in table.columns else {}
        if not self._group_column(table):
            wanted |= dict.fromkeys(GROUPS, "group")
        refuse_near(table, wanted, what)
        column = self._group_column(table)
        return by_file(table, "file", [name for name in (column, self.mask, *self._own_columns()) if name], what)

    def _group_column(self, table: Table | None = None) -> str:
        table = table or self._read_table()
        if self.group and table.columns and self.group not in table.columns:
            raise DataError(
                f"dataset {self.use!r}: {table.file} has no column {self.group!r} (parameter `group`); it has"
                f" {', '.join(table.columns)}"
            )
        if self.group and not table.columns:
            raise DataError(
                f"dataset {self.use!r}: {table.file} does not exist, and group = {self.group!r} is to be read from it;"
                " write it, or remove the parameter"
            )
        return self.group or next((name for name in GROUPS if name in table.columns), "")

    def _groups(
        self, files: dict[str, tuple[Path, str]], rows: dict[str, Row], column: str
    ) -> tuple[tuple[str, ...], str]:
        """Each file's group, and what is to be said of files that have none (each is then a group of its own)."""
        lacking = [name for name in files if plain_path(name) not in rows]
        if lacking:
            raise DataError(
                f"dataset {self.use!r}: {self._root() / self.manifest} has no row for the file {lacking[0]!r}"
                f" ({count(len(lacking), 'file')} of {len(files):,} without one); add the rows"
            )
        alone = [name for name in files if not rows[plain_path(name)][column]]
        said = f"{count(len(alone), 'file')} without a group ({column}), each taken as one of its own: {shown(alone)}"
        return tuple(rows[plain_path(name)][column] or name for name in files), said if alone else ""

    def _mask_file(self, rows: dict[str, Row], name: str) -> Path | None:
        """Where the mask of a sample should lie; None where it has none."""
        given = rows.get(plain_path(name), {}).get(self.mask)
        return self._root() / given.replace("\\", "/") if given else None

    def _mask_path(self, rows: dict[str, Row], name: str) -> Path:
        path = self._mask_file(rows, name)
        if path is None or not path.is_file():
            raise DataError(f"dataset {self.use!r}: the mask {path} of {name!r} does not exist")
        return path


def _by_class(folder: Path, root: Path) -> dict[str, tuple[Path, str]]:
    return {
        printable(image.relative_to(root).as_posix()): (image, printable(inner.name))
        for inner in class_folders(folder)
        for image in images_in(inner)
    }
