"""The verifier: norms, budget, range and replay of perturbed inputs. No attack decides its own success.

Pure functions of clean and perturbed inputs; the task adds the prediction (``Task.verify``) and says which inputs a
model may be asked with at all (:meth:`benchmark.tasks.base.Task.valid`). All arithmetic is in float64. One float32
rounding of an input in [0, 1] is at most 6e-8 (half a unit in the last place is 3e-8, twice: once for the sum and once
for eps itself), and the tolerances grant that much and no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import AttackError

if TYPE_CHECKING:
    import torch

    from benchmark.attacks.base import Attack, Norm, Perturbed

ROUNDING = 6e-8
RELATIVE = 1e-6
REPLAY = 1e-6
NORMS = ("l0", "l1", "l2", "linf")

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def norms(clean: torch.Tensor, perturbed: torch.Tensor) -> dict[str, Floats]:
    """Norms of ``perturbed - clean`` per sample, in input units.

    Args:
        clean, perturbed: (N, ...) of one shape; the difference is taken in float64.

    Returns:
        ``l0`` (number of elements that differ; an image has one a channel and place), ``l1``, ``l2``, ``linf``, each
        (N,) float64.
    """
    d = (perturbed.detach().double() - clean.detach().double()).flatten(1)
    absolute = d.abs()
    sizes = {
        "l0": (absolute != 0).sum(1).double(),  # NaN differs too
        "l1": absolute.sum(1),
        "l2": d.square().sum(1).sqrt(),
        "linf": absolute.amax(1) if d.shape[1] else absolute.sum(1),
    }
    return {name: value.cpu().numpy() for name, value in sizes.items()}


def allowed(eps: float, norm: Norm, numel: int) -> float:
    """Largest norm that passes for the budget ``eps``: eps (1 + 1e-6) plus float32 rounding of ``numel`` elements.

    Rounding: 6e-8 for linf, 6e-8 sqrt(d) for l2, 6e-8 d for l1; l0 is a count and exact.

    Raises:
        AttackError: a threat without a norm has no such bound.
    """
    if norm == "l0":
        return float(eps)
    rounding = {"linf": 1.0, "l2": math.sqrt(numel), "l1": float(numel)}.get(norm)
    if rounding is None:
        raise AttackError(f"norm {norm!r} has no budget; expected one of linf, l2, l1, l0")
    return eps * (1 + RELATIVE) + ROUNDING * rounding


def within_budget(values: Floats, eps: float, norm: Norm, numel: int) -> Bools:
    """(N,) True where a norm is at most :func:`allowed`; NaN is never within.

    Args:
        values: (N,) norms as :func:`norms` gives them.
        eps: the budget, in the norm's units.
        norm: which norm ``values`` are.
        numel: elements of one sample.
    """
    return np.asarray(values <= allowed(eps, norm, numel))


def in_range(perturbed: torch.Tensor) -> Bools:
    """(N,) True where every element lies in [0, 1], give or take one rounding (6e-8): what is valid of an image."""
    flat = perturbed.detach().double().flatten(1)
    inside = ((flat >= -ROUNDING) & (flat <= 1 + ROUNDING)).all(1)
    return np.asarray(inside.cpu().numpy())


def finite(perturbed: torch.Tensor) -> Bools:
    """(N,) True where no element is NaN or infinite."""
    import torch

    return np.asarray(torch.isfinite(perturbed.detach()).flatten(1).all(1).cpu().numpy())


def replays(attack: Attack, inputs: torch.Tensor, perturbed: Perturbed, eps: float | None) -> Bools:
    """(N,) True where ``params`` make the returned inputs again (within 1e-6) and lie inside what the threat allows.

    Raises:
        AttackError: the attack has no replay or admissible method, or they return another shape.
    """
    again = attack.replay(inputs, perturbed.params)
    if again.shape != perturbed.inputs.shape:
        raise AttackError(
            f"attack {attack.name!r}: replay returned shape {tuple(again.shape)},"
            f" expected {tuple(perturbed.inputs.shape)}"
        )
    same = norms(again, perturbed.inputs)["linf"] <= REPLAY
    admissible = np.asarray(attack.admissible(perturbed.params, eps), dtype=bool)
    if admissible.shape != same.shape:
        raise AttackError(
            f"attack {attack.name!r}: admissible returned shape {admissible.shape}, expected {same.shape}"
        )
    return np.asarray(same & admissible)


def judge(
    attack: Attack,
    inputs: torch.Tensor,
    perturbed: Perturbed,
    eps: float | None,
    valid: Callable[[torch.Tensor], Bools] = in_range,
) -> tuple[NDArray[np.str_], dict[str, Floats]]:
    """Status and norms of perturbed inputs; what every task's ``verify`` begins with.

    Args:
        attack: says the threat model. A fixed budget is checked against ``eps``, a minimal norm only against what is
            valid, a threat without a norm by replaying its parameters.
        inputs: clean inputs (N, ...).
        perturbed: what the attack returned for them.
        eps: the budget; ignored where the threat is not of a fixed budget.
        valid: inputs to (N,) True where a model may be asked with them; default: elements in [0, 1], as of images.

    Returns:
        (N,) status, ``"ok"``, ``"out_of_budget"`` (also: not valid, or not replayable) or ``"nan"``; and the norms.

    Raises:
        AttackError: a fixed-budget attack without a budget, or a replay that is missing.
    """
    threat = attack.threat
    sizes = norms(inputs, perturbed.inputs)
    good = valid(perturbed.inputs)
    if threat.norm == "none":
        good &= replays(attack, inputs, perturbed, eps)
    elif threat.kind == "fixed":
        if eps is None:
            raise AttackError(f"attack {attack.name!r} has a fixed budget: it cannot be verified without eps")
        good &= within_budget(sizes[threat.norm], eps, threat.norm, inputs[0].numel() if len(inputs) else 0)
    status = np.where(finite(perturbed.inputs), np.where(good, "ok", "out_of_budget"), "nan")
    return status, sizes


def scalar_params(perturbed: Perturbed, n: int) -> dict[str, Floats]:
    """Columns ``param_<key>`` (N,) float64 of the parameters that are one number a sample."""
    columns: dict[str, Any] = {}
    for key, value in perturbed.params.items():
        array = np.asarray(value)
        if array.shape == (n,) and array.dtype.kind in "biuf":
            columns[f"param_{key}"] = array.astype(np.float64)
    return columns
