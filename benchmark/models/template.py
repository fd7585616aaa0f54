"""What `assay new` writes: an entry that runs at once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmark.errors import EntryError, SpecError, UsageError
from benchmark.models.build import build_model
from benchmark.models.entries import Entry, read_entry
from benchmark.models.faults import last_line
from benchmark.models.kinds import Draft, networks_of
from benchmark.registry import canonical
from benchmark.spec.entry import check_name


def create(draft: Draft, into: Path) -> Entry:
    """Write the entry's folder and build its network once on zeros; what does not run is not left behind.

    Raises:
        UsageError: the name is none, or the folder exists; an unknown task.
        EntryError: the factory cannot be imported or called, or its output does not fit ``classes``.
    """
    try:
        check_name(draft.name)
    except ValueError as error:
        raise UsageError(f"entry {draft.name!r}: {error}") from None
    folder = (into / draft.name).expanduser()
    if folder.exists():
        raise UsageError(f"{folder} exists already: choose another name, or remove it first")
    problem: EntryError | None = None
    for kwargs in networks_of(draft.task).trials(draft):
        try:
            return attempt(draft, kwargs, folder)
        except EntryError as error:
            problem = problem if problem and "unexpected keyword" not in str(problem) else error
    raise problem or EntryError(f"entry {draft.name!r}: could not be built")


def attempt(draft: Draft, kwargs: Mapping[str, Any], folder: Path) -> Entry:
    """Write the folder with these kwargs and try it; removes it where it does not run."""
    folder.mkdir(parents=True)
    try:
        networks_of(draft.task).write(draft, kwargs, folder)
        entry = read_entry(folder)
        probe(entry, draft)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return entry


def probe(entry: Entry, draft: Draft) -> None:
    """Build the network and call it once.

    Raises:
        EntryError: it raises, or gives another number of outputs.
    """
    model, networks = build_model(entry), networks_of(draft.task)
    try:
        with torch.no_grad():
            output = model(networks.example(entry.spec, 2))
    except Exception as error:
        raise EntryError(
            f"entry {entry.name!r}: the network raised {last_line(error)} on inputs of {list(draft.input_shape)};"
            " give the shape it takes with --input-shape"
        ) from error
    if reason := networks.unfit(draft, output):
        raise EntryError(f"entry {entry.name!r}: {reason}")


def bare(key: str) -> str:
    """A key as TOML writes it, quoted only where it must be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def toml(value: object) -> str:
    """A value as TOML (inline).

    Raises:
        SpecError: None or another value that TOML does not know.
    """
    if isinstance(value, Mapping):
        inside = ", ".join(f"{bare(str(key))} = {toml(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, str | bool | int | float):
        return canonical(value)
    raise SpecError(f"{value!r} cannot be written in entry.toml")
