"""``timm:MODEL[.TAG]``: networks of timm, as its pretrained configurations describe them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from benchmark.errors import UnknownNameError
from benchmark.models.sources.base import MOST_NAMES, Found, Source, sources
from benchmark.models.sources.pins import pinned

FILE = "model.safetensors"  # what timm writes into its repositories of the hub


@sources.register("timm")
class Timm(Source):
    """Networks of timm: preprocessing, licence and weights from its pretrained configuration."""

    library: ClassVar[str] = "timm"
    requires: ClassVar[tuple[str, ...]] = ("timm", "huggingface-hub")
    extra: ClassVar[str] = "zoo"
    source: ClassVar[str] = "timm (Wightman 2019)"
    form: ClassVar[str] = "MODEL[.TAG]"
    factories: ClassVar[tuple[str, ...]] = ("create_model",)

    def find(self, name: str) -> Found:
        """See :meth:`Source.find`."""
        import timm

        if not timm.is_model(name):
            raise UnknownNameError("timm model", name, timm.list_models(), "timm.list_models()")
        config = timm.models.get_pretrained_cfg(name)
        if config is None:
            raise UnknownNameError("timm model", name, timm.list_pretrained(name.partition(".")[0] + "*"), "its tags")
        if not config.num_classes:
            raise self.refused(name, "these weights have no classifier (num_classes = 0): choose a tag that has one")
        return described(config.to_dict(), name)


def described(config: Mapping[str, Any], name: str) -> Found:
    """An entry of a pretrained configuration.

    Args:
        config: ``PretrainedCfg.to_dict()``, or ``pretrained_cfg`` of a config.json with its ``architecture``.
        name: the network's, with or without tag.
    """
    tag = config.get("tag") or ""
    full = name if "." in name or not tag else f"{name}.{tag}"
    shape, count = list(config.get("input_size") or (3, 224, 224)), int(config.get("num_classes") or 0)
    weights, notes, licence = _weights(config)
    names = class_names(config, count)
    return Found(
        source=f"timm:{full}",
        input_shape=shape,
        classes=names or count,
        factory="timm:create_model",
        kwargs={"model_name": full, "num_classes": count},
        preprocessing=preprocessing(config),
        weights=weights,
        licence=str(config.get("license") or licence or ""),
        paper=", ".join(_texts(config.get("paper_ids"))) or str(config.get("origin_url") or ""),
        description=str(config.get("description") or ""),
        dataset="imagenet" if count == 1000 else "",
        notes=tuple(notes),
    )


def preprocessing(config: Mapping[str, Any]) -> dict[str, Any]:
    """``[preprocessing]`` of timm's configuration."""
    interpolation = str(config.get("interpolation") or "bilinear")
    found: dict[str, Any] = {"mean": list(config.get("mean") or ()), "std": list(config.get("std") or ())}
    found["interpolation"] = interpolation if interpolation in ("bilinear", "bicubic", "nearest") else "bilinear"
    if config.get("crop_pct"):
        found["crop"] = float(config["crop_pct"])
    return {key: value for key, value in found.items() if value}


def class_names(config: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Names of the classes where timm knows them; empty where it does not, or there are too many to be written."""
    given = config.get("label_names")
    if isinstance(given, list | tuple) and len(given) == count <= MOST_NAMES:
        return tuple(str(name) for name in given)
    if count != 1000 or config.get("label_offset"):
        return ()
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return tuple(str(info.index_to_label_name(index)) for index in range(count))


def _weights(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], str]:
    """(keys of ``[weights]``, what is to be said of them, the licence that the hub states)."""
    hub, url = str(config.get("hf_hub_id") or ""), str(config.get("url") or "")
    if hub:
        file = str(config.get("hf_hub_filename") or FILE)
        pin = pinned(hub, file)
        return {"hub": hub, "file": file, **pin.weights()}, [pin.reason] if pin.reason else [], pin.licence
    if not url:
        return {}, ["timm has no weights for it: its network is untrained"], ""
    name = Path(urlsplit(url).path).name
    if found := re.search(r"-([0-9a-f]{8,63})\.", name):
        return {"url": url, "sha256_start": found[1]}, [], ""
    return {"file": name}, [f"its source publishes no digest: fetch {url} and put it beside entry.toml"], ""


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)] if value else []
