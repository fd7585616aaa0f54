"""AutoAttack's members one after another on the samples that are left (arXiv:2003.01690, section 5)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark.attacks.base import Perturbed
from benchmark.attacks.core.projections import NormName
from benchmark.attacks.core.search import Search
from benchmark.attacks.parameter_free.ascent import apgd
from benchmark.attacks.parameter_free.boundary import fab
from benchmark.attacks.parameter_free.squares import square

if TYPE_CHECKING:
    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws

CLASSES, CLASSES_L1 = 9, 5  # targets of the authors' targeted members; of APGD on l1
RESTARTS = 5  # of "plus", and of l1's first member
REPEATS = 20  # evaluations a step of "rand"


def autoattack(
    model: Model,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    draws: Draws,
    *,
    members: tuple[str, ...],
    norm: NormName,
    eps: float,
    steps: int,
    queries: int,
    variant: str,
) -> Perturbed:
    """Run the members in order.

    Args:
        model: (M, C, H, W) in [0, 1] to logits (M, K).
        inputs, labels: (N, C, H, W) and (N,).
        draws: N streams.
        members: names, in order.
        norm, eps: the ball.
        steps, queries, variant: see :class:`benchmark.attacks.parameter_free.autoattack.AutoAttack`.

    Returns:
        Inputs with exact calls, ``member`` and ``calls_<i>``.
    """
    search = Search.of(model, inputs, labels)
    several = RESTARTS if variant == "plus" or norm == "l1" else 1
    ascent = partial(apgd, norm=norm, eps=eps, steps=steps, repeats=REPEATS if variant == "rand" else 1)
    runs: dict[str, Any] = {
        "apgd-ce": partial(ascent, loss="ce", restarts=several),
        "apgd-dlr": partial(ascent, loss="dlr", restarts=several),
        "apgd-t": partial(
            ascent, loss="dlr", classes=CLASSES_L1 if norm == "l1" and variant == "standard" else CLASSES
        ),
        "fab": partial(fab, norm=norm, steps=steps, radius=eps, restarts=several),
        "fab-t": partial(fab, norm=norm, steps=steps, radius=eps, classes=CLASSES),
        "square": partial(square, norm=norm, eps=eps, queries=queries),
    }
    by, calls = np.zeros(len(inputs)), {}
    for place, name in enumerate(members, start=1):
        before, left = search.forwards + search.backwards, search.left()
        runs[name](search, draws, name=name)
        calls[f"calls_{place}"] = (search.forwards + search.backwards - before).cpu().numpy().astype(np.float64)
        by[left[search.broken[left]].cpu().numpy()] = place
    return replace(search.perturbed(), params={"member": by, **calls})
