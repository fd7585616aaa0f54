"""Weights without torch: checking their sha256, downloading them, having them made by the entry's recipe."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmark.errors import EntryError
from benchmark.models.entries import Entry

Progress = Callable[[str], None]
TIMEOUT = 30.0  # seconds without a byte


def ensure_weights(
    entry: Entry, progress: Progress | None = None, data: Mapping[str, Path] | None = None
) -> Path | None:
    """Have the weights on disk: download a URL, or run the recipe, where they are not there yet.

    Args:
        entry: the model entry.
        progress: called with one line of text now and then.
        data: where the recipe's dataset lies, by name (``--data NAME=PATH``).

    Returns:
        Path of the weights, None for an entry that has none.

    Raises:
        EntryError: the file is missing, the download fails, the sha256 differs, or the recipe raises.
        DataError: the recipe's data are missing.
    """
    path = entry.weights_path()
    if path is None or path.is_file():
        return path
    weights = entry.spec.weights
    if weights is not None and weights.url:
        download(entry, weights.url, weights.sha256, path, progress)
    elif entry.from_recipe:
        from benchmark.models.training import train_entry

        train_entry(entry, path, progress=progress, data=data)
    else:
        raise missing(entry, path)
    return path


def missing(entry: Entry, path: Path) -> EntryError:
    """The error for weights that are not where entry.toml says."""
    again = f"; `assay train {entry.name}` makes them again" if entry.spec.recipe else "; put the file there"
    return EntryError(f"entry {entry.name!r}: its weights are missing: expected the file {path}{again}")


def check_sha256(entry: Entry, path: Path, expected: str) -> None:
    """Refuse a file whose sha256 is not what entry.toml says (an empty ``expected`` is not checked).

    Raises:
        EntryError: with both digests.
    """
    if not expected:
        return
    with path.open("rb") as stream:
        got = hashlib.file_digest(stream, "sha256").hexdigest()
    if got != expected:
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
    with path.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    found = ""
    if not start:
        found = "is empty"
    elif start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        found = "is an HTML page, not a checkpoint (a download that asked for a login or a confirmation)"
    elif start.startswith(b"version https://git-lfs"):
        found = "is a Git LFS pointer, not the file itself: run `git lfs pull`"
    if found:
        raise EntryError(f"entry {entry.name!r}: the weights file {path} {found}")


def download(entry: Entry, url: str, sha256: str, path: Path, progress: Progress | None = None) -> None:
    """Download into ``path``: under a temporary name, checked, then moved in one step.

    Raises:
        EntryError: no network, an HTTP error, or another content than its sha256 says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    say = progress or (lambda _: None)
    say(f"{entry.name}: downloading {url}")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, temporary.open("wb") as stream:
            while chunk := response.read(1 << 20):
                stream.write(chunk)
        check_is_weights(entry, temporary)
        check_sha256(entry, temporary, sha256)
        temporary.replace(path)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(error, urllib.error.HTTPError):
            reason = f"{error}"
            error.close()  # it holds the connection
        raise EntryError(
            f"entry {entry.name!r}: its weights could not be downloaded from {url}: {reason};"
            f" without a network, fetch the file elsewhere and put it at {path}"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
