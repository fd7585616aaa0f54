"""Networks that classify images: wrapped in their preprocessing, tried on labels, drafted, judged by a confusion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from benchmark.errors import EntryError
from benchmark.models.check import check_accuracy, check_logits, check_order
from benchmark.models.entries import ENTRY_FILE, Entry
from benchmark.models.kinds import Draft, Judgement, Networks, Question, Trial
from benchmark.models.recipe import TrainingData, judge
from benchmark.models.template import toml
from benchmark.models.wrap import Model
from benchmark.spec.entry import EntrySpec

MODEL = '''"""The network: change it as you like; `build` gets the kwargs of entry.toml."""

from torch import nn


def build(channels: int, height: int, width: int, classes: int) -> nn.Module:
    half = ((height + 1) // 2) * ((width + 1) // 2)
    # ReLU as modules of their own, not inplace: DeepLIFT and LRP need each of them
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * half, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )
'''

TRAIN = '''"""Recipe: cross entropy. `assay train NAME` runs it; see benchmark/models/recipe.py."""

from typing import Any

from benchmark.models.recipe import TrainingData, fit
from benchmark.models.weights import Progress
from benchmark.models.wrap import Model


def train(model: Model, data: TrainingData, *, seed: int, device: str, progress: Progress, **params: Any) -> None:
    fit(model, data, seed=seed, device=device, progress=progress, **params)
'''

ENTRY = """name = {name}
task = "classification"
dataset = {dataset} # what it is made for; suites may use another
description = ""
licence = ""
paper = ""
author = ""
input_shape = {shape} # channels, height, width that the network takes: grey is repeated, other sizes are resized inside
classes = {classes}
factory = {factory} # "file:function" beside this file, or any importable
kwargs = {kwargs}
output = "logits" # or "logit1": one logit of class 1
# gradcam_layer = "2" # module for GradCAM; default: the last spatial layer

# Inputs are in [0, 1]; the network gets (x - mean) / std, a number or one a channel.
# [preprocessing]
# mean = 0.5
# std = 0.25

# UNTRAINED: there are no weights, so the network is the factory's, its random numbers seeded (the same everywhere).
# Weights of your own: safetensors, or a state dict saved by torch.save.
# [weights]
# file = "weights.safetensors" # or path = "...", or url = "..." with sha256 = "..."
# key = "state_dict" # where in the file the state dict lies
# strip = "module." # prefix of its names
{recipe}"""

RECIPE = """
# To train it here: uncomment this, and above [weights] with its file, then `assay train {name}`.
# [recipe]
# file = "train.py"
# seed = 0
# data = {{ use = {use} }}
# params = {{ epochs = 20, lr = 0.002 }}
"""


class Classifiers(Networks):
    """Networks from images to logits."""

    dataset: ClassVar[str] = "digits"
    suite: ClassVar[str] = "digits"
    shape: ClassVar[tuple[int, ...]] = (1, 8, 8)
    factory_shape: ClassVar[tuple[int, ...]] = (3, 32, 32)

    def wrap(self, network: nn.Module, spec: EntrySpec) -> Model:
        """Behind the entry's preprocessing; shapes that are no image's (N, C, H, W) are taken as they come."""
        return Model(
            network,
            input_shape=spec.input_shape if len(spec.input_shape) == 3 else None,
            mean=spec.preprocessing.mean,
            std=spec.preprocessing.std,
            grey=spec.preprocessing.grey,
            interpolation=spec.preprocessing.interpolation,
            one_logit=spec.output == "logit1",
            gradcam_layer=spec.gradcam_layer,
            gradcam_layout=spec.gradcam_layout,
        )

    def example(self, spec: EntrySpec, count: int) -> torch.Tensor:
        """Uniform images (count, C, H, W) in [0, 1]."""
        return torch.rand((count, *spec.input_shape), generator=torch.Generator().manual_seed(0))

    def call(self, model: Model, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See :meth:`Networks.call`."""
        prepared = model.prepared(inputs)
        return model.core(prepared), model.network(prepared)

    def check_rank(self, output: torch.Tensor, name: str) -> int:
        """K of logits (N, K)."""
        if output.ndim != 2:
            raise EntryError(f"module {name!r}: it returned shape {tuple(output.shape)}, expected logits (N, K)")
        return int(output.shape[1])

    def misshapen(self, spec: EntrySpec, got: tuple[int, ...], count: int) -> tuple[str, str] | None:
        """Logits (N, classes), or one logit."""
        if not spec.class_count:
            return None
        expected = [(count,), (count, 1)] if spec.output == "logit1" else [(count, spec.class_count)]
        if got in expected:
            return None
        todo = f"set classes = {got[1]}, or build the network with {spec.class_count} outputs" if len(got) == 2 else ""
        if got in [(count,), (count, 1)]:
            todo = 'set output = "logit1" for one logit of class 1'
        return " or ".join(map(str, expected)), todo

    def first_questions(self, trial: Trial) -> list[Question]:
        """Logits or probabilities."""
        return [("logits", lambda: check_logits(trial.entry, trial.raw))]

    def last_questions(self, trial: Trial) -> list[Question]:
        """Accuracy with the usual preprocessings, and with the usual orders of classes."""
        entry, model, inputs, batch = trial.entry, trial.model, trial.inputs, trial.batch
        return [
            ("preprocessing", lambda: check_accuracy(entry, model, inputs, batch, trial.chance)),
            ("the order of classes", lambda: check_order(entry, model, inputs, batch, trial.classes, trial.chance)),
        ]

    def judge(self, entry: Entry, model: Model, data: TrainingData, device: str) -> Judgement:
        """Predictions against labels."""
        return judge(model, data, data.spec.test, device)

    def trials(self, draft: Draft) -> list[dict[str, Any]]:
        """Where the factory takes ``num_classes`` (torchvision, timm) and none is given, it is set."""
        plain = super().trials(draft)
        if draft.factory and "num_classes" not in draft.kwargs:
            return [{**draft.kwargs, "num_classes": draft.classes}, *plain]
        return plain

    def write(self, draft: Draft, kwargs: Mapping[str, Any], folder: Path) -> None:
        """entry.toml; without a factory also model.py and train.py of a small network."""
        if not draft.factory:
            (folder / "model.py").write_text(MODEL, encoding="utf-8")
            (folder / "train.py").write_text(TRAIN, encoding="utf-8")
            channels, height, width = draft.input_shape
            kwargs = {"channels": channels, "height": height, "width": width, "classes": draft.classes, **kwargs}
        text = ENTRY.format(
            name=toml(draft.name),
            dataset=toml(draft.dataset),
            shape=toml(list(draft.input_shape)),
            classes=toml(draft.classes),
            factory=toml(draft.factory or "model:build"),
            kwargs=toml(kwargs),
            recipe="" if draft.factory else RECIPE.format(name=draft.name, use=toml(draft.dataset)),
        )
        (folder / ENTRY_FILE).write_text(text, encoding="utf-8")

    def unfit(self, draft: Draft, output: object) -> str:
        """Another shape than (2, classes)."""
        if isinstance(output, torch.Tensor) and tuple(output.shape) == (2, draft.classes):
            return ""
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        return (
            f"expected outputs of shape (2, {draft.classes}), got {got};"
            " give --classes, or the factory's own argument for it with --kwargs"
        )
