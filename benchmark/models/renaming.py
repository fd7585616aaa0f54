"""State dicts under other names than the network's: prefixes, parts that are apart, order, transformers' own names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from benchmark.errors import EntryError
from benchmark.models.entries import Entry
from benchmark.models.faults import last_line
from benchmark.spec.network import Weights

State = dict[str, torch.Tensor]


def renamed(entry: Entry, path: Path, network: nn.Module, state: State) -> State:
    """The file's tensors under the network's names: ``strip``, ``drop`` and ``rename`` of [weights].

    Args:
        network: whose names they are to have.
        state: what the file holds, in its order.

    Raises:
        EntryError: a dropped mean or std is not the entry's, the order does not decide which tensor is which, or the
            file is not of transformers' network.
    """
    weights = entry.spec.weights or Weights()
    for prefix in weights.prefixes:
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    for key in [key for key in state if key.startswith(weights.drop)] if weights.drop else []:
        check_dropped(entry, path, key, state.pop(key))
    if weights.rename == "order":
        return in_order(entry, path, network.state_dict(), state)
    return by_transformers(entry, path, network, state) if weights.rename == "transformers" else state


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


def by_transformers(entry: Entry, path: Path, network: nn.Module, state: State) -> State:
    """The names that transformers gives the tensors in memory: its files may have older ones, which it translates.

    Raises:
        EntryError: the network is none of transformers', or a tensor is missing, left over or of another shape.
    """
    load, config = getattr(type(network), "from_pretrained", None), getattr(network, "config", None)
    say = f'entry {entry.name!r}: rename = "transformers": {path.name}'
    if load is None or config is None:
        raise EntryError(f"{say}: the network is a {type(network).__name__}, none of transformers'; leave rename out")
    try:
        with _quiet():
            loaded, report = load(
                None, config=config, state_dict=state, output_loading_info=True, ignore_mismatched_sizes=True
            )
    except Exception as error:
        raise EntryError(f"{say} could not be loaded by transformers: {last_line(error)}") from error
    faults = [
        f"{what}: {', '.join(sorted(str(key) for key in report[kind])[:5])}"
        for what, kind in (("missing", "missing_keys"), ("unexpected", "unexpected_keys"))
        if report[kind]
    ]
    faults += [f"other shape: {key[0]}" for key in sorted(report["mismatched_keys"], key=str)[:5]]
    if faults:
        raise EntryError(f"{say} does not fit the network of config.json: {'; '.join(faults)}")
    return dict(loaded.state_dict())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and reports: what is amiss is said by us."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
