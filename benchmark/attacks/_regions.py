"""Where a region of an image is, and images with a region filled. NumPy for the places, torch for the pixels."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

Region = Literal["border", "corners", "centre"]
Fill = Literal["black", "mean"] | float


def region_mask(region: Region, share: float, height: int, width: int) -> NDArray[np.bool_]:
    """(H, W) bool, True inside the region.

    Args:
        region: a frame at the edge, the four corners (rectangles), or a rectangle in the middle.
        share: thickness of the frame, sides of the corners, or sides of the rectangle, as a share of height and width;
            rounded to whole pixels, one at least.
        height, width: of the image.
    """
    sides = [max(1, round(share * side)) for side in (height, width)]
    if region == "centre":
        starts = [(side - length) // 2 for side, length in zip((height, width), sides, strict=True)]
        mask = np.zeros((height, width), bool)
        mask[starts[0] : starts[0] + sides[0], starts[1] : starts[1] + sides[1]] = True
        return mask
    rows, columns = (
        np.minimum(np.arange(side), np.arange(side)[::-1]) < length
        for side, length in zip((height, width), sides, strict=True)
    )
    both = (rows[:, None], columns[None])
    return np.asarray(np.logical_and(*both) if region == "corners" else np.logical_or(*both))


def shifted_masks(mask: NDArray[np.bool_], down: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N, H, W): the mask moved by (down, right) pixels round the edges, one move a sample; the area is the same."""
    return np.stack([np.roll(mask, (int(y), int(x)), (0, 1)) for y, x in zip(down, right, strict=True)])


def filled(inputs: torch.Tensor, masks: NDArray[np.bool_], fill: Fill) -> torch.Tensor:
    """(N, C, H, W) inputs with the pixels of the masks replaced.

    Args:
        inputs: (N, C, H, W) in [0, 1].
        masks: bool (H, W) or (N, H, W).
        fill: ``"black"`` (0), ``"mean"`` (of each image and channel, over all of its pixels), or a number.
    """
    at = torch.as_tensor(masks, device=inputs.device)
    at = at[None, None] if at.ndim == 2 else at[:, None]
    if fill == "mean":
        return torch.where(at, inputs.mean((2, 3), keepdim=True), inputs)
    return inputs.masked_fill(at, 0.0 if fill == "black" else float(fill))
