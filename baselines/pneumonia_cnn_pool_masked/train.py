"""Recipe: cross entropy on chest X-rays with a region masked, in training and validation alike."""

import copy
from collections.abc import Iterator
from typing import Any

import torch

from benchmark.attacks.shortcuts.masks import Fill, Region, filled, region_mask
from benchmark.models.recipe import TrainingData, fit
from benchmark.models.weights import Progress
from benchmark.models.wrap import Model


def masked(data: TrainingData, region: Region, share: float, fill: Fill) -> TrainingData:
    """The same splits with the region of every image filled; ``data`` stays as it is."""
    found, mask = copy.copy(data), region_mask(region, share, *data.grid.size)

    def batches(*args: Any, **kwargs: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for inputs, labels in data.batches(*args, **kwargs):
            yield filled(inputs, mask, fill), labels

    found.batches = batches
    return found


def train(
    model: Model,
    data: TrainingData,
    *,
    seed: int,
    device: str,
    progress: Progress,
    region: Region,
    share: float,
    fill: Fill,
    **params: Any,
) -> None:
    fit(model, masked(data, region, share, fill), seed=seed, device=device, progress=progress, **params)
