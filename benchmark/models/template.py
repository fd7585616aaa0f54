"""What `assay new` writes: an entry that runs at once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark.errors import EntryError, SpecError, UnknownNameError, UsageError
from benchmark.models.build import build_model, last_line
from benchmark.models.entries import ENTRY_FILE, Entry, read_entry
from benchmark.registry import canonical
from benchmark.spec.entry import check_name

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

IMAGE_MODEL = '''"""The network: change it as you like; `build` gets the kwargs of entry.toml."""

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

IMAGE_ENTRY = """name = {name}
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


@dataclass(frozen=True)
class Draft:
    """What to write.

    Attributes:
        name: the entry's name.
        factory: importable ``"module:callable"``; empty: a model.py with a small network.
        kwargs: of the factory.
        classes: number of classes.
        input_shape: (C, H, W) of the network.
        dataset: label of the dataset.
        task: ``"classification"`` or ``"reconstruction"``.
    """

    name: str
    factory: str
    kwargs: Mapping[str, Any]
    classes: int
    input_shape: Sequence[int]
    dataset: str
    task: str = "classification"

    @property
    def image(self) -> bool:
        """True where the network makes images."""
        return self.task == "reconstruction"


def create(draft: Draft, into: Path) -> Entry:
    """Write the entry's folder and build its network once on zeros; what does not run is not left behind.

    Where the factory takes ``num_classes`` (torchvision, timm) and none is given, it is set.

    Raises:
        UsageError: the name is none, or the folder exists.
        EntryError: the factory cannot be imported or called, or its output does not fit ``classes``.
    """
    try:
        check_name(draft.name)
    except ValueError as error:
        raise UsageError(f"entry {draft.name!r}: {error}") from None
    folder = (into / draft.name).expanduser()
    if folder.exists():
        raise UsageError(f"{folder} exists already: choose another name, or remove it first")
    candidates = [dict(draft.kwargs)]
    if draft.task not in ("classification", "reconstruction"):
        raise UnknownNameError("task", draft.task, ("classification", "reconstruction"), "assay new")
    if draft.factory and not draft.image and "num_classes" not in draft.kwargs:
        candidates.insert(0, {**draft.kwargs, "num_classes": draft.classes})
    problem: EntryError | None = None
    for kwargs in candidates:
        try:
            return attempt(draft, kwargs, folder)
        except EntryError as error:
            problem = problem if problem and "unexpected keyword" not in str(problem) else error
    raise problem or EntryError(f"entry {draft.name!r}: could not be built")


def attempt(draft: Draft, kwargs: Mapping[str, Any], folder: Path) -> Entry:
    """Write the folder with these kwargs and try it; removes it where it does not run."""
    folder.mkdir(parents=True)
    try:
        write(draft, kwargs, folder)
        entry = read_entry(folder)
        probe(entry, draft)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return entry


def write(draft: Draft, kwargs: Mapping[str, Any], folder: Path) -> None:
    """The files of the entry."""
    if draft.image:
        _write_image(draft, kwargs, folder)
        return
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


def _write_image(draft: Draft, kwargs: Mapping[str, Any], folder: Path) -> None:
    """The files of an entry that reconstructs."""
    if not draft.factory:
        (folder / "model.py").write_text(IMAGE_MODEL, encoding="utf-8")
        kwargs = {"features": 32, **kwargs}
    text = IMAGE_ENTRY.format(
        name=toml(draft.name),
        dataset=toml(draft.dataset),
        shape=toml(list(draft.input_shape)),
        factory=toml(draft.factory or "model:build"),
        kwargs=toml(kwargs),
    )
    (folder / ENTRY_FILE).write_text(text, encoding="utf-8")


def sample_inputs(entry: Entry, count: int) -> torch.Tensor:
    """Inputs of the kind that the entry takes: uniform images, or packed measurements of half the k-space; seeded."""
    draws = torch.Generator().manual_seed(0)
    shape = tuple(entry.spec.input_shape)
    if entry.spec.output != "image":
        return torch.rand((count, *shape), generator=draws)
    from benchmark.mri.masks import MaskSpec, make_mask
    from benchmark.mri.measurement import measure

    known = {key: value for key, value in entry.spec.kwargs.items() if key in MaskSpec.model_fields}
    mask = make_mask(MaskSpec.model_validate({"fraction": 0.54, **known}), (shape[1], shape[2]))
    images = torch.nn.functional.avg_pool2d(torch.rand((count, *shape), generator=draws), 3, stride=1, padding=1)
    return measure(images, torch.from_numpy(mask)).pack()


def probe(entry: Entry, draft: Draft) -> None:
    """Build the network and call it once.

    Raises:
        EntryError: it raises, or gives another number of outputs.
    """
    model = build_model(entry)
    try:
        with torch.no_grad():
            output = model(sample_inputs(entry, 2))
    except Exception as error:
        raise EntryError(
            f"entry {entry.name!r}: the network raised {last_line(error)} on inputs of {list(draft.input_shape)};"
            " give the shape it takes with --input-shape"
        ) from error
    if draft.image:
        if not isinstance(output, torch.Tensor) or tuple(output.shape) != (2, *draft.input_shape):
            got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise EntryError(f"entry {entry.name!r}: expected images (2, {list(draft.input_shape)}), got {got}")
        return
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != (2, draft.classes):
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise EntryError(
            f"entry {entry.name!r}: expected outputs of shape (2, {draft.classes}), got {got};"
            " give --classes, or the factory's own argument for it with --kwargs"
        )


def bare(key: str) -> str:
    """A key as TOML writes it, quoted only where it must be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def toml(value: object) -> str:
    """A value as TOML (inline).

    Raises:
        SpecError: None or another value that TOML does not know.
    """
    if isinstance(value, Mapping):
        inside = ", ".join(f"{bare(str(key))} = {toml(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, str | bool | int | float):
        return canonical(value)
    raise SpecError(f"{value!r} cannot be written in entry.toml")
