"""Ascent on the recovered contrast of a lesion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from benchmark.attacks.base import Perturbed
from benchmark.mri.attacks.ascent import ascend, per_sample, radius
from benchmark.mri.measurement import unpack

if TYPE_CHECKING:
    from benchmark.models.wrap import Model
    from benchmark.mri.attacks.lesion import Lesion


def move_contrast(attack: Lesion, model: Model, packed: torch.Tensor, change: NDArray[Any], eps: float) -> Perturbed:
    """See :class:`benchmark.mri.attacks.lesion.Lesion`."""
    d, without = torch.as_tensor(change, device=packed.device, dtype=packed.dtype), unpack(packed)
    hide = attack.mode == "hide"
    with torch.no_grad():
        base = without.with_y(without.y + without.physics().A(d)) if hide else without

    def shown(output: torch.Tensor) -> torch.Tensor:
        value = (output * d).flatten(1).sum(1)
        return -value if hide else value

    most = radius(base, eps)
    found = ascend(
        model,
        base,
        shown,
        torch.zeros_like(base.y),
        most,
        steps=attack.steps,
        step=attack.step,
        refresh=attack.refresh,
        moment="sample",
        name=attack.name,
    )
    candidates = torch.stack([found.e, found.last])
    with torch.no_grad():  # the method itself decides
        values = torch.stack([shown(model(base.with_y(base.y + e).pack())) for e in candidates])
    best = torch.where(per_sample(values[1] > values[0], found.e), found.last, found.e)
    reference = base.pack() if hide else None
    return Perturbed(base.with_y(base.y + best).pack(), {"change": change}, reference=reference)
