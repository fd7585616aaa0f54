"""What a sticker may be: where it lies on the sign (masks), and which colours a printer can give it (the palette).

NumPy only: the plugins' declarations need it, and those are read without torch.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import AttackError, DataError

Rectangle = tuple[float, float, float, float]


def _in_pixels(side: int, rectangles: Sequence[tuple[int, int, int, int]]) -> tuple[Rectangle, ...]:
    return tuple((top / side, left / side, bottom / side, right / side) for top, left, bottom, right in rectangles)


MASKS: dict[str, tuple[Rectangle, ...]] = {
    # two bars above and below the word, 18 % of the image
    "two-bars": ((0.12, 0.18, 0.26, 0.82), (0.74, 0.18, 0.88, 0.82)),
    # the authors' masks (github.com/evtimovi/robust_physical_perturbations), pixel by pixel: both are rectangles
    "authors-gtsrb": _in_pixels(
        256,
        [
            (71, 135, 81, 151),
            (80, 127, 88, 143),
            (111, 135, 120, 159),
            (119, 103, 135, 151),
            (137, 63, 152, 87),
            (176, 120, 200, 144),
        ],
    ),
    "authors-lisa": _in_pixels(32, [(15, 8, 19, 10), (18, 20, 20, 23), (22, 9, 25, 13), (24, 18, 26, 20)]),
}
"""Named sticker masks: rectangles (top, left, bottom, right) as shares of height and width."""


def mask_of_file(file: Path) -> tuple[Rectangle, ...]:
    """The rectangles that make up a mask image (white where the sticker is), so that a cell needs no file.

    Raises:
        DataError: no readable image, or nothing in it is white.
    """
    from benchmark.data._pictures import as_mask, read_image

    white, _ = as_mask(read_image(file))
    if not white.any():
        raise DataError(f"the sticker mask {file} has no white pixel; white is where the sticker goes")
    height, width = white.shape
    rectangles, open_runs = [], dict[tuple[int, int], int]()
    for row in range(height + 1):  # runs of white that stay the same from row to row form one rectangle
        edges = np.flatnonzero(np.diff(np.pad(white[row], 1).astype(int))) if row < height else np.zeros(0, int)
        runs = {(int(a), int(b)) for a, b in edges.reshape(-1, 2)}
        for run in [run for run in open_runs if run not in runs]:
            rectangles.append((open_runs.pop(run) / height, run[0] / width, row / height, run[1] / width))
        for run in runs:
            open_runs.setdefault(run, row)
    return tuple(sorted(rectangles))


def sticker_mask(mask: str | Sequence[Rectangle], height: int, width: int) -> NDArray[np.bool_]:
    """(height, width), True where the sticker is: pixels whose centre lies in one of the rectangles.

    Args:
        mask: a name of :data:`MASKS`, or rectangles (top, left, bottom, right) as shares.
        height, width: of the grid, pixels.

    Raises:
        AttackError: no pixel lies in the mask.
    """
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    cover = np.zeros((height, width), bool)
    for top, left, bottom, right in MASKS[mask] if isinstance(mask, str) else mask:
        inside = ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))[None]
        cover |= inside
    if not cover.any():
        raise AttackError(f"the sticker mask {mask!r} holds no pixel of a {height}x{width} image; use a larger mask")
    return cover


def _palette() -> NDArray[np.float64]:
    greys = [(level, level, level) for level in np.linspace(0.08, 0.93, 6)]
    hues = [
        colorsys.hsv_to_rgb(hue / 8, saturation, value)
        for hue in range(8)
        for saturation, value in ((0.8, 0.85), (0.8, 0.45), (0.4, 0.9))  # full, dark, light
    ]
    return np.array(greys + hues, dtype=np.float64).round(3)


PALETTE = _palette()
"""(30, 3) printable RGB colours in [0, 1]: 6 greys from 0.08 to 0.93 and 8 hues, each full, dark and light.

Printed paper reaches neither pure black nor pure white, and four-colour print no full saturation: greys end before 0
and 1, and saturation (HSV) stops at 0.8. The authors measured 30 colours of their printer; these are not theirs.
"""

LUMINANCE = np.array([0.299, 0.587, 0.114])


def palette(channels: int) -> NDArray[np.float64]:
    """(30, C) printable colours for images of so many channels; for one, their luminance (ITU-R BT.601).

    Raises:
        AttackError: neither 1 nor 3 channels.
    """
    if channels not in (1, 3):
        raise AttackError(f"stickers have 1 or 3 channels, the images have {channels}")
    return PALETTE if channels == 3 else (PALETTE @ LUMINANCE)[:, None]
