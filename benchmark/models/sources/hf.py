"""``hf:OWNER/REPO`` or ``hf:FOLDER``: image classifiers of transformers, by their config.json and image processor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from benchmark.models.sources.base import MOST_NAMES, Found, Source, sources
from benchmark.models.sources.repository import CONFIG, Repository

PROCESSORS = ("preprocessor_config.json", "processor_config.json")
INTERPOLATION = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
MODEL = '''"""The network that config.json beside this file describes, as transformers builds it."""

from pathlib import Path

from transformers import AutoConfig, AutoModelForImageClassification


def build():
    config = AutoConfig.from_pretrained(Path(__file__).parent)
    return AutoModelForImageClassification.from_config(config)
'''


@sources.register("hf")
class HuggingFace(Source):
    """Image classifiers of transformers, from the Hugging Face hub or from a folder of save_pretrained."""

    library: ClassVar[str] = "transformers"
    requires: ClassVar[tuple[str, ...]] = ("transformers", "huggingface-hub")
    extra: ClassVar[str] = "zoo"
    source: ClassVar[str] = "transformers (Wolf et al. 2020)"
    form: ClassVar[str] = "OWNER/REPO or FOLDER"

    def find(self, name: str) -> Found:
        """See :meth:`Source.find`."""
        repository = Repository.of(name)
        config = repository.json(CONFIG)
        if "model_type" not in config:
            raise self.refused(name, f"{CONFIG} names no model_type: no network of transformers; try hub:{name}")
        made = next((each for each in config.get("architectures") or [] if "ImageClassification" not in each), "")
        if made:
            raise self.refused(name, f"it is a {made}, expected one for image classification")
        processor: dict[str, Any] = {}
        for file in PROCESSORS:
            found = repository.json(file, needed=False)
            processor = processor or dict(found.get("image_processor") or found)
        if not processor and repository.folder is None:
            processor = repository.json(PROCESSORS[0])
        return described(repository, config, processor)


def described(repository: Repository, config: Mapping[str, Any], processor: Mapping[str, Any]) -> Found:
    """An entry of a configuration and an image processor."""
    pin = repository.pin()
    weights, said = repository.weights(pin)
    size = input_size(config, processor)
    names = class_names(config)
    count = int(config.get("num_labels") or len(config.get("id2label") or {}) or 2)
    notes = [said]
    if not processor:
        notes.append("it has no image processor: mean and std are not known, so inputs stay in [0, 1]")
    if processor and not processor.get("do_center_crop"):
        notes.append('its processor squeezes images to the size and crops nothing: fit = "squeeze" is the same')
    return Found(
        source=f"hf:{repository.label}",
        input_shape=(int(config.get("num_channels") or 3), size, size),
        classes=names or count,
        factory="model:build",
        preprocessing=preprocessing(processor, size),
        weights={**weights, "rename": "transformers"} if weights else {},
        licence=pin.licence,
        dataset="imagenet" if count == 1000 else "",
        output_key="logits",
        files={"model.py": MODEL, CONFIG: json.dumps(dict(config), indent=1, sort_keys=True) + "\n"},
    ).noted(*notes)


def class_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the classes in the order of the outputs; empty where they are ``LABEL_0``, ... or too many."""
    labels = config.get("id2label") or {}
    names = tuple(str(labels[key]) for key in sorted(labels, key=int))
    given = any(name != f"LABEL_{i}" for i, name in enumerate(names))
    return names if given and len(names) <= MOST_NAMES else ()


def input_size(config: Mapping[str, Any], processor: Mapping[str, Any]) -> int:
    """Side of the square input: what the processor makes, else what the network is built for."""
    for given in (processor.get("crop_size") if processor.get("do_center_crop") else None, processor.get("size")):
        side = given.get("height") or given.get("shortest_edge") if isinstance(given, Mapping) else given
        if side:
            return int(side)
    image = config.get("image_size") or 224
    return int(image[0] if isinstance(image, list | tuple) else image)


def preprocessing(processor: Mapping[str, Any], size: int) -> dict[str, Any]:
    """``[preprocessing]`` of an image processor, for inputs in [0, 1].

    A processor multiplies 8-bit values by ``rescale_factor`` (with ``rescale_offset`` it then takes 1 off), subtracts
    the mean and divides by the std.
    """
    if not processor:
        return {}
    scale = 255 * float(processor.get("rescale_factor") or 1 / 255) if processor.get("do_rescale", True) else 255.0
    offset = 1.0 if processor.get("rescale_offset") else 0.0
    normalises = processor.get("do_normalize", True) and processor.get("image_mean") is not None
    mean = list(processor["image_mean"]) if normalises else [0.0] * 3
    std = list(processor["image_std"]) if normalises else [1.0] * 3
    found: dict[str, Any] = {}
    if normalises or scale != 1 or offset:
        found["mean"] = [_tidy((float(m) + offset) / scale) for m in mean]
        found["std"] = [_tidy(float(s) / scale) for s in std]
    found["interpolation"] = INTERPOLATION.get(int(processor.get("resample") or 2), "bilinear")
    found["crop"] = crop_share(processor, size)
    return found


def crop_share(processor: Mapping[str, Any], size: int) -> float:
    """Share of the short side that is kept: 1 where nothing is cropped."""
    if processor.get("crop_pct"):
        return float(processor["crop_pct"])
    whole = processor.get("size")
    edge = whole.get("shortest_edge") if isinstance(whole, Mapping) else whole
    if not processor.get("do_center_crop") or not edge:
        return 1.0
    return min(1.0, round(size / float(edge), 6))


def _tidy(value: float) -> float:
    """Without the last digits that a factor of 1/255 leaves."""
    return float(f"{value:.10g}")
