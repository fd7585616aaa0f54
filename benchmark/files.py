"""Files by what they hold: content digests and indexes that are remembered, and never for another content.

Name, size and time of change do not identify a file: archives, ``cp -p`` and git checkouts write another content under
the same three. What is remembered is filed under a file's *stamp* (resolved path, device, inode, size, mtime and ctime
in nanoseconds), under this machine and this user; a file of the cache that somebody else owns is not read. The ctime
is the kernel's: no program can set it back.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import AssayError, DataError

GRAIN = 0.02  # seconds; a kernel may give two changes within one tick (at most 10 ms) the same ctime
SMALL = 1 << 16  # bytes; hashing these is cheaper than looking them up

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

Stamp = tuple[str, int, int, int, int, int]


def cache_folder() -> Path:
    """The user's cache folder: ``$ASSAY_CACHE``, else ``$XDG_CACHE_HOME/assay``, else ``~/.cache/assay``."""
    if own := os.environ.get("ASSAY_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assay"


def stamps(files: Iterable[Path]) -> list[Stamp]:
    """Resolved path, device, inode, size, mtime_ns and ctime_ns of each file; links are followed.

    A file that changed within the last tick of the kernel's clock is waited for: its next change has another ctime.

    Raises:
        DataError: a file that is not there, is a dangling link, or may not be looked at.
    """
    folders: dict[Path, str] = {}
    items = []
    for file in files:
        if file.parent not in folders:
            folders[file.parent] = os.path.realpath(file.parent)
        with reading(file):
            stat = file.stat()
        left = GRAIN - (time.time() - stat.st_ctime_ns / 1e9)
        if 0 < left <= GRAIN:
            time.sleep(left)
        place = os.path.realpath(file) if file.is_symlink() else os.path.join(folders[file.parent], file.name)  # noqa: PTH118
        items.append((place, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return items


def stamp(file: Path) -> Stamp:
    """The one file's; see :func:`stamps`."""
    return stamps([file])[0]


def file_sha256(file: Path) -> str:
    """sha256 (hex) of a file's content, remembered under its stamp.

    Raises:
        DataError: it cannot be read, or changed while it was read.
    """
    before = stamp(file)
    if before[3] < SMALL:
        if _rehash is not None:
            _rehash.checked.add(str(file))
        return _sha256(file, before)
    return str(remembered("sha256", before, str(file), lambda: {"sha256": _sha256(file, before)})["sha256"])


def _sha256(file: Path, before: Stamp) -> str:
    with reading(file), file.open("rb") as stream:
        value = hashlib.file_digest(stream, "sha256").hexdigest()
    unchanged([before], [stamp(file)])
    return value


def unchanged(before: Iterable[Stamp], after: Iterable[Stamp]) -> None:
    """Refuse files that changed between two looks.

    Raises:
        DataError: naming the first that did.
    """
    for first, second in zip(before, after, strict=True):
        if first != second:
            raise DataError(f"{first[0]} changed while it was read; wait until nothing writes to it, then run again")


@contextmanager
def reading(file: Path | str, error: type[AssayError] = DataError, todo: str = "") -> Iterator[None]:
    """Turn what reading a file may raise into the project's own error, which names the file and what to do.

    Args:
        file: for the message.
        error: class of the error.
        todo: what to do, where that is not plain from what happened.

    Raises:
        AssayError: of the class ``error``, for OSError, UnicodeError, EOFError and ValueError inside the block.
    """
    try:
        yield
    except UnicodeError as fault:
        do = todo or "save it as UTF-8 (a byte-order mark is fine)"
        raise error(f"{file} is not text in UTF-8: {fault}; {do}") from fault
    except (*FAULTS, ValueError) as fault:
        do = todo or ("correct the path" if isinstance(fault, OSError) else "replace or remove it")
        raise error(f"{file} cannot be read: {why(fault, Path(file))}; {do}") from fault


def why(error: BaseException, path: Path | None = None) -> str:
    """What is wrong with a file, in words; a link that leads nowhere is said as such."""
    if path is not None and path.is_symlink() and not path.exists():
        return f"it is a link to {path.readlink()}, which does not exist"
    if isinstance(error, OSError) and error.errno in WHY:
        return WHY[error.errno]
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


# -- what is remembered ---------------------------------------------------------------------------------------------


@dataclass
class Rehash:
    """What computing everything anew found.

    Attributes:
        checked: labels of what was computed anew.
        differing: those of which another content had been remembered under the same stamp.
    """

    checked: set[str] = field(default_factory=set)
    differing: list[str] = field(default_factory=list)
    _known: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What to say of it: one line, and one for everything that differs."""
        count = f"content digests computed anew: {len(self.checked)}"
        if not self.differing:
            return [f"{count}; none differs from what was remembered"]
        return [f"{count}; {len(self.differing)} of them differ from what was remembered", *self.differing]


_rehash: Rehash | None = None


@contextmanager
def rehashing() -> Iterator[Rehash]:
    """Inside the block nothing that is remembered is believed: all is computed anew, once, and compared."""
    global _rehash
    before, _rehash = _rehash, Rehash()
    try:
        yield _rehash
    finally:
        _rehash = before


def remembered(
    kind: str,
    key: object,
    label: str,
    make: Callable[[], dict[str, Any]],
    keep: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> dict[str, Any]:
    """What ``make`` returns, from the cache folder where this user on this machine has made it for that key before.

    Args:
        kind: folder in the cache.
        key: JSON-able; must hold the stamps of everything that was looked at.
        label: what it is of, for :func:`rehashing`.
        make: returns something JSON-able; called where nothing is remembered, or nothing believed.
        keep: whether what was made may be remembered.
    """
    file = _file_of(kind, key)
    old = _recalled(file)
    if _rehash is None and old is not None:
        return old
    if _rehash is not None and file in _rehash._known:
        return _rehash._known[file]
    value = make()
    if _rehash is not None:
        _rehash._known[file] = value
        _rehash.checked.add(label)
        if old is not None and old != json.loads(json.dumps(value)):
            _rehash.differing.append(f"{label}: not what was remembered of it under the same name, size and times")
    if keep(value):
        _remember(file, value)
    return value


def recall(kind: str, key: object) -> dict[str, Any] | None:
    """What this user on this machine has remembered under a key; None where there is nothing."""
    return _recalled(_file_of(kind, key))


def remember(kind: str, key: object, value: dict[str, Any]) -> None:
    """Remember something JSON-able under a key, in place of what was there; where that fails, nothing is."""
    _remember(_file_of(kind, key), value)


def _file_of(kind: str, key: object) -> Path:
    name = json.dumps([platform.node(), os.getuid(), key], sort_keys=True)
    return cache_folder() / kind / f"{hashlib.sha256(name.encode()).hexdigest()}.json"


def _recalled(file: Path) -> dict[str, Any] | None:
    """What a file of the cache holds; None where it is damaged, not there, or another user's."""
    try:
        with file.open("rb") as stream:
            if os.fstat(stream.fileno()).st_uid != os.getuid():
                return None
            value = json.loads(stream.read())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _remember(file: Path, value: dict[str, Any]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{platform.node()}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(value))
        temporary.replace(file)
    except OSError:
        pass  # a cache that cannot be written only costs time
