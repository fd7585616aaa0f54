"""entry.toml: what a model entry is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

NAME = re.compile(r"[a-z0-9_-]+")


def check_name(name: str) -> str:
    """A name of an entry, a suite or a probe: one path component of [a-z0-9_-]."""
    if not NAME.fullmatch(name):
        raise ValueError("a name is made of a-z, 0-9, _ and - only")
    return name


class Strict(BaseModel):
    """A part of a spec: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(Strict):
    """What happens to an input in [0, 1] inside the model, in this order: grey, resize, repeat, normalise.

    ``resize`` defaults to the entry's ``input_shape``; a grey input is repeated where the network takes 3 channels.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: tuple[int, int] | None = None
    grey: bool = False

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _one_number(cls, value: object) -> object:
        return (value,) if isinstance(value, int | float) else value

    @field_validator("resize", mode="before")
    @classmethod
    def _square(cls, value: object) -> object:
        return (value, value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std need the same number of values (one a channel)")
        if any(s <= 0 for s in self.std):
            raise ValueError("std must be above 0")
        return self


class Weights(Strict):
    """Where the weights come from: exactly one of file (in the folder), path, url, or nothing (from the recipe).

    Attributes:
        sha256: digest of the file; required for a url; checked wherever it is given.
        key: dotted path to the state dict inside the file, such as ``"state_dict"`` or ``"models.0"`` (of a list).
        strip: prefix removed from every key, such as ``"module."``.
    """

    file: str = ""
    path: Path | None = None
    url: str = ""
    sha256: str = ""
    key: str = ""
    strip: str = ""

    @field_validator("sha256")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.strip().lower()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum([bool(self.file), self.path is not None, bool(self.url)]) > 1:
            raise ValueError("give one of file, path and url")
        if self.url and not self.sha256:
            raise ValueError("weights from a url need their sha256")
        if self.sha256 and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError("sha256 is 64 hexadecimal digits")
        return self


class RecipeData(Strict):
    """The dataset of a recipe, brought to the entry's input_shape.

    Attributes:
        use: dataset plugin.
        name: label that ``--data name=PATH`` refers to; default: ``use``.
        path: where it lies, relative to the working directory, if the plugin needs one.
        train, val, test: names of the splits; no ``val``: nothing is held out for early stopping.
        params: parameters of the plugin.
    """

    use: str
    name: str = ""
    path: Path | None = None
    train: str = "train"
    val: str = ""
    test: str = "test"
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name for ``--data``."""
        return self.name or self.use.replace(":", "-").lower()


class Recipe(Strict):
    """How ``assay train`` makes the weights: ``train(model, data, *, seed, device, progress, **params)``.

    The protocol is :class:`benchmark.models.recipe.Train`.

    Attributes:
        file: a Python file in the folder with a function ``train``, or an importable ``"package.module:function"``,
            so that several entries share one recipe.
        seed: of initial weights, order and everything drawn.
        data: what it trains on.
        params: keyword arguments of the function.
        half: store the weights as float16 where the test split allows: no count of its confusion matrix changes, the
            mean error of its images by less than 1 %.
    """

    file: str = "train.py"
    seed: int = 0
    data: RecipeData
    params: dict[str, Any] = Field(default_factory=dict)
    half: bool = True

    @property
    def is_importable(self) -> bool:
        """True where ``file`` names a function of an importable module."""
        return ":" in self.file


class EntrySpec(Strict):
    """The contents of entry.toml.

    Attributes:
        name: the folder's name.
        task: name of the task.
        dataset: dataset it was made for (a label; suites may use another).
        input_shape: (C, H, W) that the network takes, after the preprocessing's grey, resize and repeat.
        classes: number of classes, or their names.
        factory: ``"model:build"`` (a file beside entry.toml) or any importable ``"package.module:callable"``.
        kwargs: keyword arguments of the factory.
        output: what the network returns, in the task's words: ``"logits"`` (one a class), ``"logit1"`` (one logit of
            class 1), or another that the task knows.
        gradcam_layer: dotted module name for GradCAM; else the last spatial layer larger than 1x1.
        gradcam_layout: how the output of that layer lies, where the network does not say: ``"channels-first"``,
            ``"channels-last"``, ``"tokens"``, ``"class-token"`` (tokens, of which the first is left out).
        cast: a network of another floating-point type is cast to float32; false: it is run as it is.
        facts: what a table must say of the model, a column and its content (``{trained_noise = "none"}``); entries of
            one network trained from several seeds name the first one: ``{seed_of = "automap"}``.
    """

    name: str
    task: str = "classification"
    dataset: str = ""
    input_shape: tuple[int, ...]
    classes: int | tuple[str, ...] = 0
    description: str = ""
    licence: str = ""
    paper: str = ""
    author: str = ""
    factory: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    output: str = "logits"
    gradcam_layer: str = ""
    gradcam_layout: Literal["", "channels-first", "channels-last", "tokens", "class-token"] = ""
    cast: bool = True
    facts: dict[str, str | int | float] = Field(default_factory=dict)
    preprocessing: Preprocessing = Preprocessing()
    weights: Weights | None = None
    recipe: Recipe | None = None

    _names = field_validator("name")(check_name)

    @field_validator("factory")
    @classmethod
    def _is_importable(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", value):
            raise ValueError("expected 'module:callable', such as 'model:build' or 'torchvision.models:resnet18'")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        resize, mean = self.preprocessing.resize, self.preprocessing.mean
        if resize is not None and tuple(resize) != tuple(self.input_shape[1:]):
            raise ValueError(
                f"preprocessing.resize = {list(resize)} differs from the size in input_shape"
                f" = {list(self.input_shape)}; leave resize out (it follows input_shape) or give both the same size"
            )
        if len(mean) not in (0, 1, self.input_shape[0]):
            raise ValueError(f"mean and std have {len(mean)} values, input_shape has {self.input_shape[0]} channels")
        return self

    @model_serializer(mode="wrap")
    def _lean(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a layout that was not given: digests of entries stay what they were before there was the key."""
        fields: dict[str, Any] = handler(self)
        if not self.gradcam_layout:
            fields.pop("gradcam_layout", None)
        if self.cast:
            fields.pop("cast", None)
        return fields

    @property
    def class_count(self) -> int:
        """Number of classes (0 where the task has none)."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)
