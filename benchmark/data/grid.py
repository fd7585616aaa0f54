"""From a raw image of any size to the suite's grid: float32 (C, H, W) in [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import DataError

if TYPE_CHECKING:
    from benchmark.data.base import Grid

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's "L"


def to_grid(image: NDArray[Any], grid: Grid, name: str = "image") -> NDArray[np.float32]:
    """One raw image on the grid: channels converted, resized by antialiased bilinear interpolation (Pillow).

    Args:
        image: (H, W) or (H, W, C), uint8 or float in [0, 1]; C is 1, 3 or 4 (alpha is dropped).
        grid: the suite's grid.
        name: for messages.

    Raises:
        DataError: a shape or a range that is not an image's.
    """
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise DataError(f"{name}: expected an image (H, W) or (H, W, 1|3|4), got shape {tuple(image.shape)}")
    scale = np.float32(255 if image.dtype == np.uint8 else 1)
    pixels: NDArray[np.float32] = image.astype(np.float32) / scale
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        raise DataError(f"{name}: values must be uint8 or lie in [0, 1], got [{pixels.min():g}, {pixels.max():g}]")
    pixels = pixels[:, :, :3] if pixels.shape[2] == 4 else pixels
    if grid.channels == 1 and pixels.shape[2] == 3:
        pixels = (pixels @ LUMINANCE)[:, :, None]
    elif grid.channels == 3 and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if grid.size is not None and pixels.shape[:2] != grid.size:
        pixels = np.stack([_resize(pixels[:, :, c], grid.size) for c in range(pixels.shape[2])], axis=2)
    return np.ascontiguousarray(np.clip(pixels, 0.0, 1.0).transpose(2, 0, 1))


def to_grid_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask (H, W) resized by nearest neighbour to (1, height, width)."""
    from PIL import Image

    if mask.shape != size:
        picture = Image.fromarray(mask.astype(np.uint8)).resize((size[1], size[0]), Image.Resampling.NEAREST)
        mask = np.asarray(picture).astype(bool)
    return mask[None]


def _resize(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(plane))  # float32 becomes mode "F": no rounding to 8 bits
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR), dtype=np.float32)
