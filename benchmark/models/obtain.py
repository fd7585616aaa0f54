"""Having an entry's weights on disk: downloaded, or made by its recipe."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from benchmark.models.entries import Entry
from benchmark.models.places import address
from benchmark.models.weights import Progress, download, missing


def ensure_weights(
    entry: Entry, progress: Progress | None = None, data: Mapping[str, Path] | None = None
) -> Path | None:
    """Have the weights on disk: download them (``url``, ``hub``), or run the recipe, where they are not there yet.

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
    url = address(weights) if weights is not None else ""
    if not url and not entry.from_recipe:
        raise missing(entry, path)
    try:
        if weights is not None and url:
            download(entry, url, weights.sha256 or weights.sha256_start, path, progress)
        else:
            from benchmark.models.training import train_entry  # torch, and only to train

            train_entry(entry, path, progress=progress, data=data)
    except Exception as error:
        _note(path, f"{'download' if url else 'training'} failed: {error}")
        raise
    _note(path, "")
    return path


def _note(path: Path, text: str) -> None:
    """Leave beside where weights should lie why they do not; an empty text takes it away."""
    note = path.with_name(f"{path.name}.failed")
    with contextlib.suppress(OSError):
        if text:
            path.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(text, encoding="utf-8")
        else:
            note.unlink(missing_ok=True)
