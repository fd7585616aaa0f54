"""Carrying out a recipe: from an entry to a weights file."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from benchmark.errors import EntryError, UsageError
from benchmark.files import file_sha256
from benchmark.models.build import build_network, find_importable, import_local, wrap
from benchmark.models.entries import CURVE_FILE, Entry
from benchmark.models.faults import entry_errors
from benchmark.models.kinds import Judgement, networks_of
from benchmark.models.recipe import Curve, Train, TrainingData
from benchmark.models.state import load_weights
from benchmark.models.weights import Progress
from benchmark.seeds import derive, global_seed
from benchmark.spec.entry import Recipe


@dataclass(frozen=True)
class Trained:
    """What a recipe made: the weights file, its sha256, and how the stored weights do on the test split."""

    path: Path
    sha256: str
    judgement: Judgement
    seed: int


def train_entry(
    entry: Entry,
    path: Path,
    *,
    seed: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    data: Mapping[str, Path] | None = None,
) -> Trained:
    """Run the entry's recipe from scratch and write the weights to ``path`` (safetensors) in one step.

    Args:
        entry: the entry; it must have a ``[recipe]``.
        path: the file to write; replaced only when training has ended.
        seed: instead of the recipe's.
        device: where to train.
        progress: takes a line of text.
        data: where the dataset lies, by name.

    Raises:
        UsageError: the entry has no recipe.
        EntryError: the recipe cannot be imported or raises, or leaves weights that are not finite.
        DataError: the dataset is missing or unreadable.
    """
    recipe, say = entry.spec.recipe, progress or (lambda _: None)
    if recipe is None:
        raise UsageError(f"entry {entry.name!r} has no [recipe] in {entry.folder / 'entry.toml'}: nothing to train by")
    seed = recipe.seed if seed is None else seed
    train = find_train(entry, recipe)
    network = build_network(entry, derive(seed, "initial"))
    model = wrap(entry, network).to(device)
    splits = TrainingData(recipe.data, entry.spec.input_shape, data)
    say(f"{entry.name}: {splits.size(recipe.data.train)} training samples, seed {seed}, device {device}")
    with global_seed(derive(seed, "training")), entry_errors(entry, f"its recipe {recipe.file}"):
        curve = train(model, splits, seed=seed, device=device, progress=say, **recipe.params)
    trained = networks_of(entry.spec.task).judge(entry, model, splits, device)
    judged = store(entry, network, path, splits, device, half=recipe.half)
    if recipe.half and not judged.agrees(trained):
        say("float16 changes the output too much: the weights are stored as float32")
        judged = store(entry, network, path, splits, device, half=False)
    if curve and path.parent == entry.folder:
        write_curve(entry.folder / CURVE_FILE, curve)
    return Trained(path, file_sha256(path), judged, seed)


def store(entry: Entry, network: nn.Module, path: Path, data: TrainingData, device: str, *, half: bool) -> Judgement:
    """Write the weights, load them into a new network, and judge that one on the test split."""
    save(entry, network, path, half=half)
    stored = wrap(entry, build_network(entry)).to(device)
    load_weights(entry, stored.network, path, check=False)
    return networks_of(entry.spec.task).judge(entry, stored, data, device)


def write_curve(path: Path, curve: Curve) -> None:
    """A training curve as CSV, six digits."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(curve[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({column: f"{value:.6g}" for column, value in row.items()} for row in curve)


def find_train(entry: Entry, recipe: Recipe) -> Train:
    """The function of a recipe: ``train`` of a file in the folder, or an importable ``"package.module:function"``.

    Raises:
        EntryError: the file or the function is missing, or the file raises when imported.
    """
    file = recipe.file
    if recipe.is_importable:
        return cast("Train", find_importable(entry, file, "its recipe"))
    if not (entry.folder / file).is_file():
        raise EntryError(f"entry {entry.name!r}: its recipe {entry.folder / file} does not exist")
    module = import_local(entry, Path(file).with_suffix("").as_posix().replace("/", "."))
    train: Train | None = getattr(module, "train", None)
    if not callable(train):
        raise EntryError(f"entry {entry.name!r}: {file} needs a function `train(model, data, *, seed, …)`; it has none")
    return train


def save(entry: Entry, network: nn.Module, path: Path, *, half: bool) -> None:
    """Write the state dict as safetensors, floats as float16 where ``half``, under a temporary name first.

    Raises:
        EntryError: weights that are not finite (training diverged, or float16 overflows).
    """
    from safetensors.torch import save_file

    state = {}
    for name, tensor in network.state_dict().items():
        value = tensor.detach().cpu().contiguous()
        value = value.half() if half and value.is_floating_point() else value
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise EntryError(f"entry {entry.name!r}: after training, {name} is not finite; lower lr, or half = false")
        state[name] = value.clone()  # safetensors refuses tensors that share memory
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        save_file(state, temporary, metadata={"entry": entry.name})
        temporary.chmod(0o644)  # safetensors makes its files private
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
