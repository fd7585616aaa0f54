"""Arrays in a NumPy .npz file: images, labels and, where they are there, names, groups, masks and class names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from benchmark.data._files import check_split, given_path, npz_array, npz_keys
from benchmark.data._labels import as_texts, class_labels, is_text
from benchmark.data._left_out import count, shown
from benchmark.data._pictures import UNSURE, as_mask, dark_note, share_of_scale
from benchmark.data.base import Dataset, Index, Split, datasets
from benchmark.errors import DataError
from benchmark.files import stamps
from benchmark.registry import digest


@datasets.register("npz")
class Npz(Dataset):
    """Images ``x_<split>`` and labels ``y_<split>`` in PATH, a .npz file (or arrays of other names).

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W) (C is 1 or 3), of any type of numbers whose white the suite's
    ``range`` says. Labels are whole numbers of any type, or names of classes. Of a .npz, which is a
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
        self._check(split, images, masks)
        numbers = self._numbers(split, labels)
        if len(numbers) != len(images):
            raise DataError(
                f"{self._what(split, self.y)}: expected {len(images)} numbers as labels, got {len(numbers)}"
            )
        for key, array in ((self.ids, names), (self.groups, groups)):
            if array is not None and array.size != len(images):
                raise DataError(
                    f"{self._what(split, key)}: expected {len(images)} values, one an image, got shape {array.shape}"
                )
        content = hashlib.sha256()
        for array in (images, labels, masks, groups, names):
            if array is not None:
                self._check_length(split, array, images)
                content.update(f"{array.dtype} {array.shape}\n".encode())
                content.update(np.ascontiguousarray(array).tobytes())
        width = max(4, len(str(len(images) - 1)))
        ids = [f"{split}-{i:0{width}d}" for i in range(len(images))] if names is None else as_texts(names)
        classes, named = self._classes(numbers)
        if is_text(labels):
            content.update("\n".join(["classes", *classes]).encode())
        peak = (self._brightest(images), (str(images.dtype),))
        cut, said = (False, ()) if masks is None else self._mask_notes(masks, ids)
        if cut:
            content.update(b"half")  # other masks than where the array is not 0
        return Index(
            ids=tuple(ids),
            labels=numbers,
            classes=classes,
            digest=content.hexdigest(),
            groups=None if groups is None else tuple(as_texts(groups)),
            masks=masks is not None,
            notes=(*dark_note(*peak), *said),
            peak=peak,
            named=named,
            shapes=((*_channels_last(images[0]).shape[:2], len(images)),) if len(images) else (),
        )

    def sources(self, split: Split, ids: Sequence[str] | None = None) -> Sequence[Path]:
        """The file."""
        return [given_path(self)]

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Images (H, W) or (H, W, C) as stored."""
        images = self._get(split, self.x)
        where = self.index(split).positions(ids)
        return [_channels_last(images[i]) for i in where]

    def read_masks(self, split: Split, ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """Masks (H, W): where the array is above half of its range."""
        masks = self._get(split, self.masks)
        return [as_mask(masks[i].reshape(masks.shape[-2:]))[0] for i in self.index(split).positions(ids)]

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

    def _what(self, split: Split, template: str) -> str:
        return f"dataset 'npz', split {split!r}, array {template.replace('{split}', split)!r}"

    def _numbers(self, split: Split, labels: NDArray[Any]) -> NDArray[Any]:
        """Labels as class indices; names of classes by the class names of the file, else sorted; floats of which one
        is not whole as they are (a regression)."""
        if labels.dtype.kind == "f" and labels.size == len(labels) and not _whole(labels):
            return labels.reshape(-1).astype(np.float64)
        if not is_text(labels):
            return class_labels(labels, self._what(split, self.y))
        where = {name: i for i, name in enumerate(self._names())}
        texts = as_texts(labels)
        strange = next((i for i, text in enumerate(texts) if text not in where), None)
        if strange is not None:
            raise DataError(
                f"{self._what(split, self.y)}: the class {texts[strange]!r} of sample {strange} is none of"
                f" {self.classes!r} ({', '.join(list(where)[:6])}); correct one of them"
            )
        return np.array([where[text] for text in texts], np.int64)

    def _names(self) -> list[str]:
        """Names of the classes: those that the file lists, else those that its labels are."""
        if self.classes in npz_keys(self):
            return as_texts(npz_array(self, self.classes))
        names = {text for split in self._splits() for text in as_texts(self._get(split, self.y))}
        return sorted(names)

    def _classes(self, numbers: NDArray[Any]) -> tuple[tuple[str, ...], bool]:
        """Class names, and whether the file names them; none of a regression."""
        if numbers.dtype.kind == "f":
            return (), False
        stored = [self._get(split, self.y) for split in self._splits()]
        if self.classes in npz_keys(self) or any(is_text(labels) for labels in stored):
            names = self._names()
            if len(numbers) and int(numbers.max()) >= len(names):
                raise DataError(
                    f"dataset 'npz': the array {self.classes!r} names {len(names)} classes, but there is a label"
                    f" {int(numbers.max())}; name every class, in the order of the labels"
                )
            return tuple(names), True
        arrays = [self._numbers(split, self._get(split, self.y)) for split in self._splits()]
        largest = max((int(labels.max(initial=0)) for labels in arrays), default=0)
        return tuple(str(i) for i in range(largest + 1)), False

    def _brightest(self, images: NDArray[Any]) -> float:
        return share_of_scale(images) if images.dtype.kind in "buf" else 1.0

    def _mask_notes(self, masks: NDArray[Any], ids: Sequence[str]) -> tuple[bool, tuple[str, ...]]:
        """Whether cutting at half gives other masks than 'not 0', and what is to be said of those in between."""
        unsure, cut = [], False
        for values, name in zip(masks, ids, strict=True):
            flat = values.reshape(masks.shape[-2:])
            mask, between = as_mask(flat)
            cut = cut or bool(((flat > 0) != mask).any())
            if between > UNSURE:
                unsure.append(f"{name} ({between:.0%})")
        said = f"{count(len(unsure), 'mask')} with more than 1 % of its pixels between black and white (cut at half)"
        return cut, (f"{said}: {shown(unsure)}",) if unsure else ()

    def _splits(self) -> list[str]:
        if "{split}" not in self.y:
            return [self.split]
        before, after = self.y.split("{split}")
        keys = [key for key in npz_keys(self) if key.startswith(before) and key.endswith(after)]
        splits = [key.removeprefix(before).removesuffix(after) for key in keys]
        return [s for s in splits if self.x.replace("{split}", s) in npz_keys(self)]

    def _check(self, split: Split, images: NDArray[Any], masks: NDArray[Any] | None) -> None:
        if images.ndim not in (3, 4):
            raise DataError(
                f"dataset 'npz', split {split!r}: expected images (N, H, W), (N, H, W, C) or (N, C, H, W),"
                f" got {self.x.replace('{split}', split)!r} of shape {images.shape}"
            )
        if images.dtype.kind == "c":
            raise DataError(
                f"{self._what(split, self.x)}: expected images, got complex numbers; for k-space use the dataset"
                " 'kspace-npz'"
            )
        if masks is not None and masks.dtype.kind not in "buif":
            raise DataError(
                f"{self._what(split, self.masks)}: expected masks of numbers or true and false, got the type"
                f" {masks.dtype}; convert them"
            )
        if masks is not None and len(images):
            size = _channels_last(images[0]).shape[:2]
            if masks.shape[-2:] != tuple(size) or masks.size != len(masks) * size[0] * size[1]:
                raise DataError(
                    f"{self._what(split, self.masks)}: expected masks (N, H, W) or (N, 1, H, W) of the images' size"
                    f" {size[0]}x{size[1]}, got shape {masks.shape}"
                )

    def _check_length(self, split: Split, array: NDArray[Any], images: NDArray[Any]) -> None:
        if array.ndim == 0:
            raise DataError(f"dataset 'npz', split {split!r}: {len(images)} images, but a single value beside")
        if len(array) != len(images):
            raise DataError(
                f"dataset 'npz', split {split!r}: {len(images)} images, but an array of {len(array)} beside"
            )


def _whole(values: NDArray[Any]) -> bool:
    """Every value is a whole number."""
    return bool((np.isfinite(values) & (values == np.floor(values))).all())


def _channels_last(image: NDArray[Any]) -> NDArray[Any]:
    channels_first = image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[2] not in (1, 3, 4)
    return image.transpose(1, 2, 0) if channels_first else image
