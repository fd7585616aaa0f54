"""Weights without torch: checking their sha256, downloading them."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from benchmark.errors import EntryError
from benchmark.files import reading
from benchmark.models.entries import Entry
from benchmark.models.places import how_to_get
from benchmark.spec.network import Weights

Progress = Callable[[str], None]
TIMEOUT = 30.0  # seconds without a byte
TRIES = 3  # in a row, without a byte more
PAUSE = 1.0  # seconds before the second of them, twice that before the third


def missing(entry: Entry, path: Path) -> EntryError:
    """The error for weights that are not where entry.toml says: why their download or training failed, where it did."""
    with contextlib.suppress(OSError, UnicodeError):
        return EntryError(path.with_name(f"{path.name}.failed").read_text(encoding="utf-8"))
    weights = entry.spec.weights
    todo = how_to_get(weights, entry.folder) if weights is not None else "put the file there"
    again = f"; `assay train {entry.name}` makes them again" if entry.spec.recipe else f"; {todo}"
    fault = f"{path} is a folder, expected a file" if path.is_dir() else f"expected the file {path}"
    if path.is_symlink() and not path.exists():
        fault = f"{path} is a link to {path.readlink()}, which does not exist"
    return EntryError(f"entry {entry.name!r}: its weights are missing: {fault}{again}")


def check_sha256(entry: Entry, path: Path, expected: str) -> None:
    """Refuse a file whose sha256 does not begin with what entry.toml says (an empty ``expected`` is not checked).

    Raises:
        EntryError: with both digests.
    """
    if not expected:
        return
    with reading(path, EntryError), path.open("rb") as stream:
        got = hashlib.file_digest(stream, "sha256").hexdigest()
    if not got.startswith(expected):
        raise EntryError(
            f"entry {entry.name!r}: refused: the sha256 of {path} is\n  {got}, entry.toml expects\n  {expected};"
            " get the right file, or correct sha256 under [weights] if you trust this one"
        )


def check_is_weights(entry: Entry, path: Path) -> None:
    """Refuse what is plainly no checkpoint: a missing or empty file, an HTML page, a Git LFS pointer.

    Raises:
        EntryError: saying what the file is.
    """
    if not path.is_file():
        raise missing(entry, path)
    with reading(path, EntryError), path.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    fault = ""
    if not start:
        fault = "is empty"
    elif start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        fault = "is an HTML page, not a checkpoint (a download that asked for a login or a confirmation)"
    elif start.startswith(b"version https://git-lfs"):
        fault = "is a Git LFS pointer, not the file itself: run `git lfs pull`"
    if fault:
        raise EntryError(f"entry {entry.name!r}: the weights file {path} {fault}")


def download(entry: Entry, url: str, sha256: str, path: Path, progress: Progress | None = None) -> None:
    """Download into ``path``: under a temporary name, checked, then moved in one step.

    An answer that is cut off is asked for again from where it ended; after three tries in a row without a byte more it
    is given up, and what came is kept for the next time.

    Raises:
        EntryError: no network, an HTTP error, a cut-off answer, or another content than its sha256 says.
    """
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):  # of two runs the second finds what the first has fetched
        if not path.is_file():
            _download(entry, url, sha256, path, progress or (lambda _: None))


def _download(entry: Entry, url: str, sha256: str, path: Path, say: Progress) -> None:
    partial = path.with_name(f"{path.name}.part")
    say(f"{entry.name}: downloading {url}")
    tries, reason = 0, ""
    while tries < TRIES:
        before = partial.stat().st_size if partial.is_file() else 0
        try:
            reason = _fetch(url, partial)
        except OSError as error:
            reason = _refused(error)
        if not reason:
            break
        came = partial.stat().st_size if partial.is_file() else 0
        tries = 1 if came > before else tries + 1
        if "HTTP Error 4" in reason:  # the server will say the same again
            break
        say(f"{entry.name}: {reason}; {came:,} bytes so far")
        time.sleep(PAUSE * (tries - 1))
    if reason:
        came = partial.stat().st_size if partial.is_file() else 0
        raise EntryError(
            f"entry {entry.name!r}: its weights could not be downloaded from {url}: {reason} ({came:,} bytes came);"
            f" {how_to_get(entry.spec.weights or Weights(), entry.folder)}"
        )
    try:
        check_is_weights(entry, partial)
        check_sha256(entry, partial, sha256)
    except EntryError as error:
        size = partial.stat().st_size
        partial.unlink(missing_ok=True)
        raise EntryError(f"{error} (downloaded from {url}, {size:,} bytes)") from None
    partial.replace(path)


def _fetch(url: str, partial: Path) -> str:
    """Append to a file what it lacks; returns why it is not whole, empty where it is.

    Raises:
        OSError: no connection, or an answer that is an error.
    """
    have = partial.stat().st_size if partial.is_file() else 0
    try:
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        if have and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            partial.unlink()  # it is whole, or another file's: begin again
            return "the file on the server is not longer than what came"
        raise
    except (ValueError, http.client.InvalidURL) as error:
        raise EntryError(f"the url {url!r} of its weights is none: {error}; correct it under [weights]") from error
    except http.client.HTTPException as error:
        return f"the answer is no HTTP ({type(error).__name__})"
    with response:
        resumed = getattr(response, "status", None) == HTTPStatus.PARTIAL_CONTENT
        length = response.headers.get("Content-Length")
        expected = (have if resumed else 0) + int(length) if length and length.isdecimal() else None
        try:
            with partial.open("ab" if resumed else "wb") as stream:
                while chunk := response.read(1 << 20):
                    stream.write(chunk)
        except http.client.HTTPException as error:
            return f"the answer was cut off ({type(error).__name__})"
    size = partial.stat().st_size
    if expected is not None and size < expected:
        return f"the answer was cut off after {size:,} of {expected:,} bytes"
    return ""


def _refused(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(error if isinstance(error, urllib.error.HTTPError) or not reason else reason)
