"""What a dataset gives: its grid, what is known of a split without its content, and samples on the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, field_validator

from benchmark.errors import DataError

Split = str


class Grid(BaseModel):
    """The suite's grid: every input is resized to it before attacks, norms, masks and attributions see it.

    ``size`` is (height, width), None for the dataset's own size (all samples must then share one);
    ``channels`` is 1 (luminance of colour images) or 3 (grey repeated), None for the dataset's own.
    ``fit`` is how an image of other proportions comes to ``size``: squeezed, its borders cut off (crop), or with black
    around it (pad). ``crop``, with ``fit = "crop"``: the share of the short side that is kept (224 of 256: 0.875).
    ``range`` is the stored value that becomes 1: a number, or with ``"dtype"`` 255 of uint8, 65535 of
    uint16 and 1 of floats.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: tuple[int, int] | None = None
    channels: Literal[1, 3] | None = None
    fit: Literal["squeeze", "crop", "pad"] = "squeeze"
    crop: float = 1.0
    range: Literal["dtype"] | float = "dtype"

    @classmethod
    def of(cls, spec: Gridded) -> Grid:
        """The grid that a suite's [dataset], or a cell's, names."""
        return cls(size=spec.size, channels=spec.channels, fit=spec.fit, crop=spec.crop, range=spec.range)

    @field_validator("size", mode="before")
    @classmethod
    def _square(cls, value: object) -> object:
        return (value, value) if isinstance(value, int) else value


class Gridded(Protocol):
    """What names a grid."""

    @property
    def size(self) -> tuple[int, int] | None: ...
    @property
    def channels(self) -> Literal[1, 3] | None: ...
    @property
    def fit(self) -> Literal["squeeze", "crop", "pad"]: ...
    @property
    def crop(self) -> float: ...
    @property
    def range(self) -> Literal["dtype"] | float: ...


@dataclass(frozen=True)
class Index:
    """What is known of a split without its content.

    Attributes:
        ids: unique sample names, in the dataset's own order.
        labels: one label a sample: int64 class indices, or float64 targets for a regression task.
        classes: class names; empty where labels are not classes.
        digest: sha256 over the content (samples, labels, names) of the split.
        groups: group (patient, sign, …) of each sample, or None.
        masks: True where the dataset can say where the evidence is.
        artefacts: True where it can say where a false structure (a watermark, a marker) is.
        notes: sentences that every table must carry: what was left out, turned, or looks wrong.
        peak: the largest stored value as a share of its type's scale, and the types; 1 where it is no matter.
        named: False where ``classes`` are mere numbers that the dataset made up, since it names none.
        shapes: (height, width) of the images and how many have it, where known.
        keep: False where the index may change without its files' times (some could not be read): it is not cached.
    """

    ids: tuple[str, ...]
    labels: NDArray[Any]
    classes: tuple[str, ...]
    digest: str
    groups: tuple[str, ...] | None = None
    masks: bool = False
    artefacts: bool = False
    notes: tuple[str, ...] = ()
    peak: tuple[float, tuple[str, ...]] = (1.0, ())
    named: bool = True
    shapes: tuple[tuple[int, int, int], ...] = ()
    keep: bool = True

    def positions(self, ids: Sequence[str]) -> list[int]:
        """Positions of the ids in this index.

        Raises:
            DataError: an id that is not in the index.
        """
        where = {name: i for i, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in where]
        if missing:
            raise DataError(f"sample {missing[0]!r} is not in the dataset (it has {len(self.ids)} samples)")
        return [where[name] for name in ids]

    def to_json(self) -> dict[str, Any]:
        """JSON-able form, for the cache."""
        return {
            "ids": list(self.ids),
            "labels": self.labels.tolist(),
            "dtype": str(self.labels.dtype),
            "classes": list(self.classes),
            "digest": self.digest,
            "groups": None if self.groups is None else list(self.groups),
            "masks": self.masks,
            "artefacts": self.artefacts,
            "notes": list(self.notes),
            "peak": [self.peak[0], list(self.peak[1])],
            "named": self.named,
            "shapes": [list(shape) for shape in self.shapes],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Index:
        """Inverse of :meth:`to_json`."""
        return cls(
            ids=tuple(data["ids"]),
            labels=np.asarray(data["labels"], dtype=data["dtype"]),
            classes=tuple(data["classes"]),
            digest=data["digest"],
            groups=None if data["groups"] is None else tuple(data["groups"]),
            masks=data["masks"],
            artefacts=data.get("artefacts", False),
            peak=(data["peak"][0], tuple(data["peak"][1])),
            notes=tuple(data["notes"]),  # an index of an earlier version has none, and is made again
            named=data["named"],
            shapes=tuple((height, width, n) for height, width, n in data["shapes"]),
        )


@dataclass(frozen=True)
class Batch:
    """Samples on the suite's grid, as NumPy arrays.

    Attributes:
        ids: sample names.
        inputs: (N, ...), of the dataset's kind: images float32 (N, C, H, W) in [0, 1]; contiguous (libraries that
            write into views of what they are given lose it else).
        labels: (N,) int64 or float64.
        masks: bool, where the evidence is, or None: of images (N, 1, H, W), else of the inputs' shape.
        artefacts: likewise, where the false structure is, or None.
    """

    ids: tuple[str, ...]
    inputs: NDArray[Any]
    labels: NDArray[Any]
    masks: NDArray[np.bool_] | None = None
    artefacts: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", np.ascontiguousarray(self.inputs))

    def __len__(self) -> int:
        return len(self.ids)
