"""Tables that people write by hand or by spreadsheet: delimiter, encoding and columns are found, faults are named."""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.data._faults import reading
from benchmark.data._left_out import shown
from benchmark.errors import DataError

DELIMITERS = (",", ";", "\t", "|")
ENDINGS = ("path", "file", "filename", "id", "name", "index", "idx", "number", "no", "column")
FILE_WORDS = frozenset(
    {"files", "filename", "file_name", "filepath", "file_path", "path", "image", "images", "img", "image_path",
     "img_path", "name", "image_name", "image_id", "id"}
)  # fmt: skip
Row = dict[str, str]


@dataclass(frozen=True)
class Table:
    """Rows of a manifest.

    Attributes:
        file: where it lies.
        columns: names of its columns.
        rows: the rows, every one with every column.
        lines: the line of the file that each row ends on.
    """

    file: Path
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    lines: tuple[int, ...] = ()


def read_table(file: Path, known: Sequence[str], what: str) -> Table:
    """A manifest: UTF-8 or UTF-16, with or without byte-order mark; comma, semicolon, tab or bar; any line ends.

    The delimiter is the one by which the first line has the most of the known columns, then the most columns.

    Args:
        file: CSV file; an empty table where it does not exist.
        known: names of columns that are looked for.
        what: for messages, such as ``"dataset 'folder'"``.

    Raises:
        DataError: it cannot be read, has a row that is longer or shorter than its first, or a column twice.
    """
    if not file.is_file() and not file.is_symlink() and not file.is_dir():
        return Table(file)
    with reading(what, file, "correct or remove it"):
        data = file.read_bytes()
    text = _decoded(data, file, what)
    delimiter = _delimiter(text, known)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: tuple[str, ...] = ()
    rows: list[Row] = []
    lines: list[int] = []
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue  # an empty line, or a spreadsheet's row of delimiters alone
            if not columns:
                columns = _columns(fields, file, what)
                continue
            if len(fields) != len(columns):
                raise DataError(
                    f"{what}: {file}, line {reader.line_num}: {len(fields)} values, expected {len(columns)}"
                    f" ({', '.join(columns)}, parted by {delimiter!r}); correct the line, or put the value in quotes"
                )
            rows.append({name: value.strip() for name, value in zip(columns, fields, strict=True)})
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(
            f"{what}: {file}, line {reader.line_num} cannot be read as CSV: {error}; correct its quotes"
        ) from error
    return Table(file, columns, tuple(rows), tuple(lines))


def _decoded(data: bytes, file: Path, what: str) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{what}: {file}, line {line}: byte {data[error.start]:#04x} is no {encoding[:6].upper().rstrip('-')};"
            " save the file as UTF-8"
        ) from error
    if "\0" in text:
        raise DataError(f"{what}: {file} holds zero bytes, so it is no text; save it as CSV in UTF-8")
    return text


def _delimiter(text: str, known: Sequence[str]) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")

    def matches(delimiter: str) -> tuple[int, int]:
        try:
            fields = [field.strip() for field in next(csv.reader([first], delimiter=delimiter), [])]
        except csv.Error:
            return 0, 0
        return sum(field in known for field in fields), len(fields)

    return max(DELIMITERS, key=matches)  # the first of equals: a comma


def _columns(fields: Sequence[str], file: Path, what: str) -> tuple[str, ...]:
    columns = tuple(field.strip() for field in fields)
    twice = sorted({name for name in columns if columns.count(name) > 1 and name})
    if twice:
        raise DataError(f"{what}: {file} has two columns {twice[0]!r}; name each differently")
    return tuple(name or f"(column {i + 1})" for i, name in enumerate(columns))


def has_files(table: Table, what: str) -> bool:
    """Whether there is a manifest; False where the file does not exist.

    Raises:
        DataError: it is empty, or has no column ``file``.
    """
    if not table.columns:
        if table.file.is_file():
            raise DataError(f"{what}: {table.file} is empty; write a column 'file' into it, or remove it")
        return False
    if "file" not in table.columns:
        near = [name for name in table.columns if name.casefold() in FILE_WORDS]
        todo = f"rename {near[0]!r} to 'file'" if near else "name the column of paths so, or remove the manifest"
        raise DataError(f"{what}: {table.file} has no column 'file', it has {', '.join(table.columns)}; {todo}")
    return True


def near_columns(columns: Sequence[str], wanted: Collection[str]) -> dict[str, str]:
    """Columns that look like a wanted one under another spelling, and which: ``{"Patient_ID": "patient"}``."""
    near = {}
    for column in columns:
        if column in wanted:
            continue
        plain = re.sub(r"[^a-z0-9]+", "_", column.casefold()).strip("_")
        for name in wanted:
            stem = name.casefold()
            endings = {stem, f"{stem}s", *(f"{stem}{gap}{end}" for end in ENDINGS for gap in ("_", ""))}
            typo = len(plain) > 3 and difflib.SequenceMatcher(None, plain, stem).ratio() >= 0.85
            if plain in endings or typo:
                near[column] = name
                break
    return near


def refuse_near(table: Table, wanted: Mapping[str, str], what: str) -> None:
    """Refuse a table in which a column that would be used stands under another spelling: it would be passed over.

    Args:
        table: the manifest.
        wanted: columns that are looked for and not there, each with the parameter that names another one.
        what: for messages.

    Raises:
        DataError: naming the column, and what to do.
    """
    near = near_columns(table.columns, wanted)
    for column, name in near.items():
        parameter = wanted[name]
        todo = f'say {parameter} = "{column}" in [dataset.params], or' if parameter else ""
        raise DataError(
            f"{what}: {table.file} has a column {column!r} but no {name!r}: {todo} rename the column"
            f" ({name!r} if it is meant, else a name that is unlike it)"
        )


def plain_path(name: str) -> str:
    """A path as manifests may write it, for comparison: forward slashes, no ``./`` in front, composed characters."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/").removeprefix("./"))


def by_file(table: Table, column: str, used: Sequence[str], what: str) -> dict[str, Row]:
    """Rows by the (plain) path in a column.

    Args:
        table: the manifest.
        column: the column of paths.
        used: columns that are read: two rows of one file must agree in them.
        what: for messages.

    Raises:
        DataError: a row without a path, or two rows of one file that say different things.
    """
    rows: dict[str, Row] = {}
    for row, line in zip(table.rows, table.lines, strict=True):
        name = plain_path(row[column])
        if not name:
            raise DataError(f"{what}: {table.file}, line {line}: no value in the column {column!r}; correct the line")
        if name in rows and any(rows[name].get(key) != row.get(key) for key in used):
            raise DataError(
                f"{what}: {table.file}, line {line}: a second row for {name!r} says something else; keep one of them"
            )
        rows.setdefault(name, row)
    return rows


def missing_files(names: Sequence[str], root: Path) -> str:
    """What is to be said of rows whose file is not there; empty where all are."""
    gone = [name for name in names if not (root / name).exists()]
    if not gone:
        return ""
    rows = "1 row" if len(gone) == 1 else f"{len(gone):,} rows"
    return f"{rows} of the manifest (of {len(names):,}) without a file: {shown(gone)}"
