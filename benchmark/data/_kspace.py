"""K-space in NumPy, shared by the reconstruction datasets: centred unitary FFT, crop, scale, one sample's channels.

float64 throughout: a sample is rounded to float32 once, at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.base import Grid
from benchmark.errors import DataError
from benchmark.mri.arrays import fft, ifft

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


def centre_crop(array: NDArray[Any], size: tuple[int, int], name: str = "k-space") -> NDArray[Any]:
    """The central ``size`` of (..., H, W), element (H // 2, W // 2) at (size[0] // 2, size[1] // 2).

    Of centred k-space: the low frequencies, so an acquisition of lower resolution. Nothing is interpolated.

    Raises:
        DataError: ``size`` is larger than the array.
    """
    height, width = array.shape[-2:]
    if size[0] > height or size[1] > width:
        raise DataError(
            f"{name}: expected a grid of at most {height}x{width}, the size of the data, got {size[0]}x{size[1]};"
            " k-space is cropped, never made up: name a smaller `size` in the suite's [dataset]"
        )
    top, left = height // 2 - size[0] // 2, width // 2 - size[1] // 2
    return array[..., top : top + size[0], left : left + size[1]]


def lower(image: NDArray[Any], size: tuple[int, int], name: str = "image") -> Complex:
    """Images (..., H, W) at the resolution of ``size``, by cropping their k-space (sinc); intensities stay.

    Raises:
        DataError: ``size`` is larger than the image.
    """
    height, width = image.shape[-2:]
    smaller: Complex = ifft(centre_crop(fft(image), size, name)) * np.sqrt(size[0] * size[1] / (height * width))
    return smaller


def square_size(size: tuple[int, int], pixel: tuple[float, float], rounding: float = 0.0) -> tuple[int, int]:
    """The size (height, width) at which pixels have their longer side along both axes.

    Args:
        size: of the picture.
        pixel: (height, width) of its pixels.
        rounding: sides that differ by at most this share are equal.
    """
    longest = max(pixel)
    if min(pixel) >= (1 - rounding) * longest:
        return size
    return round(size[0] * pixel[0] / longest), round(size[1] * pixel[1] / longest)


def pad_to_shape(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Images (..., H, W) with zeros around them, so that their sides are to each other as those of ``size``."""
    sides = image.shape[-2:]
    scale = max(n / m for n, m in zip(sides, size, strict=True))
    wanted = [max(n, round(scale * m)) for n, m in zip(sides, size, strict=True)]
    before = [m // 2 - n // 2 for n, m in zip(sides, wanted, strict=True)]
    around = [(b, m - n - b) for b, n, m in zip(before, sides, wanted, strict=True)]
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + around)


def pixel_axis(n: int, side: int) -> Array:
    """Where n pixels lie: 0 at pixel n // 2, and 2 apart across ``side`` pixels."""
    return (np.arange(n) - n // 2) / (side / 2)


def smooth_field(rng: np.random.Generator, rows: Array, columns: Array, order: int, size: float) -> Array:
    """A random field (H, W) of the lowest cosines, of standard deviation about ``size``, without a constant.

    Args:
        rng: what it is drawn from.
        rows, columns: where the pixels lie, -1 to 1 (:func:`pixel_axis`).
        order: number of cosines along each axis.
        size: the deviation.
    """
    coefficients = rng.standard_normal((order, order))
    coefficients[0, 0] = 0
    down, across = (np.cos(np.pi / 2 * np.arange(order)[:, None] * (axis + 1)) for axis in (rows, columns))
    field: Array = down.T @ (size / (order - 1) * coefficients) @ across
    return field


def with_phase(magnitude: NDArray[Any], rng: np.random.Generator) -> Complex:
    """A magnitude image (H, W) with a smooth random phase, as coil, field and echo time give one."""
    rows, columns = (pixel_axis(n, n) for n in magnitude.shape)
    phase = smooth_field(rng, rows, columns, 3, 0.5) + rng.uniform(-0.8, 0.8)
    phased: Complex = magnitude * np.exp(1j * phase)
    return phased


def grid_size(grid: Grid, name: str, own: tuple[int, int] | None = None) -> tuple[int, int]:
    """(height, width) of the grid, or the data's ``own`` where the grid names none.

    Raises:
        DataError: there is neither, or the grid names a number of picture channels.
    """
    if grid.channels is not None:
        raise DataError(
            f"{name}: expected no `channels` (a complex image has its real and imaginary part), got {grid.channels};"
            " remove it from the suite's [dataset]"
        )
    for key, value, usual in (("fit", grid.fit, "squeeze"), ("range", grid.range, "dtype")):
        if value != usual:
            raise DataError(
                f"{name}: expected no `{key}` (k-space is cropped, and scaled by its largest magnitude), got {value!r};"
                " remove it from the suite's [dataset]"
            )
    size = grid.size or own
    if size is None:
        raise DataError(f"{name}: expected a grid with a size, got none; name a `size` in the suite's [dataset]")
    return size


def check_full(measured: NDArray[np.bool_], name: str) -> None:
    """Refuse undersampled k-space: it is no truth. Zeros all around what was measured (partial coverage) pass.

    Args:
        measured: (H, W), True where any value is not 0.
        name: for messages.

    Raises:
        DataError: more than 1 % of the locations within the measured rectangle are 0.
    """
    rows, columns = np.flatnonzero(measured.any(1)), np.flatnonzero(measured.any(0))
    if not len(rows):
        raise DataError(f"{name}: expected measured k-space, got zeros alone; remove it")
    share = float(measured[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean())
    if share < 0.99:
        raise DataError(
            f"{name}: expected fully sampled k-space, got {1 - share:.0%} zeros among the measured locations;"
            " an undersampled acquisition cannot serve as truth"
        )


def as_sample(coils: NDArray[Any], maps: NDArray[Any] | None = None, name: str = "sample") -> NDArray[np.float32]:
    """Coil images and maps as the channels of one sample, scaled so that max|truth| = 1.

    Args:
        coils: complex images (c, H, W); one of them where there are no maps.
        maps: complex sensitivities (c, H, W) with a sum of squares of 1 everywhere, or None.
        name: for messages.

    Returns:
        (2, H, W): real and imaginary part; or (4 c, H, W): real parts of the coil images, their imaginary parts, and
        those of the maps likewise. The truth is the image, with maps sum conj(map) * coil image.

    Raises:
        DataError: an image that is zero everywhere or not finite.
    """
    truth = coils[0] if maps is None else (maps.conj() * coils).sum(0)
    largest = float(np.abs(truth).max())
    if not np.isfinite(coils).all() or not largest > 0:
        raise DataError(f"{name}: expected finite values that are not all 0, got a maximum of {largest:g}; remove it")
    parts = [coils.real / largest, coils.imag / largest]
    if maps is not None:
        parts += [maps.real, maps.imag]
    return np.concatenate(parts).astype(np.float32)
