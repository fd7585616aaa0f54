"""From a model entry to the model that attacks, explainers and metrics see."""

from __future__ import annotations

import functools
import importlib
import sys
import types
from collections.abc import Callable
from typing import Any, cast

from torch import nn

from benchmark.errors import EntryError
from benchmark.models.entries import Entry, task_of
from benchmark.models.faults import entry_errors, missing_package
from benchmark.models.outputs import unwrapped
from benchmark.models.state import load_weights
from benchmark.models.whole import load_whole
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
    network, stored = build_network(entry), ""
    if (path := entry.weights_path()) is not None and not entry.spec.is_whole:
        stored = load_weights(entry, network, path)
    model = wrap(entry, network).to(device)
    model.stored = stored
    return model


def wrap(entry: Entry, network: nn.Module) -> Model:
    """The network as its task wraps it, in float32.

    Raises:
        SpecError: the entry's ``output`` is none of its task's.
    """
    spec = entry.spec
    entry.check_output()
    network, words = in_float32(network, cast=spec.cast)
    hook = unwrapped(network, spec.output_key)
    model: Model = task_of(spec.task).wrap(network, spec)
    model.precision, model.unwrap = words, hook
    return model


def build_network(entry: Entry, seed: int = INITIAL_SEED) -> nn.Module:
    """What the factory returns, before any weights are loaded; random initial weights come from ``seed``.

    A file that is the whole network (``weights.format``) comes with its weights.

    Raises:
        EntryError: the factory cannot be imported, raises, or returns no ``torch.nn.Module``; a file that is no
            network, or has an operator that is not known.
    """
    if entry.spec.is_whole:
        return load_whole(entry)
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
