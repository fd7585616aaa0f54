"""What a family of structural perturbations is: a box of parameters that grows with the severity (1 to 5)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

Points = NDArray[np.float64]
SEVERITIES = 5


class Family(ABC):
    """One kind of change.

    Class attributes:
        names: parameters, in the order of a point.
        steps: grid points along each of them.
        whole: parameters that are whole numbers.
    """

    names: ClassVar[tuple[str, ...]]
    steps: ClassVar[tuple[int, ...]]
    whole: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def box(self, severity: int) -> tuple[list[float], list[float]]:
        """Lowest and highest value of each parameter."""

    @abstractmethod
    def identity(self) -> list[float]:
        """The point that changes nothing."""

    @abstractmethod
    def apply(self, inputs: torch.Tensor, points: Points) -> torch.Tensor:
        """Inputs (N, C, H, W) in [0, 1], each under its own point (N, P), before clipping to [0, 1]."""

    def grid(self, severity: int) -> Points:
        """(V, P) all grid points, the identity first, then by their distance from it, the farthest first."""
        low, high = self.box(severity)
        axes = [np.linspace(a, b, n) for a, b, n in zip(low, high, self.steps, strict=True)]
        axes = [np.unique(np.round(v)) if n in self.whole else v for v, n in zip(axes, self.names, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(self.names))
        origin = np.asarray(self.identity())
        points = np.where(np.abs(points - origin) < 1e-9, origin, points)  # rounding of linspace
        width = np.maximum(np.asarray(high) - np.asarray(low), 1e-12)
        far = (np.abs(points - origin) / width).sum(1)
        ordered = points[np.argsort(-far, kind="stable")]
        same = (ordered == origin).all(1)
        return np.concatenate([origin[None], ordered[~same]])

    def draw(self, severity: int, generator: np.random.Generator) -> Points:
        """(P,) a point uniform in the box."""
        low, high = self.box(severity)
        point = generator.uniform(low, high)
        whole = [name in self.whole for name in self.names]
        return np.where(whole, np.round(point), point)

    def inside(self, points: Points, severity: int) -> NDArray[np.bool_]:
        """(N,) True where a point lies in the box, or is the identity."""
        low, high = self.box(severity)
        within = ((points >= np.asarray(low) - 1e-9) & (points <= np.asarray(high) + 1e-9)).all(1)
        return np.asarray(within | (points == np.asarray(self.identity())).all(1))
