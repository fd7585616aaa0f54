"""Networks that reconstruct: wrapped for packed measurements, tried against the truth, drafted, judged by the error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from benchmark.errors import EntryError
from benchmark.models.entries import ENTRY_FILE, Entry
from benchmark.models.kinds import Draft, Judgement, Networks, Question, Result, Trial
from benchmark.models.recipe import TrainingData
from benchmark.models.template import toml
from benchmark.models.wrap import Model
from benchmark.mri.masks import MaskSpec, make_mask
from benchmark.mri.measurement import measure, unpack
from benchmark.mri.quality import psnr, relative_error
from benchmark.mri.reconstructor import Reconstructor
from benchmark.mri.training import judge
from benchmark.spec.entry import EntrySpec

MODEL = '''"""The network: change it as you like; `build` gets the kwargs of entry.toml."""

from torch import nn


class Network(nn.Module):
    """Measured k-space to an image (N, 2, H, W): real and imaginary part.

    `y` is (N, 2, H, W), with coils (N, 2, c, H, W), zero where nothing was measured. `physics` is deepinv's operator:
    `A`, `A_adjoint`, `mask`. Nothing here may detach or run under no_grad: attacks need the gradient with respect to y.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, features, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(features, 2, 3, padding=1),
        )

    def forward(self, y, physics):
        x = physics.A_adjoint(y)  # the zero-filled image
        return x + self.body(x)


def build(features: int) -> nn.Module:
    return Network(features)
'''

ENTRY = """name = {name}
task = "reconstruction"
dataset = {dataset} # what it is made for; suites may use another
description = ""
licence = ""
paper = ""
author = ""
input_shape = {shape} # real and imaginary part, height, width that it is trained at
factory = {factory} # "file:function" beside this file, or any importable: network(y, physics) -> image, as in deepinv
kwargs = {kwargs}
output = "image"
facts = {{ trained_noise = "none", n_seeds = 1 }} # what tables must say of it

# UNTRAINED: there are no weights, so the network is the factory's, its random numbers seeded (the same everywhere).
# Weights of your own: safetensors, or a state dict saved by torch.save.
# [weights]
# file = "weights.safetensors" # or path = "...", or url = "..." with sha256 = "..."

# To train it here: uncomment this, and above [weights] with its file, then `assay train NAME`.
# jitter = 0.08 adds noise of a random level in training.
# [recipe]
# file = "benchmark.mri.training:train"
# data = {{ use = {dataset}, val = "val" }}
# params = {{ mask = {{ kind = "vd2d", fraction = 0.54, seed = 0 }}, epochs = 10, jitter = 0.0 }}
"""


class Reconstructors(Networks):
    """Networks from measurements to images, ``network(y, physics) -> image`` as in deepinv."""

    preprocessed: ClassVar[bool] = False
    dataset: ClassVar[str] = "phantoms"
    suite: ClassVar[str] = "mri"
    shape: ClassVar[tuple[int, ...]] = (2, 32, 32)
    factory_shape: ClassVar[tuple[int, ...]] = (2, 32, 32)

    def wrap(self, network: nn.Module, spec: EntrySpec) -> Reconstructor:
        """See :class:`Reconstructor`."""
        return Reconstructor(network)

    def example(self, spec: EntrySpec, count: int) -> torch.Tensor:
        """Packed measurements of half the k-space of smooth noise."""
        shape, draws = tuple(spec.input_shape), torch.Generator().manual_seed(0)
        known = {key: value for key, value in spec.kwargs.items() if key in MaskSpec.model_fields}
        mask = make_mask(MaskSpec.model_validate({"fraction": 0.54, **known}), (shape[1], shape[2]))
        images = torch.nn.functional.avg_pool2d(torch.rand((count, *shape), generator=draws), 3, stride=1, padding=1)
        return measure(images, torch.from_numpy(mask)).pack()

    def misshapen(self, spec: EntrySpec, got: tuple[int, ...], count: int) -> tuple[str, str] | None:
        """Images (N, 2, H, W)."""
        if len(got) == 4 and got[:2] == (count, 2):
            return None
        return f"({count}, 2, H, W)", "return real and imaginary part of an image for each measurement"

    def last_questions(self, trial: Trial) -> list[Question]:
        """The error against the truth."""
        return [("error", lambda: check_error(trial))]

    def judge(self, entry: Entry, model: Model, data: TrainingData, device: str) -> Judgement:
        """Images against the truth, at the mask that the recipe names.

        Raises:
            EntryError: a recipe whose params name no mask.
        """
        mask = entry.spec.recipe.params.get("mask") if entry.spec.recipe else None
        if mask is None:
            raise EntryError(
                f"entry {entry.name!r}: its recipe names no mask to judge images by; write one under [recipe.params],"
                ' such as mask = { kind = "vd2d", fraction = 0.54 }'
            )
        return judge(model, data, data.spec.test, mask, device)

    def write(self, draft: Draft, kwargs: Mapping[str, Any], folder: Path) -> None:
        """entry.toml; without a factory also model.py of a small network."""
        if not draft.factory:
            (folder / "model.py").write_text(MODEL, encoding="utf-8")
            kwargs = {"features": 32, **kwargs}
        text = ENTRY.format(
            name=toml(draft.name),
            dataset=toml(draft.dataset),
            shape=toml(list(draft.input_shape)),
            factory=toml(draft.factory or "model:build"),
            kwargs=toml(kwargs),
        )
        (folder / ENTRY_FILE).write_text(text, encoding="utf-8")

    def unfit(self, draft: Draft, output: object) -> str:
        """Another shape than (2, 2, H, W)."""
        if isinstance(output, torch.Tensor) and tuple(output.shape) == (2, *draft.input_shape):
            return ""
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        return f"expected images (2, {list(draft.input_shape)}), got {got}"


def check_error(trial: Trial) -> Result:
    """Error against the truth, beside that of the zero-filled image."""
    name, model, inputs = "error", trial.model, trial.inputs
    if trial.batch is None:
        return Result(name, "skip", "no images: error not judged", "name data: --suite mri")
    truth = torch.from_numpy(np.asarray(trial.batch.labels)).to(inputs.device)
    measured = unpack(inputs)
    with torch.no_grad():
        own, plain = model(inputs), measured.physics().A_adjoint(measured.y)
    ours, theirs = (float(relative_error(image, truth).mean()) for image in (own, plain))
    found = f"relative error {ours:.3f}, PSNR {float(psnr(own, truth).mean()):.1f} dB; zero-filled {theirs:.3f}"
    if ours > theirs:
        todo = "fine for an untrained network; else check weights, scale (images have max 1) and centring of the FFT"
        return Result(name, "note", found, todo)
    return Result(name, "ok", found)
