"""Raw, fully sampled k-space in a NumPy .npz file."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr

from benchmark.data.base import Dataset, Grid, Index, Split, datasets
from benchmark.data.reading.files import check_split, given_path, npz_array, npz_keys
from benchmark.errors import DataError
from benchmark.files import stamps
from benchmark.mri import EXTRA, MEASUREMENT
from benchmark.registry import canonical, digest

FEWEST_COILS = 4  # a leading axis as long as this may well be coils


@datasets.register("kspace-npz")
class KspaceNpz(Dataset):
    """Measured k-space in PATH, a .npz file: one complex array (..., H, W), every leading index a sample.

    To the suite's grid k-space is cropped around its centre, which is an acquisition of lower resolution; a grid
    larger than the data is refused. Sample ``03-1`` is index (3, 1) of the leading axes. Of several coils the maps
    are estimated by ESPIRiT on the grid.

    Attributes:
        key: name of the array; ``{split}`` stands for the split.
        split: the split's name where ``key`` does not contain ``{split}``.
        groups: leading axis whose index is the group of a sample (specimen, slice), None for no groups.
        coil_axis: axis of the coils; ``"none"``: every leading index is a sample of one coil; None: the same, but an
            array that may hold coils in its last leading axis is asked about.
        centred: true where the zero frequency lies at (H // 2, W // 2) and the picture's middle is the FFT's origin;
            false where ``numpy.fft.ifft2`` of k-space is the picture; None: found from the largest magnitude.
        swap: exchange the halves of the picture along both axes, where the object lies in the corners.
        pixel: (height, width) of a pixel of the stored size; where they differ, pixels become square by cropping
            k-space along the finer axis.
    """

    endings: ClassVar[Collection[str]] = (".npz",)
    requires: ClassVar[tuple[str, ...]] = ("sigpy",)
    extra: ClassVar[str] = EXTRA

    source: ClassVar[str] = "the user's own measurements"
    needs_path: ClassVar[bool] = True
    inputs: ClassVar[str] = MEASUREMENT

    key: str = "kspace"
    split: str = "test"
    groups: int | None = None
    coil_axis: int | Literal["none"] | None = None
    centred: bool | None = None
    swap: bool = False
    pixel: tuple[float, float] = (1.0, 1.0)

    _centred: dict[str, bool] = PrivateAttr(default_factory=dict)

    def fingerprint(self, split: Split) -> str:
        """Size and time of the file."""
        return digest([split, *stamps([given_path(self)])])

    def build_index(self, split: Split) -> Index:
        """Names, labels of 0, groups, and the digest over the array and the parameters."""
        from benchmark.mri.data.kspace import check_full

        stored, samples = self._get(split), self._samples(split)
        check_full((samples != 0).any(axis=(0, 1)), f"dataset {self.name!r}, array {self._key(split)!r}")
        self._is_centred(split)
        leading = self._leading(stored)
        places = list(np.ndindex(*(stored.shape[axis] for axis in leading)))
        content = hashlib.sha256(canonical([self.identity(), split, stored.shape, str(stored.dtype)]).encode())
        content.update(np.ascontiguousarray(stored).data)
        return Index(
            ids=tuple(self._name(place, [stored.shape[axis] for axis in leading]) for place in places),
            labels=np.zeros(len(samples)),
            classes=(),
            digest=content.hexdigest(),
            groups=None if self.groups is None else tuple(str(p[leading.index(self.groups)]) for p in places),
        )

    def sources(self, split: Split, ids: Sequence[str] | None = None) -> Sequence[Path]:
        """The file."""
        return [given_path(self)]

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Centred k-space (c, H, W) of each sample; c = 1 without coils."""
        from benchmark.mri.arrays import fft, ifft
        from benchmark.mri.data.kspace import centre_crop, square_size

        samples = self._samples(split)
        centred = self._is_centred(split)
        arrays = []
        for i in self.index(split).positions(ids):
            kspace = samples[i]
            if not centred or self.swap:
                image = ifft(kspace) if centred else np.fft.ifft2(kspace, norm="ortho")
                kspace = fft(np.fft.fftshift(image, axes=(-2, -1)) if self.swap else image)
            arrays.append(centre_crop(kspace, square_size((kspace.shape[-2], kspace.shape[-1]), self.pixel)))
        return arrays

    def place(self, raw: NDArray[Any], grid: Grid, name: str) -> NDArray[np.float32]:
        """The image of the central k-space: (2, H, W), or (4 c, H, W) with coils; max|truth| = 1.

        Raises:
            DataError: the grid is larger than the data.
        """
        from benchmark.mri.data.coils import place_kspace

        return place_kspace(raw, grid, name, coils=self._coils is not None)

    def facts(self) -> dict[str, str]:
        """K-space is measured."""
        return {"kspace": "measured"}

    # -- the array ----------------------------------------------------------------------------------------------

    def _key(self, split: Split) -> str:
        return self.key.replace("{split}", split)

    def _get(self, split: Split) -> NDArray[Any]:
        """The array as stored."""
        check_split(self, split, self.split, self.key)
        key, known = self._key(split), npz_keys(self)
        if key not in known:
            raise DataError(
                f"dataset 'kspace-npz', split {split!r}: {self.path} has no array {key!r}, it has"
                f" {', '.join(known) or 'none'}; name the array with the parameter key"
            )
        array = npz_array(self, key)
        self._ask(key, array)
        if array.dtype.kind != "c" or array.ndim < 2:
            raise DataError(
                f"dataset 'kspace-npz': expected complex k-space (..., H, W), got {key!r} of shape {array.shape} and"
                f" type {array.dtype}; save it as one complex array"
            )
        return array

    @property
    def _coils(self) -> int | None:
        return None if self.coil_axis == "none" else self.coil_axis

    def _ask(self, key: str, array: NDArray[Any]) -> None:
        """Refuse to take coils for samples where the shape does not tell which they are.

        Raises:
            DataError: saying how to answer.
        """
        if self.coil_axis is not None or array.ndim < 4:
            return
        last = array.ndim - 3
        if array.shape[last] >= FEWEST_COILS or 1 in array.shape[:last]:
            raise DataError(
                f"dataset 'kspace-npz': {key!r} has shape {array.shape}: axis {last} may be {array.shape[last]} coils"
                f' or {array.shape[last]} samples; say coil_axis = {last} or coil_axis = "none" in [dataset.params]'
            )

    @staticmethod
    def _name(place: tuple[int, ...], lengths: list[int]) -> str:
        """Indices with leading zeros, such as ``03-1``; ``0`` where there is one sample alone."""
        return "-".join(f"{i:0{len(str(n - 1))}d}" for i, n in zip(place, lengths, strict=True)) or "0"

    def _leading(self, array: NDArray[Any]) -> list[int]:
        """Axes whose indices name a sample: all but the coils' and the last two."""
        axes = list(range(array.ndim - 2))
        for parameter, axis in (("coil_axis", self._coils), ("groups", self.groups)):
            if axis is not None and axis not in axes:
                raise DataError(
                    f"dataset 'kspace-npz': expected {parameter} to be one of the leading axes"
                    f" {axes} of {array.shape}, got {axis}"
                )
            if parameter == "coil_axis" and axis is not None:
                axes.remove(axis)
        return axes

    def _samples(self, split: Split) -> NDArray[Any]:
        """(N, c, H, W), in the order of the names."""
        array = self._get(split)
        self._leading(array)
        coils = array[..., None, :, :] if self._coils is None else np.moveaxis(array, self._coils, -3)
        return coils.reshape(-1, *coils.shape[-3:])

    def _is_centred(self, split: Split) -> bool:
        """Whether the zero frequency is in the middle: said, or the largest magnitude lies near it or near a corner."""
        if self.centred is not None:
            return self.centred
        if split not in self._centred:
            self._centred[split] = self._find_centre(self._samples(split))
        return self._centred[split]

    def _find_centre(self, samples: NDArray[Any]) -> bool:
        total = np.nan_to_num(np.abs(samples)).sum(axis=(0, 1))
        size = np.array(total.shape)
        peak = np.array(np.unravel_index(int(total.argmax()), total.shape))
        if (np.abs(peak - size // 2) <= size / 8).all():
            return True
        if (np.minimum(peak, size - peak) <= size / 8).all():
            return False
        raise DataError(
            f"dataset 'kspace-npz': expected the largest magnitude near the middle or a corner, got it at"
            f" {peak.tolist()} of {size.tolist()}; say with the parameter centred where the zero frequency lies"
        )
