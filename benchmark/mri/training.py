"""The recipe that the reconstruction networks here share: ``file = "benchmark.mri.training:train"`` in entry.toml.

Measurements are simulated anew at every step from a dataset's samples: turned and mirrored, with a random global phase,
under a mask drawn for each image, and where ``jitter`` is set with noise of a random level. Without noise the training
is the usual one, an "inverse crime" by Genzel et al. 2022; jittering is what they propose against it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmark.mri.masks import MaskSpec, make_mask
from benchmark.mri.measurement import Measurement, measure, truth_of
from benchmark.mri.quality import psnr, relative_error
from benchmark.seeds import derive

if TYPE_CHECKING:
    from benchmark.models.recipe import TrainingData
    from benchmark.models.weights import Progress
    from benchmark.models.wrap import Model


def train(
    model: Model,
    data: TrainingData,
    *,
    seed: int,
    device: str,
    progress: Progress,
    mask: Mapping[str, Any],
    epochs: int,
    batch_size: int = 16,
    lr: float = 1e-3,
    jitter: float = 0.0,
    any_mask: bool = True,
) -> list[dict[str, float]]:
    """Mean squared error on the complex image, Adam with a one-cycle learning rate.

    The weights kept are those of the lowest validation error (noiseless, at ``mask``), without a validation split the
    last. The same seed gives the same weights on one machine.

    Args:
        model, data, seed, device, progress: as :class:`benchmark.models.recipe.Train` gets them.
        mask: fields of :class:`MaskSpec`: the mask by which the network is judged.
        epochs: passes over the training split.
        batch_size: samples a step.
        lr: highest learning rate.
        jitter: each image's noise level ||n|| / ||Ax|| is uniform in [0, jitter] (Genzel et al. 2022, sec. 3.4).
        any_mask: draw a mask of this kind and fraction for each image (Schlemper et al. 2018); False: always ``mask``,
            for networks that take only one.

    Returns:
        the training curve, a row an epoch: ``epoch``, ``loss`` and, with a validation split, ``val_rel_err``.
    """
    network, spec = model.network, MaskSpec(**mask)
    parameters = [p.requires_grad_(True) for p in network.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=lr)
    steps = -(-data.size(data.spec.train) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=lr, total_steps=epochs * steps)
    order = torch.Generator().manual_seed(derive(seed, "order"))
    drawn = torch.Generator().manual_seed(derive(seed, "measurements"))
    best, kept, curve = math.inf, copy.deepcopy(network.state_dict()), []
    for epoch in range(1, epochs + 1):
        network.train()
        total = 0.0
        for samples, _ in data.batches(data.spec.train, batch_size, order):
            inputs = augment(samples, drawn)
            measured = simulate(inputs, spec, drawn, jitter=jitter, any_mask=any_mask).to(device)
            total += _step(network, optimiser, measured, truth_of(inputs).to(device)) * len(samples)
            schedule.step()
        row = {"epoch": float(epoch), "loss": total / data.size(data.spec.train)}
        line = f"epoch {epoch}/{epochs}: training loss {row['loss']:.3g}"
        if data.spec.val:
            row["val_rel_err"] = judge(model, data, data.spec.val, mask, device).rel_err
            line += f", validation relative error {row['val_rel_err']:.4f}"
            if row["val_rel_err"] < best:
                best, kept = row["val_rel_err"], copy.deepcopy(network.state_dict())
        curve.append(row)
        progress(line)
    if data.spec.val:
        network.load_state_dict(kept)
    model.eval().requires_grad_(False)
    return curve


def _step(network: nn.Module, optimiser: torch.optim.Optimizer, measured: Measurement, truth: torch.Tensor) -> float:
    """One optimiser step; returns the loss. A network with ``penalised`` adds its own term."""
    optimiser.zero_grad(set_to_none=True)
    penalty: torch.Tensor | float = 0.0
    if hasattr(network, "penalised"):
        model: Any = network
        output, penalty = model.penalised(measured.y, measured.physics())
    else:
        output = network(measured.y, measured.physics())
    loss = F.mse_loss(output, truth) + penalty
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.detach())


def augment(inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Samples (N, 2, H, W) or (N, 4 c, H, W), each mirrored and (square ones) transposed at random, each with a random
    global phase; maps are mirrored with their images, and keep their phase."""
    flips = torch.randint(2, (len(inputs), 3), generator=generator).bool().tolist()
    square = inputs.shape[-1] == inputs.shape[-2]
    copies = []
    for sample, (down, across, transposed) in zip(inputs, flips, strict=True):
        axes = [axis for axis, wanted in ((-2, down), (-1, across)) if wanted]
        turned = sample.flip(axes) if axes else sample
        copies.append(turned.transpose(-2, -1) if transposed and square else turned)
    mirrored = torch.stack(copies)
    channels = inputs.shape[1]
    images = 2 if channels == 2 else channels // 2  # of them the first half real, the second imaginary parts
    real, imaginary = mirrored[:, : images // 2], mirrored[:, images // 2 : images]
    angle = 2 * math.pi * torch.rand((len(inputs), 1, 1, 1), generator=generator)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos * real - sin * imaginary, sin * real + cos * imaginary, mirrored[:, images:]], dim=1)


