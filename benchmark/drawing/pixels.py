"""From tensors' layout to pictures'."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_picture(image: NDArray[Any]) -> NDArray[Any]:
    """(C, H, W) to (H, W) of a grey image, (H, W, C) of a colour one; the values stay."""
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)


def as_bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    """(C, H, W) in [0, 1] to a picture of 8 bits."""
    return np.round(255 * as_picture(image)).astype(np.uint8)
