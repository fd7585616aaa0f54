"""From a model entry to the model that attacks, explainers and metrics see."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import traceback
import types
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from benchmark.errors import AssayError, EntryError
from benchmark.files import reading
from benchmark.models.entries import Entry, task_of
from benchmark.models.weights import check_is_weights, check_sha256
from benchmark.models.wrap import Model, in_float32
from benchmark.registry import digest, near_key
from benchmark.seeds import global_seed

INITIAL_SEED = 20260101  # untrained networks are then the same on every machine and in every process


def build_model(entry: Entry, device: str = "cpu") -> Model:
    """The entry's model with its weights, in eval mode, parameters frozen, preprocessing inside.

    Args:
        entry: the model entry.
        device: such as ``"cpu"`` or ``"cuda:0"``.

    Raises:
        EntryError: the factory cannot be imported or raises, or the weights are missing, damaged, not those whose
            sha256 is given, or do not fit the network.
    """
    network = build_network(entry)
    if (path := entry.weights_path()) is not None:
        load_weights(entry, network, path)
    return wrap(entry, network).to(device)


def wrap(entry: Entry, network: nn.Module) -> Model:
    """The network as its task wraps it, in float32.

    Raises:
        SpecError: the entry's ``output`` is none of its task's.
    """
    spec = entry.spec
    entry.check_output()
    network, words = in_float32(network, cast=spec.cast)
    model: Model = task_of(spec.task).wrap(network, spec)
    model.precision = words
    return model


def build_network(entry: Entry, seed: int = INITIAL_SEED) -> nn.Module:
    """What the factory returns, before any weights are loaded; random initial weights come from ``seed``.

    Raises:
        EntryError: the factory cannot be imported, raises, or returns no ``torch.nn.Module``.
    """
    factory, called = find_factory(entry), f"its factory {entry.spec.factory}"
    with global_seed(seed), entry_errors(entry, called):
        network = factory(**entry.spec.kwargs)
    if not isinstance(network, nn.Module):
        raise EntryError(
            f"entry {entry.name!r}: {called} must return a torch.nn.Module, it returned a {type(network).__name__}"
        )
    return network


def find_factory(entry: Entry) -> Callable[..., Any]:
    """Import the entry's factory, from the file in its folder or from an installed package.

    Raises:
        EntryError: it cannot be imported; says which package to install.
    """
    if not entry.is_local:
        return find_importable(entry, entry.spec.factory, "")
    module_name, _, attribute = entry.spec.factory.partition(":")
    return _attribute(entry, import_local(entry, module_name), module_name, attribute)


def find_importable(entry: Entry, name: str, what: str) -> Callable[..., Any]:
    """Import ``"package.module:callable"``, which an entry names as ``what``.

    Raises:
        EntryError: it cannot be imported; says which package to install.
    """
    module_name, _, attribute = name.partition(":")
    doing = f"{what}: importing {module_name}" if what else f"importing {module_name}"
    with entry_errors(entry, doing), missing_package(entry, module_name):
        module = importlib.import_module(module_name)
    return _attribute(entry, module, module_name, attribute)


def _attribute(entry: Entry, module: types.ModuleType, module_name: str, attribute: str) -> Callable[..., Any]:
    """A callable by its dotted name in a module."""
    try:
        value: Any = functools.reduce(getattr, attribute.split("."), module)
    except AttributeError:
        offered = [name for name in dir(module) if not name.startswith("_") and callable(getattr(module, name))]
        raise EntryError(
            f"entry {entry.name!r}: {module_name} has no {attribute!r}{near_key(attribute, offered)}"
        ) from None
    if not callable(value):
        raise EntryError(f"entry {entry.name!r}: {module_name}:{attribute} is a {type(value).__name__}, not callable")
    return cast("Callable[..., Any]", value)


def import_local(entry: Entry, module: str) -> types.ModuleType:
    """Import a module of the entry's folder, as part of a package of its own.

    The package's name holds the folder and its code's digest: model.py files of two entries never clash, a changed
    file is imported anew, and files of one folder may import each other relatively (``from .layers import Block``).

    Raises:
        EntryError: the code raises.
    """
    key = digest([str(entry.folder), entry.code()])[:16]
    package = f"_assay_entry_{entry.name.replace('-', '_')}_{key}"
    if package not in sys.modules:
        parent = types.ModuleType(package)
        parent.__path__ = [str(entry.folder)]
        sys.modules[package] = parent
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder may be read-only, or change at once
    importlib.invalidate_caches()
    try:
        with entry_errors(entry, f"importing {module.replace('.', '/')}.py"), missing_package(entry, package):
            return importlib.import_module(f"{package}.{module}")
    finally:
        sys.dont_write_bytecode = before


def load_weights(entry: Entry, network: nn.Module, path: Path, *, check: bool = True) -> None:
    """Check and load a weights file into the network, in place; ``check = False`` leaves the sha256 out.

    Raises:
        EntryError: missing, damaged or wrong file, keys or shapes that do not fit.
    """
    weights = entry.spec.weights
    check_is_weights(entry, path)
    check_sha256(entry, path, weights.sha256 if weights and check else "")
    state = read_state(entry, path)
    if weights is not None and weights.strip:
        state = {key.removeprefix(weights.strip): value for key, value in state.items()}
    own = network.state_dict()
    check_keys(entry, path, own, state)
    fitted = {key: value.to(own[key].dtype) if value.is_floating_point() else value for key, value in state.items()}
    with entry_errors(entry, f"loading {path.name}"):
        network.load_state_dict(fitted, strict=False)  # all keys are checked above, but for counters of old batch norms


def read_state(entry: Entry, path: Path) -> dict[str, torch.Tensor]:
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
                f"entry {entry.name!r}: {path} is a TorchScript archive, a network and not a state dict: use"
                f' factory = "torch.jit:load" with kwargs = {{ f = "{path}" }}, and no [weights]'
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


def find_state(entry: Entry, path: Path, content: Any) -> dict[str, torch.Tensor]:
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


def check_keys(entry: Entry, path: Path, own: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> None:
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


@contextmanager
def entry_errors(entry: Entry, doing: str) -> Iterator[None]:
    """Turn whatever a stranger's code raises into an EntryError that names its type, last line and place."""
    try:
        yield
    except AssayError:
        raise
    except (Exception, SystemExit) as error:
        raise EntryError(f"entry {entry.name!r}: {doing} raised {last_line(error)}{place(entry, error)}") from error


@contextmanager
def missing_package(entry: Entry, module: str) -> Iterator[None]:
    """Say which package to install where an import does not find one."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = error.name or module
        if name.startswith("_assay_entry_"):
            raise EntryError(f"entry {entry.name!r}: no {name.partition('.')[2]}.py in {entry.folder}") from error
        top = name.split(".", maxsplit=1)[0]
        known = importlib.util.find_spec(top) is not None if top != name else False
        todo = f"{top} has no such module: check the spelling, or its version" if known else f"`pip install {top}`"
        raise EntryError(f"entry {entry.name!r}: needs the module {name!r}, which is not installed; {todo}") from error


def last_line(error: BaseException) -> str:
    """Exception type and the last line of its message."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[-1]}" if text else type(error).__name__


def place(entry: Entry, error: BaseException) -> str:
    """Where in the entry's own folder it was raised, such as ``" (model.py, line 12)"``."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_relative_to(entry.folder):
            return f" ({file.relative_to(entry.folder).as_posix()}, line {frame.lineno})"
    return ""
