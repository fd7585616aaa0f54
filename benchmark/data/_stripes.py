"""Patterns of the stripes: where they lie, and what is added to the background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.seeds import derive

VERSION = 1  # raise it whenever an image changes
LEVELS = 256  # every value is a multiple of 1/256: sums of float32 are exact
BASE = 112  # background, in levels; with all that is added values stay in (0, 256)
NOISE = 32  # background noise is uniform in BASE +- NOISE
STRIPE, SHADE = 40, 28  # what a stripe and a shade add, in levels
SIZE, WIDTH, CORNER = 16, 2, 3  # side of the image, of a stripe (in one direction), of a shaded corner
ORIENTATIONS = ("horizontal", "vertical", "diagonal", "antidiagonal")


def stripes() -> NDArray[np.bool_]:
    """(4, 16, 16, 16): orientation, place, and where the stripe is; it goes round the edges."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    along = np.stack([rows, columns, rows - columns, rows + columns])
    places = np.arange(SIZE)[None, :, None, None]
    return np.asarray((along[:, None] - places) % SIZE < WIDTH)


def shades() -> NDArray[np.bool_]:
    """(4, 16, 16): corner of each class (top left, top right, bottom left, bottom right)."""
    masks = np.zeros((4, SIZE, SIZE), bool)
    for k in range(4):
        rows = slice(0, CORNER) if k < 2 else slice(SIZE - CORNER, SIZE)
        columns = slice(0, CORNER) if k % 2 == 0 else slice(SIZE - CORNER, SIZE)
        masks[k, rows, columns] = True
    return masks


def drawn(seed: int, split: str, number: int) -> tuple[NDArray[np.int64], int, float, int]:
    """What a sample draws: background levels (16, 16), place of its stripe, a uniform number, a class to add (1 to 3).

    The uniform number decides whether the false structure agrees; where it does not, it is that of class
    label + the last number, modulo 4.
    """
    rng = np.random.default_rng(derive("stripes", seed, split, number))
    noise = rng.integers(-NOISE, NOISE + 1, (SIZE, SIZE))
    return BASE + noise, int(rng.integers(SIZE)), float(rng.random()), int(rng.integers(1, len(ORIENTATIONS)))


def image(background: NDArray[np.int64], true: NDArray[np.bool_], false: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(16, 16) in [0, 1]: background, stripe and shade added."""
    return np.asarray((background + STRIPE * true + SHADE * false) / LEVELS, np.float32)
