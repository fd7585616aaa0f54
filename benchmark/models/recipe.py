"""Recipes: how an entry's weights are made from scratch, with a training loop that the recipes here share.

A recipe is a function ``train`` (see :class:`Train`) in a file beside entry.toml, or an importable one that several
entries share. It gets the model with its
preprocessing inside, so that it trains on inputs in [0, 1], and the entry's dataset on the entry's own grid.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn import functional as F

from benchmark.data.base import Dataset, Grid, datasets
from benchmark.errors import DataError
from benchmark.inputs import IMAGE
from benchmark.models.weights import Progress
from benchmark.models.wrap import Model
from benchmark.seeds import derive
from benchmark.spec.entry import RecipeData

KEEP_BYTES = 1 << 30  # a split up to this size on the grid is kept in memory between epochs
Curve = Sequence[Mapping[str, float]]
Perturb = Callable[[Model, torch.Tensor, torch.Tensor], torch.Tensor]


class TrainingData:
    """The splits of a recipe's dataset, as batches on the entry's grid.

    Args:
        spec: ``[recipe.data]`` of entry.toml.
        input_shape: (C, H, W) of the entry.
        where: paths given by ``--data``, by the dataset's name.
    """

    def __init__(
        self,
        spec: RecipeData,
        input_shape: tuple[int, ...],
        where: Mapping[str, Path] | None = None,
    ) -> None:
        self.spec = spec
        path = (where or {}).get(spec.label, spec.path)
        if path is None and datasets.lookup(spec.use)[0].needs_path:
            raise DataError(f"the recipe trains on {spec.label!r}: say where it lies with --data {spec.label}=PATH")
        params = {**spec.params, **({"path": path} if path is not None else {})}
        self.dataset: Dataset = datasets.make(spec.use, params, "[recipe.data]")
        channels = input_shape[0] if self.dataset.inputs == IMAGE else None
        self.grid = Grid.model_validate({"size": tuple(input_shape[1:]), "channels": channels})
        self._values = math.prod(input_shape)
        self._kept: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the training split."""
        return self.dataset.index(self.spec.train).classes

    def size(self, split: str) -> int:
        """Number of samples of a split."""
        return len(self.dataset.index(split).ids)

    def batches(
        self, split: str, batch_size: int, generator: torch.Generator | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Inputs float32 (N, C, H, W) and labels (N,); shuffled where a generator is given.

        Images to classify lie in [0, 1] and have int64 labels; other samples are as their dataset gives them.
        """
        count = self.size(split)
        order = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
        for chosen in torch.split(order, batch_size):
            yield self._read(split, chosen)

    def _read(self, split: str, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if split in self._kept:
            inputs, labels = self._kept[split]
            return inputs[chosen], labels[chosen]
        ids = self.dataset.index(split).ids
        if len(ids) * 4 * self._values <= KEEP_BYTES:
            batch = self.dataset.load(split, ids, self.grid)
            self._kept[split] = torch.from_numpy(batch.inputs), torch.from_numpy(batch.labels)
            return self._read(split, chosen)
        batch = self.dataset.load(split, [ids[i] for i in chosen.tolist()], self.grid)
        return torch.from_numpy(batch.inputs), torch.from_numpy(batch.labels)


class Train(Protocol):
    """The function ``train`` of a recipe: trains ``model.network`` in place.

    Args (of the call):
        model: untrained, preprocessing inside; returns one logit a class, also for one-logit networks.
        data: the splits.
        seed: everything random derives from it; the global generators are already seeded with it.
        device: such as ``"cpu"``.
        progress: takes a line of text.
        params: ``[recipe.params]`` of entry.toml.

    Returns:
        None, or the training curve: rows of numbers by column, which are kept beside an entry's own weights file.
    """

    def __call__(
        self, model: Model, data: TrainingData, *, seed: int, device: str, progress: Progress, **params: Any
    ) -> Curve | None:
        """Train."""


def fit(
    model: Model,
    data: TrainingData,
    *,
    seed: int,
    device: str,
    progress: Progress,
    epochs: int,
    batch_size: int = 64,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    perturb: Perturb | None = None,
    patience: int = 0,
) -> None:
    """Cross entropy with AdamW and a one-cycle learning rate; the same seed gives the same weights on one machine.

    Args:
        model, data, seed, device, progress: as :class:`Train` gets them.
        epochs: passes over the training split.
        batch_size: samples a step.
        lr: highest learning rate.
        weight_decay: of AdamW (decoupled).
        perturb: makes training inputs from (model, inputs, labels), such as adversarial ones.
        patience: with a validation split, stop after so many epochs without a lower validation loss (0: never).
            The weights kept are those of the lowest validation loss; without a validation split, the last.
    """
    parameters = [p.requires_grad_(True) for p in model.network.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    steps = -(-data.size(data.spec.train) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=lr, total_steps=epochs * steps)
    order = torch.Generator().manual_seed(derive(seed, "order"))
    best, kept, waited = float("inf"), copy.deepcopy(model.network.state_dict()), 0
    for epoch in range(1, epochs + 1):
        total = 0.0
        for inputs, labels in data.batches(data.spec.train, batch_size, order):
            total += step(model, optimiser, inputs.to(device), labels.to(device), perturb) * len(labels)
            schedule.step()
        line = f"epoch {epoch}/{epochs}: training loss {total / data.size(data.spec.train):.4f}"
        if data.spec.val:
            judged = judge(model, data, data.spec.val, device)
            line += f", validation loss {judged.loss:.4f}, accuracy {judged.accuracy:.4f}"
            waited = 0 if judged.loss < best else waited + 1
            if judged.loss < best:
                best, kept = judged.loss, copy.deepcopy(model.network.state_dict())
        progress(line)
        if patience and waited >= patience:
            break
    if data.spec.val:
        model.network.load_state_dict(kept)
    model.eval().requires_grad_(False)


def step(
    model: Model,
    optimiser: torch.optim.Optimizer,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    perturb: Perturb | None = None,
) -> float:
    """One optimiser step; returns the loss. Inputs are perturbed in eval mode."""
    if perturb is not None:
        model.eval()
        inputs = perturb(model, inputs, labels).detach()
    model.train()
    optimiser.zero_grad(set_to_none=True)
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.item())


@dataclass(frozen=True)
class Confusion:
    """Predictions of a split against its labels.

    Attributes:
        loss: mean cross entropy.
        confusion: (K, K) counts, row the label, column the prediction.
        classes: their K names.
    """

    loss: float
    confusion: torch.Tensor
    classes: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of right predictions."""
        return float(self.confusion.diagonal().sum()) / max(self.n, 1)

    def precision(self) -> list[float]:
        """Per class: right ones among those predicted as it (NaN where none were)."""
        return [float(x) for x in self.confusion.diagonal() / self.confusion.sum(0)]

    def recall(self) -> list[float]:
        """Per class: right ones among those of it (NaN where there are none)."""
        return [float(x) for x in self.confusion.diagonal() / self.confusion.sum(1)]

    def agrees(self, other: Confusion) -> bool:
        """Not one count differs."""
        return torch.equal(self.confusion, other.confusion)

    def lines(self) -> list[str]:
        """Text: accuracy, then precision and recall of each class."""
        rows = zip(self.classes, self.precision(), self.recall(), strict=True)
        return [
            f"accuracy {self.accuracy:.4f} (n = {self.n})",
            *(f"{name}: precision {precision:.3f}, recall {recall:.3f}" for name, precision, recall in rows),
        ]


@torch.no_grad()
def judge(model: Model, data: TrainingData, split: str, device: str = "cpu") -> Confusion:
    """Loss and confusion counts of a split, in eval mode."""
    model.eval()
    classes = data.classes
    confusion, total = torch.zeros(len(classes), len(classes), dtype=torch.int64), 0.0
    for inputs, labels in data.batches(split, 256):
        logits = model(inputs.to(device)).cpu()
        total += float(F.cross_entropy(logits, labels, reduction="sum"))
        pairs = labels * len(classes) + logits.argmax(1)
        confusion += torch.bincount(pairs, minlength=len(classes) ** 2).view(len(classes), len(classes))
    return Confusion(total / max(data.size(split), 1), confusion, classes)
