"""How far an image is from the truth, a value a sample, in float64."""

from __future__ import annotations

import torch


def relative_error(output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(N,) ||f - x|| / ||x|| of complex images (N, 2, H, W)."""
    difference = torch.linalg.vector_norm((output.double() - truth.double()).flatten(1), dim=1)
    size = torch.linalg.vector_norm(truth.double().flatten(1), dim=1)
    error: torch.Tensor = difference / size.clamp(min=1e-30)
    return error


def psnr(output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(N,) peak signal-to-noise ratio in dB of the magnitudes of (N, 2, H, W), with the range max|x|."""
    ours, theirs = (torch.linalg.vector_norm(image.double(), dim=1).flatten(1) for image in (output, truth))
    peak = theirs.amax(1).clamp(min=1e-30)
    mean_square = (ours - theirs).square().mean(1) / peak.square()
    decibels: torch.Tensor = -10 * mean_square.clamp(min=1e-20).log10()
    return decibels
