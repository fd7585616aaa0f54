"""State dicts: read from a file without running code in it, brought under the network's names, checked and loaded."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.errors import EntryError
from benchmark.files import reading
from benchmark.models.entries import Entry
from benchmark.models.faults import entry_errors, last_line
from benchmark.models.weights import check_is_weights, check_sha256
from benchmark.spec.network import Weights

State = dict[str, torch.Tensor]


def load_weights(entry: Entry, network: nn.Module, path: Path, *, check: bool = True) -> None:
    """Check and load a weights file into the network, in place; ``check = False`` leaves the sha256 out.

    Raises:
        EntryError: missing, damaged or wrong file, keys or shapes that do not fit.
    """
    weights = entry.spec.weights
    check_is_weights(entry, path)
    check_sha256(entry, path, (weights.sha256 or weights.sha256_start) if weights and check else "")
    state, own = read_state(entry, path), network.state_dict()
    if weights is not None:
        state = renamed(entry, path, own, state)
    check_keys(entry, path, own, state)
    fitted = {key: value.to(own[key].dtype) if value.is_floating_point() else value for key, value in state.items()}
    with entry_errors(entry, f"loading {path.name}"):
        network.load_state_dict(fitted, strict=False)  # all keys are checked above, but for counters of old batch norms


def renamed(entry: Entry, path: Path, own: State, state: State) -> State:
    """The file's tensors under the network's names: ``strip``, ``drop`` and ``rename`` of [weights].

    Args:
        own: the network's state dict, in its order.
        state: what the file holds, in its order.

    Raises:
        EntryError: a dropped mean or std is not the entry's, or the order does not decide which tensor is which.
    """
    weights = entry.spec.weights or Weights()
    for prefix in weights.prefixes:
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    for key in [key for key in state if key.startswith(weights.drop)] if weights.drop else []:
        check_dropped(entry, path, key, state.pop(key))
    return in_order(entry, path, own, state) if weights.rename == "order" else state


def check_dropped(entry: Entry, path: Path, key: str, value: torch.Tensor) -> None:
    """A mean or std that a checkpoint carries inside must be what the entry's preprocessing does in its place.

    Raises:
        EntryError: with both.
    """
    leaf, preprocessing = key.rpartition(".")[2].removeprefix("new_"), entry.spec.preprocessing
    for names, own in ((("mean", "mu"), preprocessing.mean), (("std", "sigma"), preprocessing.std)):
        if leaf not in names:
            continue
        theirs, ours = value.detach().double().flatten(), torch.tensor(own, dtype=torch.float64)
        wanted = ours.expand_as(theirs) if len(ours) == 1 else ours
        if theirs.shape != wanted.shape or not torch.allclose(theirs, wanted, atol=1e-4):
            raise EntryError(
                f"entry {entry.name!r}: {path.name} carries {key} = {[round(float(x), 4) for x in theirs]}, which is"
                f" dropped, but [preprocessing] says {names[0]} = {list(own)}: set it to the same"
            )


def in_order(entry: Entry, path: Path, own: State, state: State) -> State:
    """The n-th tensor of the file under the n-th name of the network; counters of batch norms apart.

    Raises:
        EntryError: the file keeps no order, another number of tensors, or a pair whose shapes or last names differ.
    """
    ours, theirs = ([key for key in each if not key.endswith("num_batches_tracked")] for each in (own, state))
    say = f'entry {entry.name!r}: rename = "order": {path.name}'
    if path.suffix == ".safetensors":
        raise EntryError(f"{say} is a safetensors file, which keeps no order of its tensors: rename them in a copy")
    if len(ours) != len(theirs):
        raise EntryError(f"{say} holds {len(theirs)} tensors, the network {len(ours)}: it is another network's")
    for n, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if own[mine].shape != state[other].shape:
            raise EntryError(
                f"{say} does not fit: tensor {n} is {other} {tuple(state[other].shape)}, the network's is"
                f" {mine} {tuple(own[mine].shape)}"
            )
        if mine.rpartition(".")[2] != other.rpartition(".")[2]:
            raise EntryError(
                f"{say} is ambiguous: tensor {n} is {other}, the network's {mine}: of one shape, but not by their last"
                " names; rename the tensors in a copy of the file"
            )
    return {mine: state[other] for mine, other in zip(ours, theirs, strict=True)}


def read_state(entry: Entry, path: Path) -> State:
    """The state dict in a safetensors or a PyTorch file, on the CPU; no code in the file is run.

    Raises:
        EntryError: truncated or unreadable, or no state dict where ``key`` says.
    """
    with reading(path, EntryError), path.open("rb") as stream:
        start = stream.read(9)
    try:
        if start[8:9] == b"{":  # safetensors: 8 bytes of header length, then JSON
            from safetensors.torch import load_file

            content: Any = load_file(path, device="cpu")
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if _is_script(path):
            raise EntryError(
                f"entry {entry.name!r}: {path} is a TorchScript archive, a network and not a state dict: say"
                ' format = "torchscript" under [weights], and leave factory and kwargs out'
            ) from None
        raise EntryError(
            f"entry {entry.name!r}: the weights file {path} ({path.stat().st_size} bytes) cannot be read:"
            f" {last_line(error)}; it is truncated, damaged, or no safetensors file or state dict"
            " (a pickled module is refused: save module.state_dict() instead)"
        ) from None
    return find_state(entry, path, content)


def _is_script(path: Path) -> bool:
    """What torch.jit.save writes."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def find_state(entry: Entry, path: Path, content: Any) -> State:
    """Follow ``key`` into what the file holds."""
    key = entry.spec.weights.key if entry.spec.weights else ""
    for part in key.split(".") if key else []:
        try:
            content = content[int(part)] if isinstance(content, list | tuple) else content[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise EntryError(
                f"entry {entry.name!r}: {path.name} has nothing under key = {key!r}; it holds {shown_keys(content)}"
            ) from None
    if not isinstance(content, dict) or not content or not all(torch.is_tensor(v) for v in content.values()):
        raise EntryError(
            f"entry {entry.name!r}: {path.name} holds no state dict (names to tensors)"
            f"{f' under key = {key!r}' if key else ''} but {shown_keys(content)};"
            ' say where it lies with `key` under [weights], such as key = "state_dict"'
        )
    return dict(content)


def shown_keys(content: Any) -> str:
    """What a loaded file holds, for messages."""
    if isinstance(content, list | tuple):
        return f'a list of {len(content)}, reached by numbers, such as key = "state_dict.0"'
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    keys = [str(key) for key in content]
    return f"the keys {', '.join(keys[:6])}{', …' if len(keys) > 6 else ''}" if keys else "nothing"


def check_keys(entry: Entry, path: Path, own: State, state: State) -> None:
    """Names and shapes of a state dict must be the network's.

    Raises:
        EntryError: naming what is missing, unexpected or of another shape.
    """
    absent = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, the network's {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    faults = [
        f"{what}: {', '.join(keys[:5])}{f' and {len(keys) - 5} more' if len(keys) > 5 else ''}"
        for what, keys in (("missing", absent), ("unexpected", extra), ("other shape", shapes))
        if keys
    ]
    if faults:
        raise EntryError(
            f"entry {entry.name!r}: {path.name} does not fit the network of {entry.spec.factory}:\n  "
            + "\n  ".join(faults)
            + '\n  check kwargs, and `key` and `strip` (a prefix such as "module.") under [weights]'
        )
