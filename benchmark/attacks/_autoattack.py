"""The members of the two AutoAttack ensembles as torchattacks objects, and the loop over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchattacks

from benchmark.attacks._frozen import frozen
from benchmark.attacks.base import Norm, Perturbed
from benchmark.attacks.controls import margins
from benchmark.attacks.torchattacks_attacks import NORM_NAMES

if TYPE_CHECKING:
    from benchmark.models.wrap import Model

TARGETS = 9  # target classes of the authors' targeted members


def standard(model: Model, norm: Norm, eps: float, seed: int, classes: int, variant: str, steps: int) -> list[Any]:
    """torchattacks' AutoAttack as a list of its members, with ``steps`` iterations of APGD and FAB.

    Args:
        model: attacked.
        norm: ``"linf"`` or ``"l2"``.
        eps: budget.
        seed: of every member (the library would take the clock).
        classes: number of logits; at most nine other classes are targets.
        variant: the library's ``version``.
        steps: iterations.
    """
    ensemble = torchattacks.AutoAttack(
        model, norm=NORM_NAMES[norm], eps=eps, version=variant, n_classes=min(classes, TARGETS + 1), seed=seed
    )
    members = list(ensemble._autoattack.attacks)
    for member in members:
        if hasattr(member, "steps"):
            member.steps = steps
    return members


def binary(model: Model, norm: Norm, eps: float, seed: int, classes: int, steps: int, queries: int) -> list[Any]:
    """APGD on the cross-entropy, APGD on the logit difference, FAB on every class, Square; arguments as above."""
    common: dict[str, Any] = {"norm": NORM_NAMES[norm], "eps": eps, "seed": seed}
    difference = torchattacks.APGD(model, steps=steps, loss="dlr", **common)
    difference.dlr_loss = lambda logits, labels: -margins(logits, labels)  # DLR divides by the third logit's distance
    return [
        torchattacks.APGD(model, steps=steps, loss="ce", **common),
        difference,
        torchattacks.FAB(model, steps=steps, n_classes=classes, **common),
        torchattacks.Square(model, n_queries=queries, **common),
    ]


def cascade(model: Model, inputs: torch.Tensor, labels: torch.Tensor, members: list[Any]) -> Perturbed:
    """Run members in order on the samples that are still classified right; the first that breaks one decides it.

    The same inputs as torchattacks' own loop (``MultiAttack``) gives, with calls counted for each sample, and without
    a member being called where nothing is left.

    Args:
        model: attacked.
        inputs: (N, C, H, W) in [0, 1].
        labels: (N,).
        members: torchattacks objects.

    Returns:
        The inputs, and forward and backward calls a sample (means over the samples of each member's call).
    """
    outputs, forwards, backwards = inputs.clone(), np.zeros(len(inputs)), np.zeros(len(inputs))
    active = torch.arange(len(inputs), device=inputs.device)
    with frozen(model):
        for member in [None, *members]:
            if not len(active):
                break
            at = active.cpu().numpy()
            with model.counter.counting() as used:
                candidates = inputs[active]
                if member is not None:  # the first round finds the samples that are wrong already
                    member.set_device(inputs.device)
                    candidates = member(inputs[active], labels[active]).detach()
                with torch.no_grad():
                    broken = model(candidates).argmax(1) != labels[active]
            forwards[at] += used.forwards / len(at)
            backwards[at] += used.backwards / len(at)
            outputs[active[broken]] = candidates[broken]
            active = active[~broken]
    return Perturbed(outputs, forwards=forwards, backwards=backwards)
