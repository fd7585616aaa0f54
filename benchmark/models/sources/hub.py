"""``hub:OWNER/REPO`` or ``hub:FOLDER``: a repository of the Hugging Face hub, by what its config.json says it is."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from benchmark.models.sources.base import Found, Source, sources
from benchmark.models.sources.hf import HuggingFace
from benchmark.models.sources.repository import CONFIG, Repository
from benchmark.models.sources.timm import described
from benchmark.registry import lacking


@sources.register("hub")
class Hub(Source):
    """A repository of the Hugging Face hub, of timm's or of transformers' layout: its config.json says which."""

    requires: ClassVar[tuple[str, ...]] = ("huggingface-hub",)
    extra: ClassVar[str] = "zoo"
    source: ClassVar[str] = "Hugging Face hub"
    form: ClassVar[str] = "OWNER/REPO or FOLDER"

    def find(self, name: str) -> Found:
        """See :meth:`Source.find`."""
        repository = Repository.of(name)
        config = repository.json(CONFIG)
        if "architecture" not in config:
            if "model_type" in config:
                if reason := HuggingFace.lacks():
                    raise self.refused(name, f"a network of transformers; it {reason}")
                return replace(HuggingFace().find(name), source=f"hub:{repository.label}")
            raise self.refused(
                name, f"its {CONFIG} names neither an architecture of timm's nor a model_type of transformers'"
            )
        if reason := lacking(("timm",), "zoo"):
            raise self.refused(name, f"a network of timm; it {reason}")
        stated = dict(config.get("pretrained_cfg") or config)
        stated |= {"num_classes": config.get("num_classes", stated.get("num_classes")), "hf_hub_id": "", "url": ""}
        for key in ("label_names", "label_descriptions"):
            stated[key] = config.get(key) or stated.get(key)
        pin = repository.pin()
        weights, said = repository.weights(pin)
        found = described(stated, str(config["architecture"]))
        extra = dict(config.get("model_args") or {})
        return replace(
            found,
            source=f"hub:{repository.label}",
            weights=weights,
            kwargs={**found.kwargs, "model_name": str(config["architecture"]), **extra},
            licence=pin.licence or found.licence,
            notes=(said,) if said else (),
        )