def simulate(
    inputs: torch.Tensor, spec: MaskSpec, generator: torch.Generator, *, jitter: float = 0.0, any_mask: bool = True
) -> Measurement:
    """Training measurements of samples: a mask each (or always the spec's), noise of a level in [0, jitter] each."""
    size = (inputs.shape[-2], inputs.shape[-1])
    if any_mask:
        seeds = torch.randint(2**31, (len(inputs),), generator=generator).tolist()
        masks = [make_mask(spec.model_copy(update={"seed": seed}), size) for seed in seeds]
        mask = torch.stack([torch.from_numpy(one) for one in masks])[:, None]
    else:
        mask = torch.from_numpy(make_mask(spec, size))
    if not jitter:
        return measure(inputs, mask)
    channels = 2 if inputs.shape[1] == 2 else inputs.shape[1] // 2
    levels = jitter * torch.rand((len(inputs), 1, 1, 1), generator=generator)
    normal = torch.randn((len(inputs), channels, *size), generator=generator)
    return measure(inputs, mask, level=1.0, normal=levels * normal)


@dataclass(frozen=True)
class ReconstructionErrors:
    """Reconstructions of a split against the truth, noiseless, at one mask.

    Attributes:
        rel_err: mean of ||f - x|| / ||x||.
        psnr: mean in dB, of magnitudes with the range max|x|.
        n: number of samples.
    """

    rel_err: float
    psnr: float
    n: int

    def lines(self) -> list[str]:
        """Text: both means."""
        return [f"relative error {self.rel_err:.4f}, PSNR {self.psnr:.2f} dB (n = {self.n})"]

    def agrees(self, other: ReconstructionErrors) -> bool:
        """The mean error differs by less than 1 % of the other's."""
        return abs(self.rel_err - other.rel_err) < 0.01 * other.rel_err


@torch.no_grad()
def judge(
    model: Model, data: TrainingData, split: str, mask: Mapping[str, Any], device: str = "cpu"
) -> ReconstructionErrors:
    """Errors of a split's noiseless measurements at one mask, in eval mode.

    Args:
        model: a :class:`benchmark.models.wrap.Reconstructor`.
        data: the splits.
        split: which of them.
        mask: fields of :class:`MaskSpec`.
        device: where the model is.
    """
    model.eval()
    errors, decibels = [], []
    for samples, _ in data.batches(split, 256):
        locations = torch.from_numpy(make_mask(MaskSpec(**mask), (samples.shape[-2], samples.shape[-1])))
        output, truth = model(measure(samples, locations).pack().to(device)).cpu(), truth_of(samples)
        errors.append(relative_error(output, truth))
        decibels.append(psnr(output, truth))
    error, decibel = torch.cat(errors), torch.cat(decibels)
    return ReconstructionErrors(float(error.mean()), float(decibel.mean()), len(error))
