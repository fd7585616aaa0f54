"""Ascent on the recovered contrast of a lesion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from benchmark.attacks._measurement import ascend, per_sample, radius
from benchmark.attacks.base import Perturbed
from benchmark.mri.measurement import unpack

if TYPE_CHECKING:
    from benchmark.attacks.lesion import Lesion
    from benchmark.models.wrap import Model


def move_contrast(attack: Lesion, model: Model, packed: torch.Tensor, change: NDArray[Any], eps: float) -> Perturbed:
    """See :class:`benchmark.attacks.lesion.Lesion`."""
    d, without = torch.as_tensor(change, device=packed.device, dtype=packed.dtype), unpack(packed)
    hide = attack.mode == "hide"
    with torch.no_grad():
        base = without.with_y(without.y + without.physics().A(d)) if hide else without

    def shown(output: torch.Tensor) -> torch.Tensor:
        value = (output * d).flatten(1).sum(1)
        return -value if hide else value

    most = radius(base, eps)
    result = ascend(
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
    candidates = torch.stack([result.e, result.last])
    with torch.no_grad():  # the method itself decides
        values = torch.stack([shown(model(base.with_y(base.y + e).pack())) for e in candidates])
    best = torch.where(per_sample(values[1] > values[0], result.e), result.last, result.e)
    reference = base.pack() if hide else None
    return Perturbed(base.with_y(base.y + best).pack(), {"change": change}, reference=reference)
