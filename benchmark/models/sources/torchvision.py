"""``torchvision:MODEL[:WEIGHTS]``: classifiers of torchvision, as its ``Weights`` describe them."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from benchmark.errors import UnknownNameError
from benchmark.models.sources.base import MOST_NAMES, Found, Source, sources

LICENCE = "BSD-3-Clause (code); torchvision states none for these weights"
# What torchvision itself gives where it loads weights: they hold auxiliary heads, and were trained on other inputs.
AUXILIARY = {"transform_input": True, "aux_logits": True, "init_weights": False}
WITH_WEIGHTS: dict[str, dict[str, Any]] = {"googlenet": AUXILIARY, "inception_v3": AUXILIARY}


@sources.register("torchvision")
class Torchvision(Source):
    """Classifiers of torchvision: preprocessing, class names and weights from its Weights."""

    library: ClassVar[str] = "torchvision"
    source: ClassVar[str] = "torchvision"
    form: ClassVar[str] = "MODEL[:WEIGHTS]"

    def find(self, name: str) -> Found:
        """See :meth:`Source.find`."""
        from torchvision import models
        from torchvision.transforms._presets import ImageClassification

        model, _, tag = name.partition(":")
        if model not in models.list_models(module=models):
            raise UnknownNameError("torchvision classifier", model, models.list_models(module=models), "torchvision")
        known = models.get_model_weights(model)
        if tag and tag not in known.__members__:
            raise UnknownNameError(f"weights of {model}", tag, list(known.__members__), "torchvision")
        weights = known[tag] if tag else known.DEFAULT
        transforms, meta = weights.transforms(), weights.meta
        if not isinstance(transforms, ImageClassification):
            raise self.refused(name, "it does not classify images")
        categories = [str(each) for each in meta["categories"]]
        size = int(transforms.crop_size[0])
        start = re.search(r"-([0-9a-f]{8,63})\.pth$", weights.url)
        if start is None:
            raise self.refused(name, f"its file {weights.url} bears no digest: make an entry with its factory instead")
        return Found(
            source=f"torchvision:{model}:{weights.name}",
            input_shape=(3, size, size),
            classes=categories if len(categories) <= MOST_NAMES else len(categories),
            factory=f"torchvision.models:{model}",
            kwargs={"num_classes": len(categories), **WITH_WEIGHTS.get(model, {})},
            preprocessing={
                "mean": list(transforms.mean),
                "std": list(transforms.std),
                "interpolation": str(transforms.interpolation.value),
                "crop": round(size / int(transforms.resize_size[0]), 6),
            },
            weights={"url": weights.url, "sha256_start": start[1]},
            licence=str(meta.get("license") or LICENCE),
            paper=str(meta.get("recipe") or ""),
            description=str(meta.get("_docs") or "").strip().replace("\n", " ")[:200].strip(),
            dataset="imagenet",
        )
