"""Sparsifying transforms G of classical reconstruction, for the solver in :mod:`benchmark.mri.admm`.

The FFT diagonalises G^H G of each, so that the solver's least-squares step is exact. PyWavelets gives the filters; its
own transform is NumPy, without gradients or batches on a device, and ptwt refuses complex images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Protocol

import numpy as np
import torch

from benchmark.errors import SpecError

TINY = 1e-30  # under a square root, whose gradient is then finite at 0; still a normal float32


class Prior(Protocol):
    """A penalty sum_i |(G x)_i| over complex images.

    Attributes:
        ratios: penalty parameter rho of ADMM over lambda, early and late on the way to the solution. The threshold of
            its shrinkage is 1 / ratio, in images with a maximum of 1: near the size of the coefficients that are worth
            keeping it converges fastest.
        unrolled: the same at the first and the last of the iterations that attacks differentiate, which start at the
            solution: there it decides how soon their gradient is the solution's.
    """

    ratios: tuple[float, float]
    unrolled: tuple[float, float]

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """G x: complex (N, H, W) to (N, K, H, W)."""

    def adjoint(self, z: torch.Tensor) -> torch.Tensor:
        """G^H z: complex (N, K, H, W) to (N, H, W)."""

    def gram(self, like: torch.Tensor) -> torch.Tensor:
        """Eigenvalues of G^H G, real, broadcastable to (H, W), in the FFT's order; ``like`` is a complex image."""

    def moduli(self, z: torch.Tensor) -> torch.Tensor:
        """What is summed, real, broadcastable to ``z``."""

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """The penalty of each image, (N,)."""


class Differences:
    """Total variation with periodic differences D_i x = x - shift_i(x) along rows and columns.

    Args:
        isotropic: sum over pixels of sqrt(|D_1 x|^2 + |D_2 x|^2) (Rudin, Osher and Fatemi 1992,
            doi:10.1016/0167-2789(92)90242-F); False: of |D_1 x| + |D_2 x|, as in sigpy's ``TotalVariationRecon``.
    """

    ratios, unrolled = (30.0, 100.0), (60.0, 10.0)

    def __init__(self, *, isotropic: bool = True) -> None:
        self.isotropic = isotropic

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x - x.roll(1, -2), x - x.roll(1, -1)], dim=1)

    def adjoint(self, z: torch.Tensor) -> torch.Tensor:
        rows, columns = z.unbind(1)
        return rows - rows.roll(-1, -2) + columns - columns.roll(-1, -1)

    def gram(self, like: torch.Tensor) -> torch.Tensor:
        rows, columns = (
            2 - 2 * torch.cos(2 * math.pi / n * torch.arange(n, dtype=like.real.dtype, device=like.device))
            for n in like.shape[-2:]
        )
        return rows[:, None] + columns

    def moduli(self, z: torch.Tensor) -> torch.Tensor:
        squares = _squares(z)
        return (squares.sum(1, keepdim=True) if self.isotropic else squares).clamp_min(TINY).sqrt()

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return self.moduli(self.apply(x)).flatten(1).sum(1)


class Wavelets:
    """l1 norm of the coefficients of an orthonormal, periodised 2D wavelet transform (Mallat 1989).

    The coarsest approximation is penalised too, as in sigpy: a mask with gaps at its low frequencies would otherwise
    leave them undetermined (phantoms at 32x32, 54 % measured, db4, 2 levels: error 0.19 instead of 0.08).

    Args:
        wavelet: an orthogonal wavelet of PyWavelets.
        levels: number of levels; height and width are multiples of 2^levels.

    Raises:
        SpecError: PyWavelets has no such wavelet, or it is not orthogonal.
    """

    ratios, unrolled = (16.0, 16.0), (24.0, 6.0)

    def __init__(self, wavelet: str = "db4", levels: int = 3) -> None:
        import pywt

        known = pywt.wavelist(kind="discrete")
        if wavelet not in known or not pywt.Wavelet(wavelet).orthogonal:
            raise SpecError(f"wavelet: expected an orthogonal wavelet of PyWavelets, such as 'db4', got {wavelet!r}")
        self.wavelet, self.levels = wavelet, levels

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Coefficients (N, 1, H, W): the approximation is the first H / 2^levels rows and W / 2^levels columns."""
        real, imaginary = self._analyse(torch.stack([x.real, x.imag]), self.levels)
        return torch.complex(real, imaginary)[:, None]

    def adjoint(self, z: torch.Tensor) -> torch.Tensor:
        real, imaginary = self._synthesise(torch.stack([z[:, 0].real, z[:, 0].imag]), self.levels)
        return torch.complex(real, imaginary)

    def gram(self, like: torch.Tensor) -> torch.Tensor:
        return torch.ones((), dtype=like.real.dtype, device=like.device)

    def moduli(self, z: torch.Tensor) -> torch.Tensor:
        return _squares(z).clamp_min(TINY).sqrt()

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return self.moduli(self.apply(x)).flatten(1).sum(1)

    def _analyse(self, x: torch.Tensor, levels: int) -> torch.Tensor:
        if not levels:
            return x
        rows, columns = (_filters(self.wavelet, n, x.dtype, x.device) for n in x.shape[-2:])
        return _replace_corner(rows @ x @ columns.T, lambda corner: self._analyse(corner, levels - 1))

    def _synthesise(self, z: torch.Tensor, levels: int) -> torch.Tensor:
        if not levels:
            return z
        rows, columns = (_filters(self.wavelet, n, z.dtype, z.device) for n in z.shape[-2:])
        return rows.T @ _replace_corner(z, lambda corner: self._synthesise(corner, levels - 1)) @ columns


def _squares(z: torch.Tensor) -> torch.Tensor:
    """|z|^2; several times as fast as ``z.abs().square()``, and its gradient at 0 is 0."""
    return z.real.square() + z.imag.square()


def _replace_corner(x: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """``x`` with its first half of rows and columns changed, out of place."""
    height, width = (n // 2 for n in x.shape[-2:])
    top = torch.cat([change(x[..., :height, :width]), x[..., :height, width:]], dim=-1)
    return torch.cat([top, x[..., height:, :]], dim=-2)


@cache
def _filters(wavelet: str, n: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """One level of the 1D transform as an orthonormal matrix (n, n): approximation rows, then detail rows."""
    import pywt

    parts = pywt.dwt(np.eye(n), wavelet, mode="periodization", axis=0)
    return torch.from_numpy(np.concatenate(parts)).to(device, dtype)
