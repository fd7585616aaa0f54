"""Simulated views of a flat sign, and what an optimised sticker costs. Needs torch; the geometry is kornia's.

A photo is taken as the sign's plane. A pinhole camera looks at it from a distance and an angle, a detector cuts out the
sign's bounding box with some margin, and the crop has as many pixels as the sensor gives it at that distance. Then
come blur (in sensor pixels), contrast, brightness and sensor noise, and the crop is brought back to the grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import get_perspective_transform, warp_perspective
from numpy.typing import NDArray
from torch.nn import functional as F

from benchmark.errors import AttackError

Views = Mapping[str, NDArray[Any]]

SIGN = 0.76  # side of the photographed square, metres: a 30 inch stop sign fills it
FOCAL = 400.0  # focal length in sensor pixels: 203 pixels of sign at 1.5 m, 25 at 12 m
MARGIN = 0.1  # of a detector's box around the sign, on each side, as GTSRB's crops have it
BOUNDS = {  # of a view's drawn parameters, see :func:`views_of`
    "shift_x": (-0.03, 0.03),
    "shift_y": (-0.03, 0.03),
    "zoom": (0.95, 1.05),
    "brightness": (0.7, 1.3),
    "contrast": (0.8, 1.2),
    "blur": (0.0, 1.0),
    "noise": (0.0, 0.03),
}
UNITS = len(BOUNDS) + 1  # uniform numbers that a view is made of, see :func:`views_of`


def views_of(unit: NDArray[np.float64], distance: NDArray[Any], angle: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Parameters of N views.

    Args:
        unit: (N, 8) uniform in [0, 1): the photometric draws.
        distance: (N,) metres.
        angle: (N,) degrees between the line of sight and the sign's normal, about the vertical axis.

    Returns:
        (N,) arrays: ``distance``, ``angle``; ``shift_x``, ``shift_y`` of the detector's box (±3 % of its side) and its
        ``zoom`` (±5 %); ``brightness`` (0.7 to 1.3, a factor), ``contrast`` (0.8 to 1.2, about 0.5); ``blur`` (0 to 1,
        sigma in sensor pixels); ``noise`` (0 to 0.03, sigma) with its ``noise_seed``.
    """
    low, high = np.array(list(BOUNDS.values())).T
    drawn = low + np.asarray(unit, np.float64)[:, : len(BOUNDS)] * (high - low)
    views: dict[str, NDArray[Any]] = {"distance": np.asarray(distance, float), "angle": np.asarray(angle, float)}
    views |= {name: drawn[:, i] for i, name in enumerate(BOUNDS)}
    return views | {"noise_seed": (np.asarray(unit)[:, -1] * 2**31).astype(np.int64)}


def corners(distance: float, angle: float) -> NDArray[np.float64]:
    """(4, 2) where the photo's corners fall on the sensor, in pixels from its centre.

    Pinhole projection: the plane's point (X, Y) turned by the angle about the vertical axis lies at
    (X cos a, Y, d + X sin a), and falls on f (x / z, y / z). Order: top left, top right, bottom right, bottom left.
    """
    half, turn = SIGN / 2, np.deg2rad(angle)
    x, y = np.array([-half, half, half, -half]), np.array([-half, -half, half, half])
    depth = distance + x * np.sin(turn)
    return FOCAL * np.stack([x * np.cos(turn) / depth, y / depth], axis=1)


def crop(views: Views, i: int, margin: float = MARGIN) -> tuple[NDArray[np.float64], int]:
    """View i's detector box: the photo's corners in it, (4, 2) as shares of its side, and its side in sensor pixels."""
    points = corners(float(views["distance"][i]), float(views["angle"][i]))
    low, high = points.min(0), points.max(0)
    side = float((high - low).max()) * (1 + 2 * margin) * float(views["zoom"][i])
    shift = np.array([float(views["shift_x"][i]), float(views["shift_y"][i])]) * side
    return (points - ((low + high) / 2 + shift)) / side + 0.5, max(2, round(side))


