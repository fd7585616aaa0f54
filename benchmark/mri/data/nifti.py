"""Slices of NIfTI volumes, magnitudes turned into k-space again (see ``benchmark.mri.data.magnitudes``)."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.data.base import datasets
from benchmark.data.reading.files import Slices, chosen_slices
from benchmark.errors import DataError
from benchmark.files import Stamp, stamp, why
from benchmark.mri import EXTRA
from benchmark.mri.data.magnitudes import Magnitudes, Stack


@datasets.register("nifti")
class Nifti(Magnitudes):
    """Slices of volumes .nii or .nii.gz: PATH, a file, or those in ``PATH/<folder>/``, else right in PATH.

    Volumes are turned to the axes right, anterior, superior (RAS) and shown as radiologists see them (the patient's
    right on the left, anterior or superior up); sample ``name-085`` is slice 85. Pixels become square by cropping
    k-space along the finer axis. The group is the file.

    Attributes:
        axis: ``"axial"``, ``"coronal"`` or ``"sagittal"`` slices.
        slices: ``"middle"``, ``"all"``, or how many around the middle of each volume; empty ones are left out.
    """

    endings: ClassVar[Collection[str]] = (".nii", ".nii.gz")
    requires: ClassVar[tuple[str, ...]] = ("nibabel",)
    extra: ClassVar[str] = EXTRA

    source: ClassVar[str] = "the user's own volumes"
    suffixes: ClassVar[tuple[str, ...]] = (".nii", ".nii.gz")

    axis: Literal["axial", "coronal", "sagittal"] = "axial"
    slices: Slices = "middle"

    def stack(self, file: Path) -> Stack:
        """The chosen slices."""
        axis = ("sagittal", "coronal", "axial").index(self.axis)
        volume, pixel = _volume(file, axis, stamp(file))
        return Stack(volume, self._numbered(file, chosen_slices(self.slices, len(volume)), len(volume)), pixel)


@lru_cache(maxsize=2)
def _volume(file: Path, axis: int, changed: Stamp) -> tuple[NDArray[np.float32], tuple[float, float]]:  # noqa: ARG001  (a cache key)
    """Slices (N, H, W) along an axis of RAS, and the (height, width) of a pixel."""
    import nibabel

    try:
        image = nibabel.as_closest_canonical(nibabel.load(file))
        values = np.asarray(image.dataobj, dtype=np.float32)
    except Exception as error:  # nibabel raises whatever a damaged file makes it stumble over
        raise DataError(f"{file} cannot be read as NIfTI: {why(error, file)}; replace or remove the file") from error
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise DataError(f"{file}: expected a volume of 3 axes, got shape {values.shape}; split it into volumes")
    spacing = [float(zoom) or 1.0 for zoom in image.header.get_zooms()[:3]]
    across, down = (i for i in range(3) if i != axis)
    return np.moveaxis(values, axis, 0).transpose(0, 2, 1)[:, ::-1, ::-1], (spacing[down], spacing[across])
