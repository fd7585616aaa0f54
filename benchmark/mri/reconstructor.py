"""A network or method that turns measurements into images, as attacks and the judge call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmark.errors import NotApplicableError
from benchmark.models.wrap import Model
from benchmark.mri.measurement import unpack


class Reconstructor(Model):
    """A network that turns measurements into images, called with packed measurements (``benchmark.mri.measurement``).

    The network follows deepinv's convention, ``network(y, physics) -> image (N, 2, H, W)``. It may also have:

    - ``refuses(physics) -> str | None``: why it cannot take such a measurement (a fixed mask or size);
    - ``warm(y, physics) -> state`` and ``unrolled(y, physics, state) -> image``, where it solves a problem by iterating
      until it converges: attacks differentiate a few iterations from the solution, and are judged by the solver;
    - ``uses_level = True``: it is told the noise level as ``physics.level`` (an oracle; others are not).

    Attributes:
        level: noise level ||n|| / ||Ax|| that an oracle is told; the task sets it.
    """

    level: float = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Packed measurements (N, K, H, W) to images (N, 2, H, W).

        Raises:
            NotApplicableError: the network cannot take such a measurement.
        """
        y, physics = self._taken(x)
        return self.counted(self.network(y, physics))

    def surrogate(self, x: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        """A differentiable function of packed measurements near ``x``: the network itself, or iterations of a solver
        that start from its solution at ``x`` and cost a forward each time."""
        if not hasattr(self.network, "unrolled"):
            return self
        y, physics = self._taken(x)
        network: Any = self.network
        with torch.no_grad():
            state = network.warm(y, physics)

        def near(packed: torch.Tensor) -> torch.Tensor:
            y, physics = self._taken(packed)
            output: torch.Tensor = network.unrolled(y, physics, state)
            return self.counted(output)

        return near

    def _taken(self, x: torch.Tensor) -> tuple[torch.Tensor, Any]:
        measurement = unpack(x)
        known = self.level if getattr(self.network, "uses_level", False) else 0.0
        physics = measurement.physics(known)
        refuses = getattr(self.network, "refuses", None)
        reason = refuses(physics) if refuses is not None else None
        if reason:
            raise NotApplicableError(reason)
        return measurement.y, physics
