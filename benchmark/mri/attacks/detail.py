"""Details that no training image has, drawn into a head: text, card suits, lesions. Without torch, for reports."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["text", "suits", "lesion"]
TEXTS = {"text": "MRI", "suits": "♠♥\n♦♣"}
BASE = 32  # sizes are in pixels of a grid of 32, and grow with the grid


class Detail(BaseModel):
    """What is inserted.

    Attributes:
        kind: ``"text"`` ("MRI"), ``"suits"`` (the four card suits) or ``"lesion"`` (a disc with a soft edge).
        size: height of the letters, or diameter of the lesion, in pixels of a 32-pixel grid.
        contrast: height above what is there, as a share of the image's maximum.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "lesion"
    size: float = Field(default=3.0, gt=0)
    contrast: float = 0.3

    @property
    def label(self) -> str:
        """Short name, such as ``lesion 3 px 0.3``."""
        return f"{self.kind} {self.size:g} px {self.contrast:g}"

    def draw(self, truth: NDArray[np.float32]) -> NDArray[np.float32]:
        """The detail (2, H, W) that is added to an image (2, H, W): in its phase, where the tissue is most even."""
        image = truth[0] + 1j * truth[1]
        height, width = image.shape
        shape = _stencil(self.kind, self.size * min(height, width) / BASE)
        rows, columns = min(shape.shape[0], height), min(shape.shape[1], width)
        shape = shape[:rows, :columns]
        top, left = _quiet(np.abs(image), (rows, columns))
        stencil = np.zeros((height, width))
        stencil[top : top + rows, left : left + columns] = shape
        smooth = _blurred(image, max(1.0, 2 * min(height, width) / BASE))
        phase = smooth / np.maximum(np.abs(smooth), 1e-12)
        added = self.contrast * np.abs(image).max() * stencil * phase
        return np.stack([added.real, added.imag]).astype(np.float32)


@lru_cache(maxsize=64)
def _stencil(kind: Kind, size: float) -> NDArray[np.float64]:
    """Values in [0, 1] of the shape alone, in its bounding box."""
    if kind == "lesion":
        radius = size / 2
        reach = np.arange(-int(np.ceil(radius + 1)), int(np.ceil(radius + 1)) + 1)
        distance = np.hypot(*np.meshgrid(reach, reach))
        return np.asarray(np.clip(radius + 0.5 - distance, 0, 1))
    return _letters(TEXTS[kind], size)


def _letters(text: str, size: float) -> NDArray[np.float64]:
    """Text in DejaVu Sans (it comes with matplotlib), letters ``size`` pixels high, averaged from four times that."""
    from pathlib import Path

    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    font = ImageFont.truetype(str(file), max(8, round(4 * size / 0.73)))  # capitals are 0.73 of the font's size
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=font)
    picture = Image.new("L", (int(box[2] - box[0]) + 8, int(box[3] - box[1]) + 8))
    ImageDraw.Draw(picture).multiline_text((4 - box[0], 4 - box[1]), text, fill=255, font=font)
    small = picture.resize((max(1, picture.width // 4), max(1, picture.height // 4)), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64) / 255


def _quiet(magnitude: NDArray[np.float64], box: tuple[int, int]) -> tuple[int, int]:
    """Top left corner of the box inside the head whose tissue varies least; the middle where none lies inside."""
    from numpy.lib.stride_tricks import sliding_window_view

    windows = sliding_window_view(magnitude, box)
    spread = windows.std(axis=(2, 3))
    inside = windows.min(axis=(2, 3)) > 0.15 * magnitude.max()
    if not inside.any():
        return (magnitude.shape[0] - box[0]) // 2, (magnitude.shape[1] - box[1]) // 2
    row, column = np.unravel_index(np.where(inside, spread, np.inf).argmin(), spread.shape)
    return int(row), int(column)


def _blurred(image: NDArray[np.complex128], sigma: float) -> NDArray[np.complex128]:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(image.real, sigma) + 1j * gaussian_filter(image.imag, sigma))
