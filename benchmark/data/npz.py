"""Arrays in a NumPy .npz file: images, labels and, where they are there, names, groups, masks and class names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from benchmark.data._files import check_split, given_path, npz_array, npz_keys
from benchmark.data.base import Dataset, Index, Split, datasets
from benchmark.errors import DataError
from benchmark.files import stamps
from benchmark.registry import digest


@datasets.register("npz")
class Npz(Dataset):
    """Images ``x_<split>`` and labels ``y_<split>`` in PATH, a .npz file (or arrays of other names).

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W) (C is 1 or 3), uint8 or float in [0, 1]. Of a .npz, which is a
    zip file, an array can only be read whole: the images of one split are read once a process and kept. Larger sets
    belong in ``folder``.

    Attributes:
        x, y: keys of images and labels; ``{split}`` stands for the split.
        ids, groups, masks: keys of names, groups and masks ((N, H, W) or (N, 1, H, W)); taken where the file has them.
        classes: key of the class names (else the labels' numbers).
        split: the split's name where ``x`` does not contain ``{split}``.
    """

    source: ClassVar[str] = "the user's own arrays"
    needs_path: ClassVar[bool] = True

    x: str = "x_{split}"
    y: str = "y_{split}"
    ids: str = "ids_{split}"
    groups: str = "groups_{split}"
    masks: str = "masks_{split}"
    classes: str = "classes"
    split: str = "test"

    @model_validator(mode="after")
    def _keys(self) -> Npz:
        if ("{split}" in self.x) != ("{split}" in self.y):
            raise ValueError("x and y must both contain {split}, or neither")
        return self

    def fingerprint(self, split: Split) -> str:
        """The file's stamp."""
        return digest([split, *stamps([given_path(self)])])

    def build_index(self, split: Split) -> Index:
        """Names, labels, groups, and the digest over the arrays."""
        images, labels = self._get(split, self.x), self._get(split, self.y)
        masks, groups, names = (self._optional(split, key) for key in (self.masks, self.groups, self.ids))
        self._check(split, images, labels)
        content = hashlib.sha256()
        for array in (images, labels, masks, groups, names):
            if array is not None:
                self._check_length(split, array, images)
                content.update(f"{array.dtype} {array.shape}\n".encode())
                content.update(np.ascontiguousarray(array).tobytes())
        width = max(4, len(str(len(images) - 1)))
        ids = [f"{split}-{i:0{width}d}" for i in range(len(images))] if names is None else [str(n) for n in names]
        return Index(
            ids=tuple(ids),
            labels=labels.reshape(-1).astype(np.float64 if labels.dtype.kind == "f" else np.int64),
            classes=self._classes(labels),
            digest=content.hexdigest(),
            groups=None if groups is None else tuple(str(group) for group in groups),
            masks=masks is not None,
        )

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Images (H, W) or (H, W, C) as stored."""
        images = self._get(split, self.x)
        where = self.index(split).positions(ids)
        return [_channels_last(images[i]) for i in where]

    def read_masks(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """Masks (H, W): where the array is not 0."""
        masks = self._get(split, self.masks)
        return [np.squeeze(masks[i]) > 0 for i in self.index(split).positions(ids)]

    # -- the file -----------------------------------------------------------------------------------------------

    def _get(self, split: Split, template: str) -> NDArray[Any]:
        check_split(self, split, self.split, self.x)
        key, known = template.replace("{split}", split), npz_keys(self)
        if key not in known:
            raise DataError(
                f"dataset 'npz', split {split!r}: {self.path} has no array {key!r}, it has"
                f" {', '.join(known) or 'none'};"
                ' name the arrays with the parameters x and y, such as x = "images_{split}"'
            )
        return npz_array(self, key)

    def _optional(self, split: Split, template: str) -> NDArray[Any] | None:
        return self._get(split, template) if template.replace("{split}", split) in npz_keys(self) else None

    def _classes(self, labels: NDArray[Any]) -> tuple[str, ...]:
        if labels.dtype.kind == "f":
            return ()
        if self.classes in npz_keys(self):
            return tuple(str(name) for name in npz_array(self, self.classes))
        largest = max((int(self._get(s, self.y).max(initial=0)) for s in self._splits()), default=0)
        return tuple(str(i) for i in range(largest + 1))

    def _splits(self) -> list[str]:
        if "{split}" not in self.y:
            return [self.split]
        before, after = self.y.split("{split}")
        keys = [key for key in npz_keys(self) if key.startswith(before) and key.endswith(after)]
        splits = [key.removeprefix(before).removesuffix(after) for key in keys]
        return [s for s in splits if self.x.replace("{split}", s) in npz_keys(self)]

    def _check(self, split: Split, images: NDArray[Any], labels: NDArray[Any]) -> None:
        if images.ndim not in (3, 4):
            raise DataError(
                f"dataset 'npz', split {split!r}: expected images (N, H, W), (N, H, W, C) or (N, C, H, W),"
                f" got {self.x.replace('{split}', split)!r} of shape {images.shape}"
            )
        if labels.size != len(images) or labels.dtype.kind not in "iuf":
            raise DataError(
                f"dataset 'npz', split {split!r}: expected {len(images)} numbers as labels,"
                f" got {self.y.replace('{split}', split)!r} of shape {labels.shape} and type {labels.dtype}"
            )

    def _check_length(self, split: Split, array: NDArray[Any], images: NDArray[Any]) -> None:
        if len(array) != len(images):
            raise DataError(
                f"dataset 'npz', split {split!r}: {len(images)} images, but an array of {len(array)} beside"
            )


def _channels_last(image: NDArray[Any]) -> NDArray[Any]:
    channels_first = image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[2] not in (1, 3, 4)
    return image.transpose(1, 2, 0) if channels_first else image
