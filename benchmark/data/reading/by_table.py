"""A folder whose images have their classes in a table: HAM10000, ISIC, Kaggle's sets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

from pydantic import PrivateAttr

from benchmark.data.base import Dataset, Split
from benchmark.data.reading.labelled import classes_of, images_below, name_column, rows_by_image
from benchmark.data.reading.left_out import count, shown
from benchmark.data.reading.manifest import Row, Table, plain_path
from benchmark.errors import DataError


class ByTable(Dataset):
    """What a folder adds for that; it says where its table is, how its rows are read, and how a split is drawn."""

    _below: dict[str, Path] | None = PrivateAttr(default=None)
    _absent: list[str] = PrivateAttr(default_factory=list)

    @abstractmethod
    def _label_columns(self) -> tuple[str, ...]:
        """One column of classes, or a column a class; none where folders are classes."""

    @abstractmethod
    def _table_parameters(self) -> tuple[str, str, str]:
        """Name of the table, the column of names where one is asked for, the column of masks."""

    @abstractmethod
    def _root(self) -> Path: ...

    @abstractmethod
    def _read_table(self) -> Table: ...

    @abstractmethod
    def _rows(self) -> dict[str, Row]: ...

    @abstractmethod
    def _group_column(self, table: Table | None = None) -> str: ...

    @abstractmethod
    def _drawn(self, files: dict[str, tuple[Path, str]], split: Split) -> dict[str, tuple[Path, str]]: ...

    def _by_table(self) -> bool:
        """Classes stand in the manifest."""
        return bool(self._label_columns())

    def _images(self) -> dict[str, Path]:
        """Every image below the folder, by its path, where classes stand in the manifest; masks are none."""
        if self._below is None:
            _, _, mask = self._table_parameters()
            masks = {plain_path(row[mask]) for row in self._read_table().rows if row.get(mask)}
            self._below = {n: path for n, path in images_below(self._root()).items() if plain_path(n) not in masks}
        return self._below

    def _labels(self) -> dict[str, str]:
        """The class of each image that has a row."""
        return classes_of(self._rows(), self._label_columns(), f"dataset {self.use!r}, {self._table_parameters()[0]}")

    def _labelled_files(self, split: Split) -> dict[str, tuple[Path, str]]:
        images = self._images()
        files = {name: (images[name], label) for name, label in self._labels().items()}
        if "split" in self._read_table().columns:
            return {name: file for name, file in files.items() if self._rows()[name]["split"] == split}
        return self._drawn(files, split)

    def _unlabelled(self) -> Iterator[str]:
        """Images without a row, rows without an image."""
        manifest, _, _ = self._table_parameters()
        without = sorted(set(self._images()) - set(self._rows()))
        if without:
            yield f"left out: {count(len(without), 'image')} without a row in {manifest}: {shown(without)}"
        if self._absent:
            many = f"{count(len(self._absent), 'row')} of {manifest}"
            yield f"left out: {many} without an image: {shown(self._absent)}"

    def _labelled_rows(self, table: Table, what: str) -> dict[str, Row]:
        """Rows by image where classes stand in the manifest.

        Raises:
            DataError: no manifest, or a column that it does not have.
        """
        if not table.columns:
            raise DataError(
                f"{what}: {table.file} does not exist or is empty, and {', '.join(self._label_columns())} is to be"
                " read from it; name the table with the parameter `manifest`"
            )
        labels, (_, column, mask) = self._label_columns(), self._table_parameters()
        for name in labels:
            if name not in table.columns:
                raise DataError(
                    f"{what}: {table.file} has no column {name!r} (`label` or `one_hot`), it has"
                    f" {', '.join(table.columns)}"
                )
        used = [*labels, self._group_column(table), mask, "split"]
        rows, self._absent = rows_by_image(table, name_column(table, column, what), self._images(), used, what)
        return rows
