"""What a reconstruction network is asked with, as one tensor: k-space, mask and coil maps together.

Packed (N, K, H, W) float32: one coil [re, im, mask], K = 3; c coils [re of each, im of each, mask, re of each map, im
of each map], K = 4 c + 1. So batches, chunks and attacks need to know nothing of masks and maps that differ by sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from benchmark.errors import DataError


@dataclass(frozen=True)
class Measurement:
    """Undersampled k-space and how it was measured.

    Attributes:
        y: k-space, zero where not measured, centred, unitary: (N, 2, H, W), with coils (N, 2, c, H, W).
        mask: (N, 1, H, W), 1 where measured.
        maps: complex coil sensitivities (N, c, H, W) with a sum of squares of 1, None for one coil.
    """

    y: torch.Tensor
    mask: torch.Tensor
    maps: torch.Tensor | None = None

    def pack(self) -> torch.Tensor:
        """As one tensor (N, K, H, W)."""
        parts = [self.y.flatten(1, -3), self.mask]
        if self.maps is not None:
            parts += [self.maps.real, self.maps.imag]
        return torch.cat([part.to(self.y.dtype) for part in parts], dim=1)

    def with_y(self, y: torch.Tensor) -> Measurement:
        """The same acquisition with other values."""
        return Measurement(y, self.mask, self.maps)

    def sampled(self, y: torch.Tensor) -> torch.Tensor:
        """K-space set to zero where nothing is measured."""
        return y * (self.mask if self.maps is None else self.mask[:, :, None])

    def to(self, device: torch.device | str) -> Measurement:
        """The same on another device."""
        return Measurement(self.y.to(device), self.mask.to(device), None if self.maps is None else self.maps.to(device))

    def norm(self) -> torch.Tensor:
        """(N,) l2 norm of the k-space."""
        length: torch.Tensor = torch.linalg.vector_norm(self.y.flatten(1), dim=1)
        return length

    def physics(self, level: float = 0.0) -> Any:
        """deepinv's ``MRI`` or ``MultiCoilMRI``, with ``A``, ``A_adjoint``, ``A_dagger``, ``mask``, ``coil_maps``.

        Args:
            level: noise level ||n|| / ||Ax|| that the measurement is known to have: ``physics.level``, for oracles.
        """
        from deepinv.physics import MRI, MultiCoilMRI

        mask = self.mask.expand(-1, 2, -1, -1)
        if self.maps is None:
            operator = MRI(mask=mask, device=self.y.device)
        else:
            operator = MultiCoilMRI(mask=mask, coil_maps=self.maps, device=self.y.device)
        operator.level = level
        return operator


def unpack(packed: torch.Tensor) -> Measurement:
    """Inverse of :meth:`Measurement.pack`.

    Raises:
        DataError: a number of channels that is no packed measurement's.
    """
    channels = packed.shape[1]
    if channels == 3:
        return Measurement(packed[:, :2], packed[:, 2:3])
    if channels < 5 or channels % 4 != 1:
        raise DataError(f"expected a packed measurement of 3 or 4 c + 1 channels (c coils), got {channels}")
    coils = channels // 4
    y = _split(packed[:, : 2 * coils], 2)
    real, imaginary = _split(packed[:, 2 * coils + 1 :], 2).unbind(1)
    return Measurement(y, packed[:, 2 * coils : 2 * coils + 1], torch.complex(real, imaginary))


def to_complex(image: torch.Tensor) -> torch.Tensor:
    """(N, 2, ...) real to (N, ...) complex."""
    return torch.complex(image[:, 0], image[:, 1])


def to_channels(image: torch.Tensor) -> torch.Tensor:
    """(N, ...) complex to (N, 2, ...) real."""
    return torch.stack([image.real, image.imag], dim=1)


def fft(image: torch.Tensor) -> torch.Tensor:
    """Centred unitary 2D FFT of a complex image (..., H, W), as deepinv's."""
    shifted = torch.fft.ifftshift(image, dim=(-2, -1))
    spectrum: torch.Tensor = torch.fft.fftshift(torch.fft.fft2(shifted, norm="ortho"), dim=(-2, -1))
    return spectrum


def ifft(kspace: torch.Tensor) -> torch.Tensor:
    """Inverse of :func:`fft`."""
    shifted = torch.fft.ifftshift(kspace, dim=(-2, -1))
    picture: torch.Tensor = torch.fft.fftshift(torch.fft.ifft2(shifted, norm="ortho"), dim=(-2, -1))
    return picture


def _split(channels: torch.Tensor, parts: int) -> torch.Tensor:
    """(N, parts c, H, W) to (N, parts, c, H, W)."""
    return channels.reshape(len(channels), parts, -1, *channels.shape[-2:])


def split_sample(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A reconstruction dataset's samples as fully sampled coil images and coil maps.

    Args:
        inputs: (N, 2, H, W): one coil; or (N, 4 c, H, W): the real part of each coil's image, the imaginary part of
            each, then real and imaginary parts of the maps likewise.

    Returns:
        complex coil images (N, c, H, W), and complex maps (N, c, H, W) or None.

    Raises:
        DataError: another number of channels.
    """
    channels = inputs.shape[1]
    if channels == 2:
        return to_complex(inputs)[:, None], None
    if channels % 4:
        raise DataError(f"expected 2 or 4 c channels (a complex image, or c coil images and maps), got {channels}")
    parts = _split(inputs, 4)
    return torch.complex(parts[:, 0], parts[:, 1]), torch.complex(parts[:, 2], parts[:, 3])


def truth_of(inputs: torch.Tensor) -> torch.Tensor:
    """The image (N, 2, H, W) that a dataset's samples show: coil images combined with their maps (SENSE)."""
    coils, maps = split_sample(inputs)
    return to_channels(coils[:, 0] if maps is None else (maps.conj() * coils).sum(1))


def measure(
    inputs: torch.Tensor, mask: torch.Tensor, *, level: float = 0.0, normal: torch.Tensor | None = None
) -> Measurement:
    """Undersample a dataset's samples, with complex white noise.

    Args:
        inputs: as :func:`split_sample` takes them.
        mask: (H, W), or (N, 1, H, W); true where measured.
        level: expected ||n|| / ||Ax||.
        normal: standard normal numbers, (N, 2 c, H, W), where level > 0.
    """
    coils, maps = split_sample(inputs)
    kspace = to_channels(fft(coils))  # (N, 2, c, H, W)
    flags = mask.to(inputs.dtype).to(inputs.device)
    flags = (flags[None, None] if flags.ndim == 2 else flags).expand(len(inputs), 1, -1, -1)
    y = kspace * flags[:, :, None]
    if level:
        assert normal is not None, "noise needs drawn numbers"
        noise = _split(normal.to(y), 2) * flags[:, :, None]
        count = 2 * coils.shape[1] * flags.flatten(1).sum(1)
        scale = level * torch.linalg.vector_norm(y.flatten(1), dim=1) / count.sqrt()
        y = y + scale.view(-1, 1, 1, 1, 1) * noise
    return Measurement(y[:, :, 0] if maps is None else y, flags, maps)
