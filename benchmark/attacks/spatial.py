"""Rotation and translation: the worst view of a grid, sample by sample (Engstrom et al. 2019, section 4).

A view is one affine map: rotation about the centre, then translation, bilinear, zeros outside. The grid holds the
identity (its numbers of rotations and translations are odd), and a sample leaves the search at the first view that
breaks it. foolbox searches 125 views by default and does not say which one it chose; ART picks one for the whole set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

TOLERANCE = 1e-9


class Spatial(Attack):
    """What the grid and its random subset share.

    Args:
        rotation: largest angle, degrees.
        translation: largest shift, as a share of height and width.
    """

    source: ClassVar[str] = "Engstrom et al. 2019, section 4"

    rotation: float = Field(default=30.0, ge=0, le=180)
    translation: float = Field(default=0.1, ge=0, le=1)

    @property
    def threat(self) -> Threat:
        """No norm and no budget of its own: rotation and translation bound it."""
        return Threat(norm="none", kind="none", knowledge="score")

    def replay(self, inputs: torch.Tensor, params: Mapping[str, NDArray[Any]]) -> torch.Tensor:
        """The views that ``params`` name: ``angle`` in degrees, ``dx`` and ``dy`` as shares of width and height."""
        return _views(inputs, np.stack([params["angle"], params["dx"], params["dy"]], axis=1))

    def admissible(self, params: Mapping[str, NDArray[Any]], eps: float | None) -> NDArray[np.bool_]:
        """(N,) True where angle and shifts lie within the bounds."""
        shift = np.maximum(np.abs(params["dx"]), np.abs(params["dy"]))
        within = (np.abs(params["angle"]) <= self.rotation + TOLERANCE) & (shift <= self.translation + TOLERANCE)
        return np.asarray(within)

    def search(self, model: Model, inputs: torch.Tensor, labels: torch.Tensor, views: NDArray[np.float64]) -> Perturbed:
        """The first view that breaks each sample, else the one of smallest margin.

        Args:
            views: (N, V, 3) angle, and shifts as shares of width and height, tried in this order.
        """
        import torch

        from benchmark.attacks.controls import margins

        best, chosen = np.full(len(inputs), np.inf), np.zeros(len(inputs), int)
        forwards = np.zeros(len(inputs), np.int64)
        active = np.arange(len(inputs))
        for v in range(views.shape[1]):
            at = torch.as_tensor(active, device=inputs.device)
            with torch.no_grad():
                logits = model(_views(inputs[at], views[active, v]))
            forwards[active] += 1
            margin = margins(logits, labels[at].long()).cpu().numpy()
            wrong = (logits.argmax(1) != labels[at]).cpu().numpy()
            better = wrong | (margin < best[active])
            best[active[better]], chosen[active[better]] = margin[better], v
            active = active[~wrong]
            if not len(active):
                break
        picked = views[np.arange(len(inputs)), chosen]
        params = {"angle": picked[:, 0], "dx": picked[:, 1], "dy": picked[:, 2]}
        return Perturbed(
            self.replay(inputs, params), params, forwards=forwards, backwards=np.zeros(len(inputs), np.int64)
        )


@attacks.register("spatial-grid")
class SpatialGrid(Spatial):
    """Worst of a grid of rotations and translations (5 x 5 x 31 = 775 views), early exit for each sample.

    Args:
        rotations, translations: numbers of angles and of shifts along each axis; odd, so that the identity is in.
    """

    rotations: int = Field(default=31, ge=1)
    translations: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.rotations % 2 == 0 or self.translations % 2 == 0:
            raise ValueError("rotations and translations are odd numbers, so that the grid holds the identity")
        return self

    def grid(self) -> NDArray[np.float64]:
        """(V, 3) angle, x and y share of every view; the identity first, then the largest."""
        angles = np.linspace(-self.rotation, self.rotation, self.rotations)
        shifts = np.linspace(-self.translation, self.translation, self.translations)
        views = np.stack(np.meshgrid(angles, shifts, shifts, indexing="ij"), -1).reshape(-1, 3)
        views[np.abs(views) < TOLERANCE] = 0.0
        rest = views[views.any(1)]
        bounds = np.maximum([self.rotation, self.translation, self.translation], TOLERANCE)
        size = (np.abs(rest) / bounds).sum(1)
        # the largest views break most samples: tried first, they end most searches early
        return np.concatenate([np.zeros((1, 3)), rest[np.argsort(-size, kind="stable")]])

    def run(
        self,
        model: Model,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        eps: float | None,
        generator: Draws,
        fitted: Mapping[str, NDArray[Any]] | None = None,
    ) -> Perturbed:
        """See :meth:`Attack.run`."""
        grid = self.grid()
        return self.search(model, inputs, labels, np.broadcast_to(grid, (len(inputs), *grid.shape)))


@attacks.register("spatial-random")
class SpatialRandom(Spatial):
    """Worst of ``draws`` random rotations and translations a sample (the paper: 10; one draw is the average case)."""

    random: ClassVar[bool] = True

    draws: int = Field(default=10, ge=1)

    def run(
        self,
        model: Model,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        eps: float | None,
        generator: Draws,
        fitted: Mapping[str, NDArray[Any]] | None = None,
    ) -> Perturbed:
        """See :meth:`Attack.run`."""
        unit = generator.uniform((self.draws, 3), -1.0, 1.0).double().numpy()
        return self.search(model, inputs, labels, unit * np.array([self.rotation, self.translation, self.translation]))


def _views(inputs: torch.Tensor, views: NDArray[np.float64]) -> torch.Tensor:
    """Each input (N, C, H, W) under its own view (N, 3): angle in degrees, shifts as shares of width and height."""
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import affine

    result, (height, width) = inputs.clone(), inputs.shape[2:]
    distinct, which = np.unique(views, axis=0, return_inverse=True)
    for i, (angle, dx, dy) in enumerate(distinct.tolist()):
        if angle or dx or dy:
            at = torch.as_tensor(np.flatnonzero(which.reshape(-1) == i), device=inputs.device)
            shift = [dx * width, dy * height]
            turned = affine(
                inputs[at], angle, shift, 1.0, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR, fill=[0.0]
            )
            result[at] = turned.clamp(0, 1)
    return result
