"""Images and packed measurements as NumPy arrays, so that reports can draw them without torch.

The layout is that of :mod:`benchmark.mri.measurement`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import DataError

AXES = (-2, -1)


def magnitude(image: NDArray[Any]) -> NDArray[np.float64]:
    """Complex images as two channels (..., 2, H, W) to their magnitudes (..., H, W)."""
    magnitudes: NDArray[np.float64] = np.hypot(*np.moveaxis(np.asarray(image, dtype=np.float64), -3, 0))
    return magnitudes


def adjoint(packed: NDArray[Any]) -> NDArray[np.float64]:
    """A^H y of packed measurements (N, K, H, W): images (N, 2, H, W), coils combined with their maps.

    Raises:
        DataError: a number of channels that is no packed measurement's.
    """
    packed = np.asarray(packed, dtype=np.float64)
    channels = packed.shape[1]
    if channels == 3:
        return _channels(ifft(packed[:, 0] + 1j * packed[:, 1]))
    if channels < 5 or channels % 4 != 1:
        raise DataError(f"expected a packed measurement of 3 or 4 c + 1 channels (c coils), got {channels}")
    c = channels // 4
    kspace = packed[:, :c] + 1j * packed[:, c : 2 * c]
    maps = packed[:, 2 * c + 1 : 3 * c + 1] + 1j * packed[:, 3 * c + 1 :]
    return _channels((maps.conj() * ifft(kspace)).sum(1))


def fft(image: NDArray[Any]) -> NDArray[np.complex128]:
    """Centred unitary 2D FFT of images (..., H, W); the zero frequency lies at (H // 2, W // 2)."""
    shifted = np.fft.ifftshift(image.astype(np.complex128, copy=False), axes=AXES)
    spectrum: NDArray[np.complex128] = np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=AXES)
    return spectrum


def ifft(kspace: NDArray[Any]) -> NDArray[np.complex128]:
    """Inverse of :func:`fft`."""
    shifted = np.fft.ifftshift(kspace.astype(np.complex128, copy=False), axes=AXES)
    picture: NDArray[np.complex128] = np.fft.fftshift(np.fft.ifft2(shifted, norm="ortho"), axes=AXES)
    return picture


def _channels(image: NDArray[Any]) -> NDArray[np.float64]:
    return np.stack([image.real, image.imag], axis=1)


def position(kept: Mapping[str, NDArray[Any]], sample: str, view: int | None) -> int | None:
    """Where the arrays that a cell kept hold a sample (under a view, where it has several); None: nowhere."""
    same = kept["samples"] == sample
    if view is not None and "views" in kept:
        same = same & (kept["views"] == view)
    where = np.flatnonzero(same)
    return int(where[0]) if len(where) else None
