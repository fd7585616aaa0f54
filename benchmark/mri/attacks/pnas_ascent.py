"""Heavy-ball ascent in the image domain; equation numbers are those of Antun et al. 2020."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmark.attacks.base import Perturbed
from benchmark.mri.attacks.ascent import (
    INSIDE,
    check_gradient,
    gradient_of,
    norm,
    per_sample,
    project,
    squared_error,
)
from benchmark.mri.measurement import unpack
from benchmark.seeds import Draws

if TYPE_CHECKING:
    from benchmark.models.wrap import Model


def ascend_in_image(
    model: Model,
    packed: torch.Tensor,
    truth: torch.Tensor,
    eps: float,
    generator: Draws,
    *,
    towards: str,
    lam: float,
    step: float,
    momentum: float,
    tau: float,
    steps: int,
    refresh: int,
    name: str,
) -> Perturbed:
    """Antun et al. 2020 (PNAS 117:30088), equations 3 to 5; ``params["change"]`` is r (N, 2, H, W).

    Args:
        model: a Reconstructor.
        packed: measurements (N, K, H, W).
        truth: images (N, 2, H, W).
        eps: budget, a share of ||x||.
        generator: per-sample random numbers of the start.
        towards, lam, step, momentum, tau, steps, refresh: fields of :class:`benchmark.mri.attacks.pnas.Pnas`.
        name: the attack's, for messages.

    Raises:
        AttackError: no gradient, or one that is zero.
    """
    measured, physics = unpack(packed), unpack(packed).physics()
    size = norm(truth).clamp(min=1e-30)
    most = eps * INSIDE * size
    with torch.no_grad():
        away = truth if towards == "truth" else model(packed)
    r = tau * generator.uniform(truth.shape[1:]).to(truth)
    r = r * (most / norm(r)).clamp(max=1)
    v, running = torch.zeros_like(r), torch.ones(len(r), dtype=torch.bool, device=r.device)
    near = model.surrogate(packed)
    for t in range(steps):
        if t and t % refresh == 0:
            near = model.surrogate(measured.with_y(measured.y + physics.A(r)).pack())
        at = r.detach().requires_grad_()
        with torch.enable_grad():
            output = near(measured.with_y(measured.y + physics.A(at)).pack())
            change = 0.5 * squared_error(output, away)  # Q of eq. 3, without its penalty
        ascent = gradient_of(change, at, name)
        if t == 0:  # without this the penalty alone would move r, and a blind method would look robust
            check_gradient(norm(ascent).flatten(), name)
        v = momentum * v + step * (ascent - lam * r)  # eqs. 4 and 5
        ahead = r + v
        over = (norm(ahead) > most).flatten()
        r = torch.where(per_sample(running, r), project(ahead, most), r).detach()
        running &= ~over  # the hard stop: what has once reached the budget stays there
        if not running.any():
            break
    with torch.no_grad():
        moved = measured.with_y(measured.y + physics.A(r)).pack()
    share = (norm(r) / size).flatten().cpu().numpy()
    stopped = (~running).cpu().numpy()
    return Perturbed(moved, {"change": r.cpu().numpy(), "size": share, "stopped": stopped})
