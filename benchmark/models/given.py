"""A module in memory as an entry: copied, cast, wrapped, checked and keyed before a suite runs on it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.data.base import Batch
from benchmark.errors import EntryError
from benchmark.models.check import Effort, check_model
from benchmark.models.entries import Entry, task_of
from benchmark.models.faults import last_line
from benchmark.models.kinds import Result, networks_of
from benchmark.models.memory import Key, module_key
from benchmark.models.outputs import Unwrap, unwrapped
from benchmark.models.wrap import Model, in_float32
from benchmark.spec.entry import EntrySpec, Preprocessing

LARGEST = 64  # samples that the check looks at
SECONDS = 60.0  # that it may take


@dataclass(frozen=True)
class Given:
    """A module as the cells see it.

    Attributes:
        model: wrapped, in eval mode, on its device.
        spec: what entry.toml would say.
        key: stands for it in every cell's hash.
        notes: what its user should know, a line each.
    """

    model: Model
    spec: EntrySpec
    key: Key
    notes: tuple[str, ...]


def take(
    module: nn.Module,
    batch: Batch,
    *,
    name: str,
    task: str,
    settings: dict[str, Any],
    classes: Sequence[str] = (),
    data_classes: Sequence[str] = (),
    match: Callable[[EntrySpec], tuple[int, ...]] = lambda _: (),
    cast: bool = True,
    device: str = "cpu",
) -> Given:
    """Make an entry of a module; it is copied, and left as it was.

    Args:
        module: takes the suite's inputs, (N, C, H, W) in [0, 1] after ``settings``' mean and std.
        batch: samples of the suite, as its task presents them.
        name: of the row.
        task: the suite's.
        settings: ``mean``, ``std``, ``one_logit``, ``gradcam_layer`` (and ``gradcam_layout``) of :class:`Model`.
        classes: names of the module's classes, in the order of its outputs; empty: not known.
        data_classes: names of the data's classes.
        match: which output is each class of the data, empty for the same order; refuses other classes.
        cast: a module of another type than float32 is cast to it; else it is run as it is.
        device: where it will run.

    Raises:
        EntryError: it raises, returns no finite tensor of the right shape, or has fewer classes than the data.
    """
    own, notes = copied(module)
    own, said = in_float32(own.to(device), cast=cast)
    notes += [f"{said} (as it is: cast=False)" if cast else said] if said else []
    spec = EntrySpec.model_construct(  # there is no entry.toml to be validated
        name=name,
        task=task,
        input_shape=tuple(batch.inputs.shape[1:]),
        factory="",
        output="logit1" if settings["one_logit"] else task_of(task).outputs[0],
        preprocessing=Preprocessing.model_construct(mean=tuple(settings["mean"]), std=tuple(settings["std"])),
        gradcam_layer=settings["gradcam_layer"],
        gradcam_layout=settings.get("gradcam_layout", ""),
    )
    model = task_of(task).wrap(own, spec).to(device)
    inputs = torch.tensor(batch.inputs[:LARGEST], device=device)
    hint = "; it was cast to float32: cast=False runs it as it is" if said and cast else ""
    try:
        output = called(model, inputs, name, hint)
    except EntryError:
        if not (unwrapping := unwrap(model, inputs[:2])):
            raise
        notes.append(unwrapping)
        output = called(model, inputs, name, hint)
    count = networks_of(task).check_rank(output, name)
    spec = spec.model_copy(update={"classes": tuple(classes) or count, "preprocessing": Preprocessing()})
    part = Batch(batch.ids[:LARGEST], batch.inputs[:LARGEST], batch.labels[:LARGEST])
    check_count(spec, len(data_classes))
    entry, outputs = Entry(spec, Path.cwd()), match(spec)
    seen = model.reordered(outputs) if outputs else model
    notes += check_lines(
        check_model(entry, seen, part, device, classes=data_classes, effort=Effort(SECONDS)), spec, len(data_classes)
    )
    with without(model.unwrap, own):
        key = module_key(own, {**settings, "mean": list(settings["mean"]), "std": list(settings["std"]), "cast": cast})
    if key.unread:
        notes.append(key.line(name).removeprefix(f"{name}: "))
    return Given(model, spec, key, tuple(f"{name}: {note}" for note in notes))


def unwrap(model: Model, inputs: torch.Tensor) -> str:
    """Take the output out of what a network returns where that is no tensor, in words; empty where it cannot be."""
    with torch.no_grad(), contextlib.suppress(Exception):
        if not isinstance(model.network(model.prepared(inputs)), torch.Tensor):
            model.unwrap = unwrapped(model.network)
            model.network(model.prepared(inputs))
            return model.unwrap.words
    return ""


@contextlib.contextmanager
def without(hook: Unwrap | None, network: nn.Module) -> Iterator[None]:
    """The network as it was given inside the block: a key is of that."""
    hooks = network._forward_hooks
    mine = {number: each for number, each in hooks.items() if each is hook}
    for number in mine:
        del hooks[number]
    try:
        yield
    finally:
        hooks.update(mine)


def check_count(spec: EntrySpec, labels: int) -> None:
    """Refuse a module that gives fewer logits than the data have classes.

    Raises:
        EntryError: with both numbers.
    """
    count = 2 if spec.output == "logit1" else spec.class_count
    if labels and count and count < labels:
        one = "; one logit of class 1 is said with one_logit=True" if count == 1 else ""
        raise EntryError(f"module {spec.name!r}: it gives {count} logits, the suite's data have {labels} classes{one}")


def check_lines(results: Sequence[Result], spec: EntrySpec, labels: int) -> list[str]:
    """What the check found, a line each.

    Raises:
        EntryError: the outputs are not what the suite needs.
    """
    for result in results:
        if result.name == "output" and result.status == "fail":
            raise EntryError(f"module {spec.name!r}: {result.name}: {result.finding}; {result.todo}".rstrip("; "))
    more = spec.class_count - labels
    said = [f"it gives {spec.class_count} logits, {more} more than the data have classes"] if labels and more else []
    bad = [result for result in results if result.status in ("fail", "note") and result.name != "weights"]
    return said + [f"check, {r.name}: {r.finding}{f'; {r.todo}' if r.todo else ''}" for r in bad]


def called(model: Model, inputs: torch.Tensor, name: str, hint: str = "") -> torch.Tensor:
    """The model's output; ``hint`` ends the error of one that raises.

    Raises:
        EntryError: it raised, or returned no tensor.
    """
    try:
        with torch.no_grad():
            output = model(inputs)
    except EntryError as error:
        raise EntryError(f"module {name!r}: {error}") from error
    except Exception as error:
        shape = tuple(inputs.shape)
        raise EntryError(
            f"module {name!r} raised {last_line(error)} on the suite's inputs, float32 {shape} in [0, 1];"
            f" it must take them as they are (mean, std and one_logit are arguments of evaluate){hint}"
        ) from error
    logits: torch.Tensor = output
    return logits


def copied(module: nn.Module) -> tuple[nn.Module, list[str]]:
    """A deep copy; what cannot be copied (an open file, a lock, a tensor with a history) is shared, with a word."""
    try:
        with torch.no_grad():  # a scripted module's parameters are cloned, and would have a history
            return copy.deepcopy(module), []
    except Exception:
        memo: dict[int, Any] = {}
        shared = [where for part, inner in module.named_modules() for where in _shared(part, inner, memo)]
    try:
        with torch.no_grad():
            return copy.deepcopy(module, memo), [f"shared with the original, not copied: {', '.join(shared)}"]
    except Exception as error:
        raise EntryError(
            f"module {type(module).__name__} cannot be copied: {last_line(error)}; make it an entry (`assay new`)"
        ) from error


def _shared(part: str, module: nn.Module, memo: dict[int, Any]) -> list[str]:
    """Put the attributes that cannot be copied into ``memo`` as they are, and name them."""
    names = []
    for name, value in vars(module).items():
        if name in ("_parameters", "_buffers", "_modules"):
            continue
        try:
            copy.deepcopy(value, dict(memo))
        except Exception:
            memo[id(value)] = value.detach() if isinstance(value, torch.Tensor) else value
            names.append(f"{part}.{name}".lstrip("."))
    return names
