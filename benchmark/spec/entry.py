"""entry.toml: what a model entry is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from benchmark.spec.network import Preprocessing, Strict, Weights

__all__ = ["EntrySpec", "Preprocessing", "Recipe", "RecipeData", "Strict", "Weights", "check_name"]

NAME = re.compile(r"[a-z0-9_-]+")


def check_name(name: str) -> str:
    """A name of an entry, a suite or a probe: one path component of [a-z0-9_-]."""
    if not NAME.fullmatch(name):
        raise ValueError("a name is made of a-z, 0-9, _ and - only")
    return name


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
        factory: ``"model:build"`` (a file beside entry.toml) or any importable ``"package.module:callable"``; empty
            where the weights' file is the whole network (``weights.format``).
        kwargs: keyword arguments of the factory.
        source: where the entry is from, as ``assay new --from`` takes it (a label).
        output: what the network returns, in the task's words: ``"logits"`` (one a class), ``"logit1"`` (one logit of
            class 1), or another that the task knows.
        output_key: where in what the network returns the output lies (``"logits"``, ``"0"``, ``"head.logits"``), where
            it returns several things and none of them is called ``logits``.
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
    source: str = ""
    factory: str = ""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    output: str = "logits"
    output_key: str = ""
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
        if value and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", value):
            raise ValueError("expected 'module:callable', such as 'model:build' or 'torchvision.models:resnet18'")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.factory and not self.is_whole:
            raise ValueError(
                "factory is missing: name what makes the network, such as 'model:build'; or, where a file is the whole"
                ' network, its format under [weights]: "onnx" or "torchscript"'
            )
        if self.factory and self.is_whole and self.weights is not None:
            raise ValueError(
                f"factory = {self.factory!r}, but format = {self.weights.format!r} under [weights] says that the file"
                " is the whole network: leave one of the two out"
            )
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
        """Without later keys that were not given: digests of entries stay what they were before there were these."""
        fields: dict[str, Any] = handler(self)
        for key in ("gradcam_layout", "source", "output_key"):
            if not getattr(self, key):
                fields.pop(key, None)
        if self.cast:
            fields.pop("cast", None)
        return fields

    @property
    def is_whole(self) -> bool:
        """True where the weights' file is the whole network: an ONNX file or a TorchScript archive."""
        return self.weights is not None and self.weights.format != "state-dict"

    @property
    def class_count(self) -> int:
        """Number of classes (0 where the task has none)."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)
