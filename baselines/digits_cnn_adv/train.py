"""Recipe: adversarial training (Madry et al. 2018, eq. 2.1) with linf PGD inputs in every step."""

import warnings
from typing import Any

import torch

from benchmark.models.recipe import TrainingData, fit
from benchmark.models.weights import Progress
from benchmark.models.wrap import Model

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # foolbox imports an old name of SciPy
    import foolbox


def train(
    model: Model,
    data: TrainingData,
    *,
    seed: int,
    device: str,
    progress: Progress,
    eps: float,
    steps: int,
    **params: Any,
) -> None:
    attack = foolbox.attacks.LinfPGD(steps=steps, rel_stepsize=2.5 / steps)

    def perturb(model: Model, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=device)
        _, perturbed, _ = attack(wrapped, inputs, labels, epsilons=eps)
        return perturbed

    fit(model, data, seed=seed, device=device, progress=progress, perturb=perturb, **params)
