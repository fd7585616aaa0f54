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
from benchmark.models.renaming import State, renamed
from benchmark.models.weights import check_is_weights, check_sha256


def load_weights(entry: Entry, network: nn.Module, path: Path, *, check: bool = True) -> str:
    """Check and load a weights file into the network, in place; ``check = False`` leaves the sha256 out.

    Returns:
        as which other type its numbers are stored, in words; empty where they are of the network's own.

    Raises:
        EntryError: missing, damaged or wrong file, keys or shapes that do not fit.
    """
    weights = entry.spec.weights
    check_is_weights(entry, path)
    check_sha256(entry, path, (weights.sha256 or weights.sha256_start) if weights and check else "")
    state, own = read_state(entry, path), network.state_dict()
    if weights is not None:
        state = renamed(entry, path, network, state)
    check_keys(entry, path, own, state)
    fitted = {key: value.to(own[key].dtype) if value.is_floating_point() else value for key, value in state.items()}
    with entry_errors(entry, f"loading {path.name}"):
        network.load_state_dict(fitted, strict=False)  # all keys are checked above, but for counters of old batch norms
    floats = {key: value.dtype for key, value in state.items() if value.is_floating_point()}
    other = sorted({str(kind).removeprefix("torch.") for key, kind in floats.items() if kind != own[key].dtype})
    return f"stored as {', '.join(other)}" if other else ""


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
    """Follow ``key`` into what the file holds; of several keys the first that leads to a state dict.

    Raises:
        EntryError: none does; says what there is.
    """
    keys = entry.spec.weights.keys if entry.spec.weights else ("",)
    for key in keys[:-1]:
        try:
            return _under(entry, path, content, key)
        except EntryError:
            continue
    return _under(entry, path, content, keys[-1])


def _under(entry: Entry, path: Path, content: Any, key: str) -> State:
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
