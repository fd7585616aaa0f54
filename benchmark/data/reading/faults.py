"""Faults of files that a user named, as errors of ours: which exceptions they are, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import AssayError, DataError
from benchmark.files import FAULTS, Stamp, stamp, why


@contextmanager
def reading(what: str, path: Path | None = None, todo: str = "replace or remove the file") -> Iterator[None]:
    """Inside the block a fault of a file becomes a DataError that names it.

    Args:
        what: for the message, such as ``"dataset 'folder'"``.
        path: the file, where it is one; else the error says which it was.
        todo: what to do.

    Raises:
        DataError: a fault, as :data:`FAULTS` lists them.
    """
    try:
        yield
    except AssayError:
        raise
    except FAULTS as error:
        named = getattr(error, "filename", None)
        file = path or (Path(str(named)) if named else None)
        place = f"{file} cannot be read" if file is not None else "a file cannot be read"
        raise DataError(f"{what}: {place}: {why(error, file)}; {todo}") from error


def stamps(files: Iterable[Path]) -> dict[Path, Stamp | None]:
    """The stamp of each file, by which it is told from another one at the same place; None where there is none."""
    return {file: stamp(file) if file.exists() else None for file in files}
