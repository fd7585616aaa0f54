"""Images whose classes stand in a table: which file each row means, and which class it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.data.reading.labels import whole_texts
from benchmark.data.reading.left_out import inside, shown
from benchmark.data.reading.manifest import FILE_WORDS, Row, Table, plain_path
from benchmark.data.reading.pictures import SUFFIXES
from benchmark.errors import DataError, printable


def images_below(root: Path) -> dict[str, Path]:
    """Every image below a folder, at any depth and without debris, by its path from there."""
    found: dict[str, Path] = {}
    for path in inside(root):
        if path.is_dir():
            found |= {f"{printable(path.name)}/{name}": image for name, image in images_below(path).items()}
        elif path.suffix.lower() in SUFFIXES:
            found[printable(path.name)] = path
    return found


def name_column(table: Table, asked: str, what: str) -> str:
    """The column of images' names: the one that was asked for, else the only one that is called so.

    Raises:
        DataError: there is none, or several may be meant.
    """
    if asked:
        if asked not in table.columns:
            raise DataError(
                f"{what}: {table.file} has no column {asked!r} (parameter `id`), it has {', '.join(table.columns)}"
            )
        return asked
    if "file" in table.columns:
        return "file"
    near = [name for name in table.columns if name.casefold() in FILE_WORDS]
    if len(near) == 1:
        return near[0]
    raise DataError(
        f"{what}: which column of {table.file} names the images is not clear ({', '.join(near or table.columns)}): say"
        f' id = "{(near or table.columns)[0]}" in [dataset.params]'
    )


def rows_by_image(
    table: Table, column: str, images: Mapping[str, Path], used: Sequence[str], what: str
) -> tuple[dict[str, Row], list[str]]:
    """Rows by the path of the image that each means, and names of which there is no image.

    A name may be the path, the file's name, or that without its ending (``ISIC_0024306``).

    Args:
        table: the manifest.
        column: of the names.
        images: path to file, as :func:`images_below` gives them.
        used: columns in which two rows of one image must agree.
        what: for messages.

    Raises:
        DataError: an empty name, a name that several files have, or two rows of one image that differ.
    """
    ways: dict[str, list[str]] = {}
    for name in images:
        path = Path(name)
        for way in {name, path.with_suffix("").as_posix(), path.name, path.stem}:
            ways.setdefault(plain_path(way), []).append(name)
    rows: dict[str, Row] = {}
    absent: list[str] = []
    for row, line in zip(table.rows, table.lines, strict=True):
        where = f"{what}: {table.file}, line {line}"
        given = plain_path(row[column])
        meant = ways.get(given, [])
        if not given:
            raise DataError(f"{where}: no value in the column {column!r}; correct the line")
        if given in images:
            meant = [given]
        if len(meant) > 1:
            raise DataError(f"{where}: {given!r} may be {shown(sorted(meant))}; write the path below the folder")
        if not meant:
            absent.append(given)
            continue
        if any(rows.get(meant[0], row).get(key) != row.get(key) for key in used):
            raise DataError(f"{where}: a second row for {meant[0]!r} says something else; keep one of them")
        rows.setdefault(meant[0], row)
    if not rows and absent:
        raise DataError(
            f"{what}: none of the {len(absent):,} names in the column {column!r} of {table.file} is an image below its"
            f" folder (the first is {absent[0]!r}; images there: {shown(sorted(images)) or 'none'}); correct `path`, or"
            " the parameter `id`"
        )
    return rows, absent


def classes_of(rows: Mapping[str, Row], columns: Sequence[str], what: str) -> dict[str, str]:
    """The class of each image: the value of one column; of several the name of the one that is 1.

    Args:
        rows: image to its row.
        columns: one column of names or numbers, or a column a class (ISIC, one-hot).
        what: for messages.

    Raises:
        DataError: a row without a class, or with several.
    """
    if len(columns) == 1:
        texts = whole_texts([row[columns[0]] for row in rows.values()], list(rows), f"{what}, column {columns[0]!r}")
        return dict(zip(rows, texts, strict=True))
    found = {}
    for name, row in rows.items():
        chosen = [column for column in columns if _is_one(row[column], f"{what}, {name}, column {column!r}")]
        if len(chosen) != 1:
            raise DataError(
                f"{what}: {name} has {len(chosen)} classes ({shown(chosen) or 'none'}) in the columns"
                f" {', '.join(columns)}, expected a 1 in one of them; correct the row"
            )
        found[name] = chosen[0]
    return found


def _is_one(text: str, where: str) -> bool:
    if text.casefold() in ("1", "1.0", "true"):
        return True
    if text.casefold() in ("", "0", "0.0", "false"):
        return False
    raise DataError(f"{where}: expected 0 or 1, got {text!r}; name one column of class names in `label`, or correct it")
