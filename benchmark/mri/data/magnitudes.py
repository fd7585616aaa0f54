"""Magnitude images turned into k-space again: easy to come by, and they flatter every method.

Shimron et al. 2022 ("data crimes", doi:10.1073/pnas.2117203119): such images were processed, often filtered,
interpolated and stored without their phase, so that errors come out smaller than on measured k-space. The fact
``kspace`` says so in every table.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.data.base import Dataset, Grid, Index, Split
from benchmark.data.reading.files import beside, given_path, split_files, useful_groups
from benchmark.data.reading.left_out import count, shown
from benchmark.errors import DataError
from benchmark.files import stamps
from benchmark.mri import MEASUREMENT
from benchmark.mri.data.kspace import as_sample, grid_size, lower, pad_to_shape, square_size, with_phase
from benchmark.registry import canonical, digest
from benchmark.seeds import derive


@dataclass(frozen=True)
class Stack:
    """Magnitude images of one file.

    Attributes:
        images: (N, H, W), real; may be a memory map.
        names: the samples' names, each with its place in ``images``.
        pixel: (height, width) of a pixel.
    """

    images: NDArray[Any]
    names: dict[str, int]
    pixel: tuple[float, float] = (1.0, 1.0)

    def picture(self, name: str) -> NDArray[np.float32]:
        """One image (H, W)."""
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
            return np.ascontiguousarray(self.images[self.names[name]], np.float32)


class Magnitudes(Dataset):
    """Base of the datasets of magnitude images: a subclass opens a file.

    Attributes:
        folder: folder of a split under PATH; ``{split}`` stands for the split.
        split: the split's name where the files lie right in PATH, or PATH is a file.
        phase: give the image a smooth phase, seeded by the sample's name; else it is real.
    """

    needs_path: ClassVar[bool] = True
    inputs: ClassVar[str] = MEASUREMENT
    suffixes: ClassVar[tuple[str, ...]] = ()

    folder: str = "{split}"
    split: str = "test"
    phase: bool = True

    @abstractmethod
    def stack(self, file: Path) -> Stack:
        """The images of a file that are samples.

        Raises:
            DataError: it cannot be read.
        """

    def fingerprint(self, split: Split) -> str:
        """The files' stamps."""
        return digest([split, *stamps(self._all_files(split))])

    def build_index(self, split: Split) -> Index:
        """Names, labels of 0, groups (the file), and the digest over the images; empty images are left out."""
        ids: list[str] = []
        groups: list[str] = []
        content = hashlib.sha256(canonical([self.identity(), split]).encode())
        files = self._all_files(split)
        broken: list[str] = []
        empty = 0
        for file in files:
            try:
                stack = self.stack(file)
            except DataError as error:
                if len(files) == 1:
                    raise
                broken.append(file.name)  # it stands for its images: reading it says what is wrong, and its chunk fails
                content.update(f"\n{self._stem(file)} unreadable".encode())
                ids.append(self._stem(file))
                groups.append(self._stem(file))
                refused = error
                continue
            for name in stack.names:
                picture = stack.picture(name)
                check_magnitude(picture, f"{file}, image {name}")
                empty += not picture.any()
                if picture.any():
                    content.update(f"\n{name} {picture.shape} {stack.pixel}\n".encode())
                    content.update(picture.data)
                    ids.append(name)
                    groups.append(self._stem(file))
        if len(broken) == len(files):
            raise refused
        said = f"{count(len(broken), 'file')} that cannot be read, whose chunks fail: {shown(broken)}"
        others = beside(files, given_path(self, "file or folder"))
        none = f"{count(empty, 'empty image')} left out"
        return Index(
            ids=tuple(ids),
            labels=np.zeros(len(ids)),
            classes=(),
            digest=content.hexdigest(),
            groups=useful_groups(groups),
            notes=(
                *([said] if broken else []),
                *([none] if empty else []),
                *others,
            ),
            keep=not broken,
        )

    def sources(self, split: Split, ids: Sequence[str] | None = None) -> Sequence[Path]:
        """The files."""
        return self._all_files(split)

    def read(self, split: Split, ids: Sequence[str]) -> list[NDArray[Any]]:
        """Magnitude images (H, W), with square pixels."""
        files = {self._stem(file): file for file in self._all_files(split)}
        arrays: list[NDArray[Any]] = []
        for name in ids:
            file = files.get(name) or files[name.rpartition("-")[0]]
            stack = self.stack(file)
            arrays.append(square_pixels(stack.picture(name), stack.pixel))
        return arrays

    def place(self, raw: NDArray[Any], grid: Grid, name: str) -> NDArray[np.float32]:
        """The image with its phase, (2, H, W), at the grid's resolution by cropping its k-space; max|truth| = 1.

        Zeros are put around the image where the grid has another shape: nothing is stretched.

        Raises:
            DataError: the grid is larger than the image.
        """
        size = grid_size(grid, name, (raw.shape[0], raw.shape[1]))
        image = with_phase(raw, np.random.default_rng(derive("phase", name))) if self.phase else raw
        return as_sample(lower(pad_to_shape(image, size), size, name)[None], name=name)

    def facts(self) -> dict[str, str]:
        """K-space is simulated from magnitude images."""
        return {"kspace": "simulated k-space"}

    def _all_files(self, split: Split) -> list[Path]:
        return split_files(self, split, self.folder, self.split, self.suffixes)

    def _numbered(self, file: Path, numbers: Sequence[int], count: int) -> dict[str, int]:
        """Names such as ``file-007`` of some of ``count`` images."""
        width = max(3, len(str(count - 1)))
        return {f"{self._stem(file)}-{i:0{width}d}": i for i in numbers}

    def _stem(self, file: Path) -> str:
        suffix = next(suffix for suffix in self.suffixes if file.name.lower().endswith(suffix))
        return file.name[: -len(suffix)]


def check_magnitude(picture: NDArray[np.float32], name: str) -> None:
    """Refuse what is no magnitude; a little below 0 passes, as interpolation leaves it.

    Raises:
        DataError: values that are not finite, or clearly negative.
    """
    low, high = float(picture.min()), float(picture.max())
    if not np.isfinite(picture).all() or low < -0.02 * abs(high):
        raise DataError(
            f"{name}: expected magnitudes, finite and not negative, got values from {low:g} to {high:g};"
            " store the magnitude, without a mean taken off"
        )


def square_pixels(picture: NDArray[np.float32], pixel: tuple[float, float]) -> NDArray[np.float64]:
    """The image (H, W) with the pixel's longer side along both axes, by cropping k-space; not negative."""
    size = square_size((picture.shape[0], picture.shape[1]), pixel)
    square = picture.astype(np.float64) if size == picture.shape else lower(picture, size).real
    return np.maximum(square, 0)
