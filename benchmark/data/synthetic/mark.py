"""The watermark that is planted and pasted: one square in a corner; shared geometry, so that the two are the same."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
CORNERS: tuple[Corner, ...] = ("top-left", "top-right", "bottom-left", "bottom-right")


def square(corner: Corner, share: float, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a square flush in a corner; its side is ``share`` of the shorter side, one pixel at least."""
    side = max(1, round(share * min(height, width)))
    vertical, horizontal = corner.split("-")
    rows = slice(0, side) if vertical == "top" else slice(height - side, height)
    columns = slice(0, side) if horizontal == "left" else slice(width - side, width)
    return rows, columns


def where(corner: Corner, share: float, height: int, width: int) -> NDArray[np.bool_]:
    """(H, W), True in the square."""
    mask = np.zeros((height, width), dtype=bool)
    mask[square(corner, share, height, width)] = True
    return mask
