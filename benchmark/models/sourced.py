"""What ``assay new --from SOURCE:NAME`` writes: an entry whose facts are the source's, as plain values."""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmark.data.reading.classes import NAMED, class_indices, class_list
from benchmark.errors import AssayError, DataError, EntryError, UnknownNameError, UsageError
from benchmark.models.build import build_model, build_network, wrap
from benchmark.models.entries import ENTRY_FILE, Entry, read_entry
from benchmark.models.faults import last_line
from benchmark.models.kinds import networks_of
from benchmark.models.places import how_to_get
from benchmark.models.sources.base import Found, sources
from benchmark.models.template import toml
from benchmark.spec.entry import check_name

WIDTH = 116  # characters of a line of class names
HEAD = "# Made by `assay new --from`; every value below is the source's and may be changed.\n"
CROP = "# crop: share of the short side that the source keeps in its own evaluation; the dataset crops, not the model\n"
UNTRAINED = """
# UNTRAINED: there are no weights, so the network is the factory's, its random numbers seeded (the same everywhere).
"""


@dataclass(frozen=True)
class Made:
    """An entry from a source.

    Attributes:
        entry: as it was written.
        found: what the source said.
        missing: where its weights are expected and how to get them; empty where they are here, or it has none.
    """

    entry: Entry
    found: Found
    missing: str = ""


def is_source(reference: str) -> bool:
    """``--from`` names a network of a source, not an importable factory (``timm:create_model``).

    Raises:
        UsageError: neither, and nearly a source's name; or a source without a network.
    """
    prefix, colon, rest = reference.partition(":")
    known = sources.classes().get(prefix)
    meant = difflib.get_close_matches(prefix, sources.classes(), 1, cutoff=0.75)
    if colon and known is None and meant and importlib.util.find_spec(prefix.partition(".")[0]) is None:
        raise UnknownNameError("source", prefix, sources.classes(), "`assay list sources`; nor is it a module here")
    if known is not None and colon and not rest:
        raise UsageError(f"--from {reference}: expected {prefix}:{known.form}")
    return bool(colon and known is not None and rest not in known.factories)


def find(reference: str) -> Found:
    """What the source says of a network.

    Raises:
        UsageError: the source's library is not installed, or there is no such network.
        EntryError: what decides its architecture is not here.
    """
    prefix, _, name = reference.partition(":")
    source = sources.make(prefix).check_installed(f"--from {reference}")
    return source.find(name)


def create_from(
    reference: str, name: str, into: Path, *, kwargs: Mapping[str, Any], dataset: str = "", untrained: bool = False
) -> Made:
    """Write an entry of a source's network and try its architecture; one that does not run is not left behind.

    Args:
        reference: such as ``"timm:resnet50"``.
        name: the entry's.
        into: folder in which the entry's folder is made.
        kwargs: of the factory, beside the source's.
        dataset: instead of the source's.
        untrained: without weights, which is said in the entry.

    Raises:
        UsageError: the name is none, or the folder exists; see :func:`find`.
        EntryError: the network cannot be built, or its outputs are not as many as its classes.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(f"entry {name!r}: {error}") from None
    folder = (into / name).expanduser()
    if folder.exists():
        raise UsageError(f"{folder} exists already: choose another name, or remove it first")
    found = find(reference)
    dataset = dataset or found.dataset or trained_for(found.classes)
    found = replace(found, kwargs={**found.kwargs, **kwargs}, dataset=dataset)
    whole = found.weights.get("format", "state-dict") != "state-dict"
    if untrained and whole:
        raise UsageError(f"--untrained: {reference} is a whole network with its weights; leave it out")
    folder.mkdir(parents=True)
    try:
        for file, text in found.files.items():
            (folder / file).write_text(text, encoding="utf-8")
        shown = replace(found, weights={}) if untrained else found
        (folder / ENTRY_FILE).write_text(written(name, shown), encoding="utf-8")
        entry = read_entry(folder)
        missing = _tried(entry, found)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return Made(entry, found, missing)


def trained_for(classes: int | Sequence[str]) -> str:
    """The label of the dataset whose classes these are, by name; empty where none is known."""
    for known in NAMED:
        listed = class_list(known)
        if isinstance(classes, int) or len(classes) != len(listed.names):
            continue
        with contextlib.suppress(DataError):
            class_indices(classes, listed, "the source")
            return known.removesuffix("-1k")
    return ""


def written(name: str, found: Found) -> str:
    """entry.toml of what a source says."""
    labels = {key: getattr(found, key) for key in ("description", "licence", "paper", "author")}
    lines = [f"name = {toml(name)}", 'task = "classification"', f"source = {toml(found.source)}"]
    lines += [f"dataset = {toml(found.dataset)} # what it was trained for; suites may use another"]
    lines += [f"{key} = {toml(value)}" for key, value in labels.items()]
    lines += [f"input_shape = {toml(list(found.input_shape))} # channels, height, width that the network takes"]
    lines += [f"classes = {_classes(found.classes)}"]
    if found.factory:
        lines += [f"factory = {toml(found.factory)}", f"kwargs = {toml(_plain(found.kwargs))}"]
    if found.output_key:
        lines += [f"output_key = {toml(found.output_key)} # which part of what the network returns"]
    text = HEAD + "\n".join(lines) + "\n"
    if found.preprocessing:
        text += "\n# Inputs are in [0, 1]; the network gets (x - mean) / std, resized to input_shape.\n"
        text += CROP if "crop" in found.preprocessing else ""
        text += _table("preprocessing", found.preprocessing)
    return text + ("\n" + _table("weights", found.weights) if found.weights else UNTRAINED)


def _table(name: str, values: Mapping[str, Any]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in _plain(values).items())


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what TOML does not know: keys that are not given."""
    return {key: value for key, value in values.items() if value is not None}


def _classes(classes: int | Sequence[str]) -> str:
    if isinstance(classes, int):
        return str(classes)
    names = ", ".join(toml(name).replace(" ", "\0") for name in classes)  # a name is not broken over two lines
    lines = textwrap.wrap(names, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "[\n" + "".join(f"  {line}\n" for line in lines).replace("\0", " ") + "]"


def _tried(entry: Entry, found: Found) -> str:
    """Build the network and call it once; with its weights, where they are here.

    Returns:
        what to do for the weights where they are not here.

    Raises:
        EntryError: it cannot be built, raises, or gives another number of outputs than it has classes.
    """
    path, weights = entry.weights_path(), entry.spec.weights
    here = path is None or path.is_file()
    try:
        model = build_model(entry) if here else wrap(entry, build_network(entry))
        with torch.no_grad():
            output = model(networks_of(entry.spec.task).example(entry.spec, 2))
    except AssayError:
        raise
    except Exception as error:
        raise EntryError(
            f"entry {entry.name!r}: the network raised {last_line(error)} on inputs of {list(found.input_shape)};"
            " its size may be an argument of the factory: --kwargs KEY=VALUE"
        ) from error
    if tuple(output.shape) != (2, found.class_count):
        raise EntryError(
            f"entry {entry.name!r}: expected outputs of shape (2, {found.class_count}), got {tuple(output.shape)}"
        )
    if here or weights is None:
        return ""
    return f"its weights are not here yet: expected {path}; {how_to_get(weights, entry.folder)}"
