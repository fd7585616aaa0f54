"""Faults of files that a user named, as errors of ours: which exceptions they are, and what is said of them."""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import AssayError, DataError

FAULTS = (OSError, UnicodeError, EOFError, zipfile.BadZipFile, zlib.error, struct.error)
WHY = {
    errno.ENOENT: "it does not exist",
    errno.EACCES: "there is no permission to read it",
    errno.EPERM: "there is no permission to read it",
    errno.EISDIR: "it is a folder, expected a file",
    errno.ENOTDIR: "part of its path is a file, expected a folder",
    errno.ELOOP: "its links lead round in a circle",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ESTALE: "the network disk no longer knows it",
    errno.EIO: "the disk failed",
}
Stamp = tuple[int, int, int, int] | None


def why(error: BaseException, path: Path | None = None) -> str:
    """What is wrong with a file, in words; a link that leads nowhere is said as such."""
    if path is not None and path.is_symlink() and not path.exists():
        return f"it is a link to {path.readlink()}, which does not exist"
    if isinstance(error, OSError) and error.errno in WHY:
        return WHY[error.errno]
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


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


def stamps(files: Iterable[Path]) -> dict[Path, Stamp]:
    """What tells a file from another one at the same place: inode, size, times of content and of change; None where
    there is none."""
    found: dict[Path, Stamp] = {}
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            found[file] = None
            continue
        found[file] = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return found
