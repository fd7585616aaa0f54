"""Recipe: cross entropy on GTSRB crops under small changes of place, size, slant and light."""

from typing import Any

import torch
from kornia import augmentation

from benchmark.models.recipe import TrainingData, fit
from benchmark.models.weights import Progress
from benchmark.models.wrap import Model


def train(model: Model, data: TrainingData, *, seed: int, device: str, progress: Progress, **params: Any) -> None:
    # no flips: "keep left" would become "keep right"
    change = augmentation.AugmentationSequential(
        augmentation.RandomAffine(10.0, (0.1, 0.1), (0.8, 1.2), padding_mode="border", p=0.9),
        augmentation.RandomPerspective(0.2, p=0.3),
        augmentation.ColorJiggle(0.5, 0.4, 0.2, 0.0, p=0.8),
        augmentation.RandomGaussianBlur((3, 3), (0.3, 1.0), p=0.2),
        data_keys=["input"],
    )

    def perturb(_: Model, inputs: torch.Tensor, __: torch.Tensor) -> torch.Tensor:
        return change(inputs).clamp(0, 1)

    fit(model, data, seed=seed, device=device, progress=progress, perturb=perturb, **params)
