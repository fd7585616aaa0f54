"""What a stranger's code raises, as an EntryError that names the entry, the type, the last line and the place."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import AssayError, EntryError
from benchmark.models.entries import Entry


@contextmanager
def entry_errors(entry: Entry, doing: str) -> Iterator[None]:
    """Turn whatever a stranger's code raises into an EntryError that names its type, last line and place."""
    try:
        yield
    except AssayError:
        raise
    except (Exception, SystemExit) as error:
        raise EntryError(f"entry {entry.name!r}: {doing} raised {last_line(error)}{place(entry, error)}") from error


@contextmanager
def missing_package(entry: Entry, module: str) -> Iterator[None]:
    """Say which package to install where an import does not find one."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = error.name or module
        if name.startswith("_assay_entry_"):
            raise EntryError(f"entry {entry.name!r}: no {name.partition('.')[2]}.py in {entry.folder}") from error
        top = name.split(".", maxsplit=1)[0]
        known = importlib.util.find_spec(top) is not None if top != name else False
        todo = f"{top} has no such module: check the spelling, or its version" if known else f"`pip install {top}`"
        raise EntryError(f"entry {entry.name!r}: needs the module {name!r}, which is not installed; {todo}") from error


def last_line(error: BaseException) -> str:
    """Exception type and the last line of its message."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[-1]}" if text else type(error).__name__


def place(entry: Entry, error: BaseException) -> str:
    """Where in the entry's own folder it was raised, such as ``" (model.py, line 12)"``."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_relative_to(entry.folder):
            return f" ({file.relative_to(entry.folder).as_posix()}, line {frame.lineno})"
    return ""
