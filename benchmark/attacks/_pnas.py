"""Heavy-ball ascent in the image domain; equation numbers are those of Antun et al. 2020."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmark.attacks._measurement import (
    INSIDE,
    check_gradient,
    gradient_of,
    norm,
    per_sample,
    project,
    squared_error,
)
from benchmark.attacks.base import Perturbed
from benchmark.mri.measurement import unpack
from benchmark.seeds import Draws

if TYPE_CHECKING:
    from benchmark.attacks.pnas import Pnas
    from benchmark.models.wrap import Model


def ascend_in_image(
    attack: Pnas, model: Model, packed: torch.Tensor, truth: torch.Tensor, eps: float, generator: Draws
) -> Perturbed:
    """See :class:`benchmark.attacks.pnas.Pnas`; ``params["change"]`` is r (N, 2, H, W)."""
    measured, physics = unpack(packed), unpack(packed).physics()
    size = norm(truth).clamp(min=1e-30)
    most = eps * INSIDE * size
    with torch.no_grad():
        away = truth if attack.towards == "truth" else model(packed)
    r = attack.tau * generator.uniform(truth.shape[1:]).to(truth)
    r = r * (most / norm(r)).clamp(max=1)
    v, running = torch.zeros_like(r), torch.ones(len(r), dtype=torch.bool, device=r.device)
    near = model.surrogate(packed)  # type: ignore[operator]
    for t in range(attack.steps):
        if t and t % attack.refresh == 0:
            near = model.surrogate(measured.with_y(measured.y + physics.A(r)).pack())  # type: ignore[operator]
        at = r.detach().requires_grad_()
        with torch.enable_grad():
            output = near(measured.with_y(measured.y + physics.A(at)).pack())
            change = 0.5 * squared_error(output, away)  # Q of eq. 3, without its penalty
        ascent = gradient_of(change, at, attack.name)
        if t == 0:  # without this the penalty alone would move r, and a blind method would look robust
            check_gradient(norm(ascent).flatten(), attack.name)
        v = attack.momentum * v + attack.step * (ascent - attack.lam * r)  # eqs. 4 and 5
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
