"""Images and packed measurements as NumPy arrays, so that reports can draw them without torch.

The layout is that of :mod:`benchmark.mri.measurement`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import DataError


def magnitude(image: NDArray[Any]) -> NDArray[np.float64]:
    """Complex images as two channels (..., 2, H, W) to their magnitudes (..., H, W)."""
    found: NDArray[np.float64] = np.hypot(*np.moveaxis(np.asarray(image, dtype=np.float64), -3, 0))
    return found


def adjoint(packed: NDArray[Any]) -> NDArray[np.float64]:
    """A^H y of packed measurements (N, K, H, W): images (N, 2, H, W), coils combined with their maps.

    Raises:
        DataError: a number of channels that is no packed measurement's.
    """
    packed = np.asarray(packed, dtype=np.float64)
    channels = packed.shape[1]
    if channels == 3:
        return _channels(_ifft(packed[:, 0] + 1j * packed[:, 1]))
    if channels < 5 or channels % 4 != 1:
        raise DataError(f"expected a packed measurement of 3 or 4 c + 1 channels (c coils), got {channels}")
    c = channels // 4
    kspace = packed[:, :c] + 1j * packed[:, c : 2 * c]
    maps = packed[:, 2 * c + 1 : 3 * c + 1] + 1j * packed[:, 3 * c + 1 :]
    return _channels((maps.conj() * _ifft(kspace)).sum(1))


def _ifft(kspace: NDArray[Any]) -> NDArray[Any]:
    """Centred unitary inverse 2D FFT."""
    axes = (-2, -1)
    image = np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes), axes=axes, norm="ortho")
    return np.fft.fftshift(image, axes=axes)


def _channels(image: NDArray[Any]) -> NDArray[np.float64]:
    return np.stack([image.real, image.imag], axis=1)
