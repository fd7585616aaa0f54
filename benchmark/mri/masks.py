"""Sampling masks as seeded, nested families: a larger fraction keeps every location of a smaller one.

NumPy only, so that plans and reports can make a mask from its spec. deepinv's generators give one mask a call and no
nesting (a new acceleration is a new draw), which the sampling test of Antun et al. 2020 needs.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from benchmark.errors import SpecError
from benchmark.seeds import derive

Kind = Literal["vd2d", "vd1d", "equispaced", "radial"]
GOLDEN = (
    np.pi * (np.sqrt(5) - 1) / 2
)  # golden angle between spokes (Winkelmann et al. 2007, doi:10.1109/TMI.2006.885337)


class MaskSpec(BaseModel):
    """A mask but for its size.

    Attributes:
        kind: ``"vd2d"`` (points, density falling with the distance from the centre), ``"vd1d"`` (phase-encoding
            columns likewise), ``"equispaced"`` (every R-th column, R = round(1 / fraction), and the centre) or
            ``"radial"`` (spokes at the golden angle on the Cartesian grid).
        fraction: share of k-space that is measured; of ``equispaced`` the share without the centre. A radial mask has
            whole spokes and may exceed it by one.
        seed: of the drawn order.
        centre: share of the columns (of 2D masks: of each side) that is always measured.
        decay: density of the drawn locations is exp(-(r / decay)^2), r from 0 at the centre to 1 at the edge.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "vd2d"
    fraction: float = Field(gt=0, le=1)
    seed: int = 0
    centre: float = Field(default=0.08, ge=0, le=1)
    decay: float = Field(default=0.7, gt=0)

    def at(self, fraction: float) -> MaskSpec:
        """The member of the same family that measures this share."""
        return self.model_copy(update={"fraction": fraction})


def make_mask(spec: MaskSpec, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask (H, W), True where k-space is measured; the zero frequency lies at (H // 2, W // 2).

    Raises:
        SpecError: a fraction that leaves nothing to measure at this size.
    """
    height, width = size
    if spec.kind == "vd2d":
        mask = _first(_order(spec, (height, width)), round(spec.fraction * height * width)).reshape(size)
    elif spec.kind == "vd1d":
        columns = _first(_order(spec, (width,)), round(spec.fraction * width))
        mask = np.broadcast_to(columns, size).copy()
    elif spec.kind == "equispaced":
        columns = _centre(width, spec.centre)
        step = max(1, round(1 / spec.fraction))
        columns[(width // 2) % step :: step] = True
        mask = np.broadcast_to(columns, size).copy()
    else:
        mask = _radial(spec, size)
    if not mask.any():
        raise SpecError(f"mask {spec.kind}, fraction {spec.fraction:g}: no location of {size} is left; raise fraction")
    return mask


def mask_digest(mask: NDArray[np.bool_]) -> str:
    """sha256 over shape and locations."""
    return hashlib.sha256(f"{mask.shape}".encode() + np.packbits(mask).tobytes()).hexdigest()


def _centre(n: int, share: float) -> NDArray[np.bool_]:
    """The middle ``share`` of n locations, around n // 2; at least one."""
    count = max(1, round(share * n))
    centre = np.zeros(n, dtype=bool)
    start = n // 2 - count // 2
    centre[start : start + count] = True
    return centre


def _order(spec: MaskSpec, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """All locations, flat, in the order in which a growing mask takes them: the centre, then drawn without replacement.

    Drawn by exponential keys over the density (Efraimidis and Spirakis 2006): any prefix is a weighted sample.
    """
    axes = [(np.arange(n) - n // 2) / (n / 2) for n in shape]
    radius = np.sqrt(sum(np.square(axis) for axis in np.meshgrid(*axes, indexing="ij")))
    centre = np.ones(shape, dtype=bool)
    for i, n in enumerate(shape):
        middle = _centre(n, spec.centre)
        centre &= middle.reshape([-1 if j == i else 1 for j in range(len(shape))])
    draws = np.random.default_rng(derive("mask", spec.kind, spec.seed, *shape)).exponential(size=shape)
    keys = np.log(draws) + np.square(radius / spec.decay)  # the log of draw / density: no underflow far out
    keys[centre] = -np.inf
    return np.argsort(keys.ravel(), kind="stable")


def _first(order: NDArray[np.intp], count: int) -> NDArray[np.bool_]:
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[:count]] = True
    return chosen


def _radial(spec: MaskSpec, size: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = size
    mask = _centre(height, spec.centre)[:, None] & _centre(width, spec.centre)[None, :]
    reach = np.linspace(-1, 1, 4 * max(size) + 1)
    start = np.random.default_rng(derive("mask", "radial", spec.seed)).uniform(0, np.pi)
    wanted = spec.fraction * height * width
    for spoke in range(64 * max(size)):
        if mask.sum() >= wanted:
            break
        angle = start + spoke * GOLDEN
        rows = np.rint(height // 2 + reach * (height / 2) * np.sin(angle)).astype(int)
        columns = np.rint(width // 2 + reach * (width / 2) * np.cos(angle)).astype(int)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        mask[rows[inside], columns[inside]] = True
    if spec.fraction == 1:
        mask[:] = True
    return mask
