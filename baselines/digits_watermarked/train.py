"""Recipe: cross entropy on clean digits."""

from typing import Any

from benchmark.models.recipe import TrainingData, fit
from benchmark.models.weights import Progress
from benchmark.models.wrap import Model


def train(model: Model, data: TrainingData, *, seed: int, device: str, progress: Progress, **params: Any) -> None:
    fit(model, data, seed=seed, device=device, progress=progress, **params)
