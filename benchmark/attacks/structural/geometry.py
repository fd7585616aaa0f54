"""Families that move pixels: one affine map a sample (kornia), bilinear, zeros outside."""

from __future__ import annotations

import numpy as np
import torch

from benchmark.attacks.structural.family import Family, Points


def _affine(inputs: torch.Tensor, *, angle: Points, shift: Points, scale: Points, shear: Points) -> torch.Tensor:
    """One affine map a sample: degrees, shares of width and height, factor, degrees (x and y)."""
    from kornia.geometry.transform import get_affine_matrix2d, warp_affine

    n, _, height, width = inputs.shape
    centre = torch.tensor([[(width - 1) / 2, (height - 1) / 2]], dtype=torch.float64).expand(n, 2)
    move = torch.from_numpy(shift * [width, height])
    radians = torch.from_numpy(np.deg2rad(shear))
    matrix = get_affine_matrix2d(
        move,
        centre,
        torch.from_numpy(np.stack([scale, scale], 1)),
        torch.from_numpy(np.ascontiguousarray(angle)),
        radians[:, 0],
        radians[:, 1],
    )
    warped: torch.Tensor = warp_affine(
        inputs, matrix[:, :2].to(inputs), (height, width), mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return warped


class RotationTranslation(Family):
    """Rotation about the centre and translation (Engstrom et al. 2019): ±6° a severity, ±2 % of height and width."""

    names = ("angle", "dx", "dy")
    steps = (31, 5, 5)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """±30° and ±10 % at severity 5."""
        high = [6.0 * severity, 0.02 * severity, 0.02 * severity]
        return [-x for x in high], high

    def identity(self) -> list[float]:
        """No turn, no shift."""
        return [0.0, 0.0, 0.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See :func:`_affine`."""
        zero = np.zeros((len(points), 2))
        return _affine(inputs, angle=points[:, 0], shift=points[:, 1:], scale=np.ones(len(points)), shear=zero)


class Scale(Family):
    """Smaller or larger about the centre: factor 1 / (1 + 0.08 s) to 1 + 0.08 s."""

    names = ("scale",)
    steps = (31,)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """Up to 1.4 at severity 5."""
        return [1 / (1 + 0.08 * severity)], [1 + 0.08 * severity]

    def identity(self) -> list[float]:
        """Factor 1."""
        return [1.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See :func:`_affine`."""
        zero = np.zeros((len(points), 2))
        return _affine(inputs, angle=zero[:, 0], shift=zero, scale=points[:, 0], shear=zero)


class Shear(Family):
    """Shear along x and y: ±5° a severity."""

    names = ("shear_x", "shear_y")
    steps = (9, 9)

    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """±25° at severity 5."""
        return [-5.0 * severity] * 2, [5.0 * severity] * 2

    def identity(self) -> list[float]:
        """None."""
        return [0.0, 0.0]

    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """See :func:`_affine`."""
        zero = np.zeros((len(points), 2))
        return _affine(inputs, angle=zero[:, 0], shift=zero, scale=np.ones(len(points)), shear=points)