def seen(images: torch.Tensor, views: Views, fill: torch.Tensor | None = None, margin: float = MARGIN) -> torch.Tensor:
    """Each image (N, C, H, W) under its view, on the same grid, in [0, 1]; differentiable in the images.

    Args:
        images: in [0, 1].
        views: see :func:`views_of`.
        fill: (N, C, 1, 1) colour around the photo; default: the mean of its four corners, which show background.
        margin: of the detector's box.
    """
    height, width = images.shape[2:]
    fill = background(images) if fill is None else fill
    boxes = [crop(views, i, margin) for i in range(len(images))]
    size = torch.tensor([width, height], dtype=torch.float64)
    unit = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    start = (unit * size - 0.5).expand(len(images), 4, 2)  # pixel i covers [i - 0.5, i + 0.5]
    end = torch.as_tensor(np.stack([box for box, _ in boxes])) * size - 0.5
    matrix = get_perspective_transform(start, end).to(images)
    warped = warp_perspective(images - fill, matrix, (height, width), align_corners=True) + fill
    if min(side for _, side in boxes) >= max(height, width):
        return photographed(warped, views, range(len(images)))
    shots = []
    for i, (_, side) in enumerate(boxes):
        small = (min(side, height), min(side, width))
        taken = F.interpolate(warped[i : i + 1], small, mode="bilinear", antialias=True, align_corners=False)
        taken = photographed(taken, views, [i])
        shots.append(F.interpolate(taken, (height, width), mode="bilinear", antialias=True, align_corners=False))
    return torch.cat(shots).clamp(0, 1)


def photographed(images: torch.Tensor, views: Views, at: Any) -> torch.Tensor:
    """Sensor images under blur, contrast, brightness and noise, in that order, clipped to [0, 1]."""

    def column(name: str) -> torch.Tensor:
        return torch.as_tensor(views[name][list(at)], dtype=images.dtype, device=images.device).view(-1, 1, 1, 1)

    kernel = tuple(min(5, side - (side + 1) % 2) for side in images.shape[2:])  # odd, no larger than the image
    sigma = column("blur").view(-1, 1).clamp(min=1e-3).expand(-1, 2)
    images = gaussian_blur2d(images, kernel, sigma, border_type="replicate")
    images = ((images - 0.5) * column("contrast") + 0.5) * column("brightness")
    seeds = [int(seed) for seed in views["noise_seed"][list(at)]]
    noise = [torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return (images + column("noise") * torch.stack(noise).to(images)).clamp(0, 1)


def background(images: torch.Tensor) -> torch.Tensor:
    """(N, C, 1, 1) mean of the four corner squares (a sixteenth of a side): outside an octagon, background."""
    height, width = (max(1, side // 16) for side in images.shape[2:])
    parts = [images[:, :, rows, columns].flatten(2) for rows in _ends(height) for columns in _ends(width)]
    return torch.cat(parts, 2).mean(2)[:, :, None, None]


def _ends(n: int) -> tuple[slice, slice]:
    return slice(None, n), slice(-n, None)


def paste(images: torch.Tensor, sticker: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Images with an opaque sticker: x (1 - M) + M s.

    Args:
        images: (N, C, H, W).
        sticker: (C, H, W), or one an image.
        mask: (H, W), 1 where the sticker is.
    """
    return torch.where(mask.bool(), sticker.expand_as(images), images)


def non_printability(colours: torch.Tensor, palette: torch.Tensor) -> torch.Tensor:
    """Non-printability of each colour: the product of its distances to all printable ones (Sharif et al. 2016).

    Args:
        colours: (M, C).
        palette: (P, C).

    Returns:
        (M,) prod over p of |c - p|, 0 for a printable colour.
    """
    return (colours[:, None] - palette[None]).square().sum(2).clamp(min=1e-24).sqrt().prod(1)


def adversarial_loss(logits: torch.Tensor, labels: torch.Tensor, target: int | None) -> torch.Tensor:
    """Mean cross entropy to the target; without one, minus that to the label (Eykholt et al. 2018, eq. 3 and 1).

    Raises:
        AttackError: the network has no such target.
    """
    if target is not None and target >= logits.shape[1]:
        raise AttackError(f"target {target} is no class of the network: it gives {logits.shape[1]} logits (0 and up)")
    if target is None:
        return -F.cross_entropy(logits, labels)
    return F.cross_entropy(logits, torch.full_like(labels, target))
