"""Coil sensitivities from fully sampled k-space: ESPIRiT (Uecker et al. 2014, doi:10.1002/mrm.24751) through sigpy."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data._kspace import as_sample, centre_crop, grid_size, pad_to_shape
from benchmark.data.base import Grid
from benchmark.errors import DataError
from benchmark.files import cache_folder
from benchmark.mri.arrays import fft, ifft
from benchmark.registry import digest, library_version

CALIBRATION = 24  # width of the central square that the maps are estimated from, sigpy's default
KERNEL = 6


def espirit_maps(kspace: NDArray[np.complexfloating[Any, Any]]) -> NDArray[np.complex64]:
    """Maps (c, H, W) with a sum of squares of 1 everywhere, for centred k-space (c, H, W).

    ESPIRiT's dominant eigenvector has unit norm at every pixel; it is not cut off where the eigenvalue is small
    (sigpy's ``crop``), since the maps have to cover the background too. Estimated once and kept in the user's cache
    folder: it takes seconds to a minute an image.
    """
    kspace = np.ascontiguousarray(kspace, np.complex64)
    content = hashlib.sha256(kspace.tobytes()).hexdigest()
    key = digest([content, kspace.shape, CALIBRATION, KERNEL, library_version("sigpy")])
    file = cache_folder() / "maps" / f"{key}.npy"
    try:
        kept: NDArray[np.complex64] = np.load(file, allow_pickle=False)
        return kept
    except (OSError, ValueError, EOFError):
        pass
    maps = _estimate(kspace)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp.npy")
        np.save(temporary, maps)
        temporary.replace(file)
    except OSError:
        pass  # a cache that cannot be written only costs time
    return maps


def _estimate(kspace: NDArray[np.complex64]) -> NDArray[np.complex64]:
    from sigpy.mri.app import EspiritCalib

    width = min(CALIBRATION, *kspace.shape[1:])
    with np.errstate(invalid="ignore", divide="ignore"):  # a phase relative to a coil that sees nothing there
        maps = EspiritCalib(kspace, calib_width=width, kernel_width=KERNEL, crop=0, show_pbar=False).run()
    norm = np.sqrt(np.square(np.abs(maps)).sum(0))
    blind = ~(np.isfinite(norm) & (norm > 0))
    maps[:, blind] = 1 / np.sqrt(len(maps))
    norm[blind] = 1
    coil_maps: NDArray[np.complex64] = (maps / norm).astype(np.complex64)
    return coil_maps


def place_kspace(
    kspace: NDArray[np.complexfloating[Any, Any]], grid: Grid, name: str, *, coils: bool
) -> NDArray[np.float32]:
    """One sample from centred, fully sampled k-space (c, H, W), cropped to the grid: see :func:`_kspace.as_sample`.

    Where the grid has other proportions, zeros are put around the picture first: an object keeps its own.

    Args:
        kspace: c = 1 where there are no coils.
        grid: the suite's grid.
        name: for messages.
        coils: whether maps are estimated and the sample has (4 c, H, W), else (2, H, W).

    Raises:
        DataError: the grid is larger than the data, or the values are not finite or all 0.
    """
    size = grid_size(grid, name, (kspace.shape[-2], kspace.shape[-1]))
    if kspace.shape[-2] * size[1] != kspace.shape[-1] * size[0]:  # other proportions: nothing is stretched
        kspace = fft(pad_to_shape(ifft(kspace), size))
    cropped = centre_crop(kspace, size, name)
    if not np.isfinite(cropped).all() or not cropped.any():
        raise DataError(f"{name}: expected finite k-space that is not all 0, got other values; remove the sample")
    return as_sample(ifft(cropped), espirit_maps(cropped) if coils else None, name)
