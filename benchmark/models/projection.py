"""Projecting a known artefact out of a hidden layer (P-ClArC): a network around another entry's, and its recipe.

Activations h of one layer become h - v v'(h - z) / v'v at inference: along the artefact's direction v every sample gets
the value of the clean mean z, and nothing else of the network changes (Anders et al. 2022, Information Fusion 77:261,
P-ClArC). The direction is a concept activation vector:

- ``kind = "pattern"``: the signal pattern cov(h, t) / var(t) of activations and artefact label t (Pahde et al. 2022,
  arXiv:2202.03482, PatClArC), which for t in {0, 1} is the difference of the two means;
- ``kind = "ridge"``: the weights of a ridge regression of t on h, a filter: it tells the two apart, but also holds what
  cancels noise, so that its direction is not where the artefact pushes the activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn

from benchmark.errors import EntryError
from benchmark.models.build import build_model, build_network
from benchmark.models.entries import load_entry
from benchmark.models.recipe import TrainingData
from benchmark.models.weights import Progress
from benchmark.models.wrap import Model

LARGEST = 4096  # activations of the layer: the projection is a matrix of their square
Kind = Literal["pattern", "ridge"]


class Projection(nn.Linear):
    """h to h - v v'(h - z) / v'v on flat activations: a linear layer to every library; the identity until it is set."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size)

    def reset_parameters(self) -> None:
        """Project nothing out."""
        with torch.no_grad():
            self.weight.copy_(torch.eye(self.in_features))
            self.bias.zero_()

    def project(self, direction: torch.Tensor, mean: torch.Tensor) -> None:
        """Set direction v and clean mean z, (D,) each, any scale of v but 0."""
        v = direction.double() / direction.double().norm()
        with torch.no_grad():
            self.weight.copy_(torch.eye(len(v), dtype=torch.float64) - v[:, None] * v)
            self.bias.copy_(v * (v @ mean.double()))


def build(of: str, layer: str) -> nn.Module:
    """The network of another entry with a projection behind one of its layers.

    Args:
        of: the entry, in ``baselines/``; preprocessing, classes and output of this one must be its.
        layer: dotted name of a module in that network, such as ``"5"`` or ``"features.3"``.

    Raises:
        EntryError: there is no such layer, or its output is too large.
    """
    entry = load_entry(of)
    return insert(build_network(entry), layer, entry.spec.input_shape)


def insert(network: nn.Module, layer: str, input_shape: Sequence[int]) -> nn.Module:
    """Put a projection behind a layer, in place.

    Args:
        network: takes (N, *input_shape).
        layer: dotted name.
        input_shape: (C, H, W).

    Raises:
        EntryError: see :func:`build`.
    """
    known = [name for name, _ in network.named_modules() if name]
    if layer not in known:
        raise EntryError(f"layer = {layer!r} is no module of the network; it has {', '.join(known[:20])}")
    shape = activations(network, network.get_submodule(layer), torch.zeros(1, *input_shape)).shape[1:]
    if shape.numel() > LARGEST:
        raise EntryError(
            f"layer = {layer!r} gives {shape.numel()} activations {tuple(shape)}, a projection takes {LARGEST} at most;"
            " choose a later or a smaller layer"
        )
    parent, _, name = layer.rpartition(".")
    parts = [network.get_submodule(layer), nn.Flatten(), Projection(shape.numel()), nn.Unflatten(1, tuple(shape))]
    setattr(network.get_submodule(parent), name, nn.Sequential(*parts))
    return network


def activations(network: nn.Module, layer: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Output (N, ...) of a layer for normalised inputs, in eval mode, without a graph."""
    kept: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _given, output: kept.append(output))
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(inputs)
    finally:
        hook.remove()
        network.train(training)
    found: torch.Tensor = kept[0]
    return found


def direction(hidden: torch.Tensor, carries: torch.Tensor, kind: Kind, ridge: float = 1.0) -> torch.Tensor:
    """Concept activation vector (D,), float64.

    Args:
        hidden: (N, D) activations.
        carries: (N,) bool, who has the artefact.
        kind: signal pattern or ridge filter.
        ridge: weight of the filter's penalty.
    """
    h, t = hidden.double(), carries.double()
    h, t = h - h.mean(0), t - t.mean()
    covariance = h.T @ t
    if kind == "pattern":
        return covariance / (t @ t)
    penalty = ridge * torch.eye(h.shape[1], dtype=torch.float64)
    weights: torch.Tensor = torch.linalg.solve(h.T @ h + penalty, covariance)
    return weights


def train(
    model: Model,
    data: TrainingData,
    *,
    seed: int,  # noqa: ARG001
    device: str,
    progress: Progress,
    of: str,
    layer: str,
    kind: Kind = "pattern",
    ridge: float = 1.0,
) -> None:
    """Recipe: the other entry's weights as they are; the direction from the training samples of the artefact's classes.

    Artefact and clean samples are those of the classes in which the artefact occurs, so that the direction is not one
    between classes; z is the mean of the clean ones. Nothing is drawn: ``seed`` changes nothing.

    Args:
        model, data, seed, device, progress: see :class:`benchmark.models.recipe.Train`.
        of, layer: as the factory has them.
        kind, ridge: see :func:`direction`.

    Raises:
        EntryError: the dataset does not know its artefacts, or the training split has none.
    """
    ids = data.dataset.index(data.spec.train).ids
    batch = data.dataset.load(data.spec.train, ids, data.grid, masks=True)
    if batch.artefacts is None or not batch.artefacts.any():
        raise EntryError(
            f"a projection needs samples with a known artefact; {data.spec.use!r} marks none in {data.spec.train!r}"
        )
    original = build_model(load_entry(of), device)
    carries = torch.from_numpy(batch.artefacts.any(axis=(1, 2, 3)))
    labels = torch.from_numpy(batch.labels)
    scope = torch.isin(labels, torch.from_numpy(np.unique(batch.labels[carries.numpy()])))
    inputs = torch.from_numpy(batch.inputs)[scope].to(device)
    at = original.network.get_submodule(layer)
    hidden = activations(original.network, at, original.prepared(inputs)).flatten(1).cpu()
    carries = carries[scope]
    found = direction(hidden, carries, kind, ridge)
    network = insert(original.network.cpu(), layer, inputs.shape[1:])
    projection = network.get_submodule(layer)[2]  # type: ignore[index]
    projection.project(found, hidden[~carries].mean(0))
    model.network.load_state_dict(network.state_dict())
    counts = f"{int(carries.sum())} samples with the artefact, {int((~carries).sum())} without"
    progress(f"{of}, layer {layer}: {kind} of {counts}")
