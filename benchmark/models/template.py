"""What `assay new` writes: an entry that runs at once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.errors import EntryError, SpecError, UsageError
from benchmark.models.build import build_model, last_line
from benchmark.models.entries import ENTRY_FILE, Entry, read_entry
from benchmark.registry import canonical
from benchmark.spec.entry import check_name

MODEL = '''"""The network: change it as you like; `build` gets the kwargs of entry.toml."""

from torch import nn


def build(channels: int, height: int, width: int, classes: int) -> nn.Module:
    half = ((height + 1) // 2) * ((width + 1) // 2)
    # ReLU as modules of their own, not inplace: DeepLIFT and LRP need each of them
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * half, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )
'''

TRAIN = '''"""Recipe: cross entropy. `assay train NAME` runs it; see benchmark/models/recipe.py."""

from typing import Any

from benchmark.models.recipe import TrainingData, fit
from benchmark.models.weights import Progress
from benchmark.models.wrap import Model


def train(model: Model, data: TrainingData, *, seed: int, device: str, progress: Progress, **params: Any) -> None:
    fit(model, data, seed=seed, device=device, progress=progress, **params)
'''

ENTRY = """name = {name}
task = "classification"
dataset = {dataset} # what it is made for; suites may use another
description = ""
licence = ""
paper = ""
author = ""
input_shape = {shape} # channels, height, width that the network takes: grey is repeated, other sizes are resized inside
classes = {classes}
factory = {factory} # "file:function" beside this file, or any importable
kwargs = {kwargs}
output = "logits" # or "logit1": one logit of class 1
# gradcam_layer = "2" # module for GradCAM; default: the last spatial layer

# Inputs are in [0, 1]; the network gets (x - mean) / std, a number or one a channel.
# [preprocessing]
# mean = 0.5
# std = 0.25

# UNTRAINED: there are no weights, so the network is the factory's, its random numbers seeded (the same everywhere).
# Weights of your own: safetensors, or a state dict saved by torch.save.
# [weights]
# file = "weights.safetensors" # or path = "...", or url = "..." with sha256 = "..."
# key = "state_dict" # where in the file the state dict lies
# strip = "module." # prefix of its names
{recipe}"""

RECIPE = """
# To train it here: uncomment this, and above [weights] with its file, then `assay train {name}`.
# [recipe]
# file = "train.py"
# seed = 0
# data = {{ use = {use} }}
# params = {{ epochs = 20, lr = 0.002 }}
"""


@dataclass(frozen=True)
class Draft:
    """What to write.

    Attributes:
        name: the entry's name.
        factory: importable ``"module:callable"``; empty: a model.py with a small network.
        kwargs: of the factory.
        classes: number of classes.
        input_shape: (C, H, W) of the network.
        dataset: label of the dataset.
    """

    name: str
    factory: str
    kwargs: Mapping[str, Any]
    classes: int
    input_shape: Sequence[int]
    dataset: str


def create(draft: Draft, into: Path) -> Entry:
    """Write the entry's folder and build its network once on zeros; what does not run is not left behind.

    Where the factory takes ``num_classes`` (torchvision, timm) and none is given, it is set.

    Raises:
        UsageError: the name is none, or the folder exists.
        EntryError: the factory cannot be imported or called, or its output does not fit ``classes``.
    """
    try:
        check_name(draft.name)
    except ValueError as error:
        raise UsageError(f"entry {draft.name!r}: {error}") from None
    folder = (into / draft.name).expanduser()
    if folder.exists():
        raise UsageError(f"{folder} exists already: choose another name, or remove it first")
    candidates = [dict(draft.kwargs)]
    if draft.factory and "num_classes" not in draft.kwargs:
        candidates.insert(0, {**draft.kwargs, "num_classes": draft.classes})
    problem: EntryError | None = None
    for kwargs in candidates:
        try:
            return attempt(draft, kwargs, folder)
        except EntryError as error:
            problem = problem if problem and "unexpected keyword" not in str(problem) else error
    raise problem or EntryError(f"entry {draft.name!r}: could not be built")


def attempt(draft: Draft, kwargs: Mapping[str, Any], folder: Path) -> Entry:
    """Write the folder with these kwargs and try it; removes it where it does not run."""
    folder.mkdir(parents=True)
    try:
        write(draft, kwargs, folder)
        entry = read_entry(folder)
        probe(entry, draft)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return entry


def write(draft: Draft, kwargs: Mapping[str, Any], folder: Path) -> None:
    """The files of the entry."""
    if not draft.factory:
        (folder / "model.py").write_text(MODEL, encoding="utf-8")
        (folder / "train.py").write_text(TRAIN, encoding="utf-8")
        channels, height, width = draft.input_shape
        kwargs = {"channels": channels, "height": height, "width": width, "classes": draft.classes, **kwargs}
    text = ENTRY.format(
        name=toml(draft.name),
        dataset=toml(draft.dataset),
        shape=toml(list(draft.input_shape)),
        classes=toml(draft.classes),
        factory=toml(draft.factory or "model:build"),
        kwargs=toml(kwargs),
        recipe="" if draft.factory else RECIPE.format(name=draft.name, use=toml(draft.dataset)),
    )
    (folder / ENTRY_FILE).write_text(text, encoding="utf-8")


def probe(entry: Entry, draft: Draft) -> None:
    """Build the network and call it on zeros.

    Raises:
        EntryError: it raises, or gives another number of outputs.
    """
    model = build_model(entry)
    try:
        with torch.no_grad():
            output = model(torch.zeros(2, *draft.input_shape))
    except Exception as error:
        raise EntryError(
            f"entry {entry.name!r}: the network raised {last_line(error)} on zeros of {list(draft.input_shape)};"
            " give the shape it takes with --input-shape"
        ) from error
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != (2, draft.classes):
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise EntryError(
            f"entry {entry.name!r}: expected outputs of shape (2, {draft.classes}), got {got};"
            " give --classes, or the factory's own argument for it with --kwargs"
        )


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
