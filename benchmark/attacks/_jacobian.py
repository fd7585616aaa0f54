"""Power iteration by double backward."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmark.attacks._measurement import norm, random_direction
from benchmark.errors import AttackError
from benchmark.mri.measurement import unpack
from benchmark.seeds import Draws

if TYPE_CHECKING:
    from benchmark.models.wrap import Model


def largest_singular_value(
    model: Model, packed: torch.Tensor, generator: Draws, iterations: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower bound of sigma_max of df/dy for each sample, and the share that the last iteration added.

    J v is the derivative with respect to u of <J^T u, v>, which is linear in u: two backwards, no forward mode needed.

    Args:
        model: a Reconstructor.
        packed: (N, K, H, W).
        generator: N random streams.
        iterations: of the power method.

    Raises:
        AttackError: the reconstruction has no gradient.
    """
    measured = unpack(packed)
    y = measured.y.detach().clone().requires_grad_()
    with torch.enable_grad():
        output = model.surrogate(packed)(measured.with_y(y).pack())  # type: ignore[operator]
        if not output.requires_grad:
            raise AttackError("attack 'jacobian': the reconstruction has no gradient with respect to its measurement")
        u = torch.zeros_like(output, requires_grad=True)
        (pulled,) = torch.autograd.grad(output, y, u, create_graph=True)
    v = random_direction(measured, generator)
    sigma, before = torch.zeros(len(packed), device=packed.device), torch.zeros(len(packed), device=packed.device)
    for _ in range(iterations):
        (pushed,) = torch.autograd.grad(pulled, u, v, retain_graph=True)  # J v
        before, sigma = sigma, norm(pushed).flatten()
        (back,) = torch.autograd.grad(output, y, pushed, retain_graph=True)  # J^T J v
        back = measured.sampled(back)
        v = back / norm(back).clamp(min=1e-30)
    return sigma, (sigma - before) / sigma.clamp(min=1e-30)
