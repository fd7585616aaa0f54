"""Power iteration on J^T J with one exact product, J^T u, an iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmark.errors import AttackError
from benchmark.mri.attacks.ascent import check_gradient, norm, per_sample, random_direction
from benchmark.mri.measurement import unpack
from benchmark.seeds import Draws

if TYPE_CHECKING:
    from benchmark.models.wrap import Model

STEP = 1e-2  # length of the finite difference behind J v, as a share of ||y||


def largest_singular_value(
    model: Model, packed: torch.Tensor, generator: Draws, iterations: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower bound of sigma_max of df/dy for each sample, and the share that the last iteration added.

    The direction u = J v / ||J v|| comes from a central difference, the bound ||J^T u|| <= sigma_max from a backward:
    it is one for any unit u. (Differentiating twice gives zeros through solvers whose backward is written by hand.)

    Args:
        model: a Reconstructor.
        packed: (N, K, H, W).
        generator: N random streams.
        iterations: of the power method.

    Raises:
        AttackError: the reconstruction has no gradient, or one that is zero.
    """
    measured = unpack(packed)
    near = model.surrogate(packed)
    y = measured.y.detach().clone().requires_grad_()
    with torch.enable_grad():
        output = near(measured.with_y(y).pack())
    if not output.requires_grad:
        raise AttackError("attack 'jacobian': the reconstruction has no gradient with respect to its measurement")
    h = per_sample(STEP * measured.norm().clamp(min=1e-30), measured.y)
    v = random_direction(measured, generator)
    sigma, before = torch.zeros(len(packed), device=packed.device), torch.zeros(len(packed), device=packed.device)
    for _ in range(iterations):
        with torch.no_grad():
            ahead, behind = (near(measured.with_y(measured.y + sign * h * v).pack()) for sign in (1, -1))
        pushed = ahead - behind
        u = pushed / norm(pushed).clamp(min=1e-30)
        (back,) = torch.autograd.grad(output, y, u, retain_graph=True)
        back = measured.sampled(back)
        before, sigma = sigma, norm(back).flatten()
        check_gradient(sigma, "jacobian")
        v = back / norm(back).clamp(min=1e-30)
    return sigma, (sigma - before) / sigma.clamp(min=1e-30)
