"""Classical reconstructions, called like networks: ``network(y, physics) -> image (N, 2, H, W)``.

They minimise 1/2 ||A x - y||^2 + lambda s R(x) over complex images x, where s = max |A^H y| of each sample: the image
scales with the data, f(a y) = a f(y), as lambda must (else it means something else for every scanner and every image).

``forward`` iterates until it converges and has no gradient, whatever the grad mode. What attacks differentiate is
``unrolled``: some iterations that start at the solution of ``warm`` (Genzel, Macdonald and März 2022,
doi:10.1109/TPAMI.2022.3148324, section 4). docs/speed.md and the tests say how close its gradient is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark.errors import SpecError
from benchmark.mri.admm import Problem, State, solve, unroll
from benchmark.mri.measurement import to_channels
from benchmark.mri.priors import Differences, Prior, Wavelets


class ZeroFilled(nn.Module):
    """A^H y: what is not measured is zero; coils are combined with their maps.

    One coil: the operator is a part of a unitary FFT, and an error e in what is measured becomes one of exactly ||e||.
    """

    def forward(self, y: torch.Tensor, physics: Any) -> torch.Tensor:
        """K-space (N, 2, H, W) or (N, 2, c, H, W) to images (N, 2, H, W)."""
        image: torch.Tensor = physics.A_adjoint(y)
        return image


class Regularised(nn.Module):
    """Base of the reconstructions with a sparsity prior.

    Args:
        prior: the penalty R.
        iterations: at most so many.
        tolerance: relative residual of ADMM (:meth:`benchmark.mri.admm.Problem.residual`) at which a sample is done.
        steps: iterations of ``unrolled``.

    Raises:
        SpecError: a number that is not above 0.
    """

    def __init__(self, prior: Prior, *, iterations: int, tolerance: float, steps: int) -> None:
        super().__init__()
        for name, value in {"iterations": iterations, "tolerance": tolerance, "unrolled": steps}.items():
            _check_positive(name, value)
        self.prior, self.iterations, self.tolerance, self.steps = prior, iterations, tolerance, steps

    def weight(self, physics: Any) -> float:
        """Lambda for this measurement."""
        raise NotImplementedError

    def problem(self, y: torch.Tensor, physics: Any) -> Problem:
        """What is minimised, in units of ``Problem.scale``."""
        return Problem(y, physics, self.weight(physics), self.prior)

    def forward(self, y: torch.Tensor, physics: Any) -> torch.Tensor:
        """K-space (N, 2, H, W) or (N, 2, c, H, W) to images (N, 2, H, W): the minimum, without a gradient."""
        with torch.no_grad():
            problem = self.problem(y, physics)
            image, _ = solve(problem, iterations=self.iterations, tolerance=self.tolerance)
            return to_channels(image * problem.scale)

    @torch.no_grad()
    def warm(self, y: torch.Tensor, physics: Any) -> State:
        """The state of ADMM at the minimum, for :meth:`unrolled` there and nearby."""
        return solve(self.problem(y, physics), iterations=self.iterations, tolerance=self.tolerance)[1]

    def unrolled(self, y: torch.Tensor, physics: Any, state: State) -> torch.Tensor:
        """Images (N, 2, H, W) after a fixed number of iterations from ``state``, differentiable in ``y``."""
        problem = self.problem(y, physics)
        return to_channels(unroll(problem, state, self.steps) * problem.scale)


class TotalVariation(Regularised):
    """Total variation of a complex image, periodic differences.

    Args:
        lam: lambda, relative to max |A^H y|.
        iterations, tolerance: where it stops.
        isotropic: see :class:`benchmark.mri.priors.Differences`.
        unrolled: iterations that attacks differentiate.

    Raises:
        SpecError: a number that is not above 0.
    """

    def __init__(
        self,
        lam: float,
        iterations: int = 1000,
        tolerance: float = 1e-5,
        isotropic: bool = True,
        unrolled: int = 30,
    ) -> None:
        _check_positive("lam", lam)
        super().__init__(Differences(isotropic=isotropic), iterations=iterations, tolerance=tolerance, steps=unrolled)
        self.lam = lam

    def weight(self, physics: Any) -> float:
        return self.lam


class OracleTotalVariation(Regularised):
    """Total variation whose lambda follows the noise level that it is told (``physics.level``, ||n|| / ||Ax||).

    An oracle: no network is told the level. log(lambda) is interpolated linearly in the level, and stays what it is at
    the ends of the table.

    Args:
        levels: noise levels, rising.
        lams: lambda of each.
        iterations, tolerance, isotropic, unrolled: as :class:`TotalVariation` takes them.

    Raises:
        SpecError: a number that is not above 0, levels that do not rise or that are not as many as ``lams``.
    """

    uses_level = True

    def __init__(
        self,
        levels: Sequence[float],
        lams: Sequence[float],
        iterations: int = 1000,
        tolerance: float = 1e-5,
        isotropic: bool = True,
        unrolled: int = 30,
    ) -> None:
        if not levels or len(levels) != len(lams) or any(b <= a for a, b in pairwise(levels)):
            raise SpecError(f"levels: expected rising noise levels, one for each of lams = {lams}, got {levels}")
        for lam in lams:
            _check_positive("lams", lam)
        super().__init__(Differences(isotropic=isotropic), iterations=iterations, tolerance=tolerance, steps=unrolled)
        self.levels, self.lams = tuple(levels), tuple(lams)

    def weight(self, physics: Any) -> float:
        return float(np.exp(np.interp(float(getattr(physics, "level", 0.0)), self.levels, np.log(self.lams))))


class WaveletL1(Regularised):
    """l1 norm of the coefficients of an orthonormal wavelet transform (Lustig, Donoho and Pauly 2007,
    doi:10.1002/mrm.21391, eq. 3).

    Args:
        lam: lambda, relative to max |A^H y|.
        wavelet, levels: see :class:`benchmark.mri.priors.Wavelets`.
        iterations, tolerance: where it stops.
        unrolled: iterations that attacks differentiate.

    Raises:
        SpecError: a number that is not above 0, or a wavelet that PyWavelets does not know as orthogonal.
    """

    def __init__(
        self,
        lam: float,
        wavelet: str = "db4",
        levels: int = 3,
        iterations: int = 1000,
        tolerance: float = 1e-5,
        unrolled: int = 30,
    ) -> None:
        _check_positive("lam", lam)
        _check_positive("levels", levels)
        super().__init__(Wavelets(wavelet, levels), iterations=iterations, tolerance=tolerance, steps=unrolled)
        self.lam, self.levels = lam, levels

    def weight(self, physics: Any) -> float:
        return self.lam

    def refuses(self, physics: Any) -> str | None:
        """Why such a measurement cannot be taken: its size."""
        (height, width), unit = physics.mask.shape[-2:], 2**self.levels
        if height % unit or width % unit:
            return f"{self.levels} levels of wavelets need multiples of {unit} pixels, got {height} x {width}"
        return None


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise SpecError(f"{name}: expected a number above 0, got {value}")
