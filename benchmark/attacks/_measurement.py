"""Projected ascent on the error of a reconstruction, over perturbations of its measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.attacks.base import Perturbed
from benchmark.errors import AttackError
from benchmark.mri.measurement import Measurement, unpack
from benchmark.seeds import Draws

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.attacks.measurement import MeasurementL2
    from benchmark.models.wrap import Model

INSIDE = 1 - 1e-6  # a perturbation keeps this much of its budget, so that float32 rounding stays within it
LATE = 0.75  # share of the steps after which a gain counts as late


def per_sample(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(N,) shaped to multiply a tensor (N, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def radius(measured: Measurement, eps: float) -> torch.Tensor:
    """(N, 1, …) largest norm of e: eps ||y||."""
    return per_sample(eps * INSIDE * measured.norm(), measured.y)


def norm(e: torch.Tensor) -> torch.Tensor:
    """(N, 1, …) l2 norm of each sample."""
    return per_sample(torch.linalg.vector_norm(e.flatten(1), dim=1), e)


def project(e: torch.Tensor, most: torch.Tensor) -> torch.Tensor:
    """Onto the l2 ball of radius ``most``."""
    return e * (most / norm(e).clamp(min=1e-30)).clamp(max=1)


def random_direction(measured: Measurement, generator: Draws) -> torch.Tensor:
    """A direction uniform on the sphere of the measured locations, norm 1, in the shape of y."""
    drawn = generator.normal(measured.y.flatten(1, -3).shape[1:]).to(measured.y).view_as(measured.y)
    drawn = measured.sampled(drawn)
    return drawn / norm(drawn).clamp(min=1e-30)


def squared_error(output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(N,) ||f - x||^2."""
    return (output - truth).square().flatten(1).sum(1)


@dataclass
class Ascent:
    """What an ascent found.

    Attributes:
        e: the best perturbation seen, in the shape of y.
        value: (N,) objective there, as the surrogate gives it.
        last: where it ended.
        gradient: (N,) norm of the first gradient.
        gain: (N,) share of the objective that came after ``LATE`` of the steps.
    """

    e: torch.Tensor
    value: torch.Tensor
    last: torch.Tensor
    gradient: torch.Tensor
    gain: torch.Tensor


class Adam:
    """Directions of Adam (Kingma and Ba 2015, algorithm 1), about one unit long.

    Args:
        moment: the second moment is kept for each ``"coordinate"``, as in the paper, or of the gradient's norm for each
            ``"sample"``. Dividing every location by its own size makes all of them move alike: a perturbation that
            should gather in few locations is then found slowly (a linear map shows it, tests/attacks).
    """

    def __init__(self, moment: str) -> None:
        self.moment, self.t = moment, 0
        self.first: torch.Tensor | None = None
        self.second: torch.Tensor | None = None

    def direction(self, gradient: torch.Tensor) -> torch.Tensor:
        """The next direction, in the gradient's shape."""
        self.t += 1
        size = gradient.square()
        if self.moment == "sample":
            size = per_sample(size.flatten(1).sum(1), gradient)
        self.first = 0.1 * gradient if self.first is None else 0.9 * self.first + 0.1 * gradient
        self.second = 0.01 * size if self.second is None else 0.99 * self.second + 0.01 * size
        first, second = self.first / (1 - 0.9**self.t), self.second / (1 - 0.99**self.t)
        way = first / second.sqrt().clamp(min=1e-30)
        moved = (gradient != 0).flatten(1).sum(1).clamp(min=1).sqrt()
        return way if self.moment == "sample" else way / per_sample(moved, gradient)


def ascend(
    model: Model,
    measured: Measurement,
    objective: Callable[[torch.Tensor], torch.Tensor],
    start: torch.Tensor,
    most: torch.Tensor,
    *,
    steps: int,
    step: float,
    refresh: int,
    moment: str,
    name: str,
) -> Ascent:
    """Adam on the objective, projected to the ball after every step; a forward and a backward a step.

    Args:
        model: a Reconstructor.
        measured: the measurement that is perturbed.
        objective: outputs (N, 2, H, W) to values (N,), to be made large.
        start: e to begin at, within the ball.
        most: radius (N, 1, …).
        steps, step, refresh, moment: see :class:`benchmark.attacks.measurement.MeasurementL2`.
        name: the attack's, for messages.

    Raises:
        AttackError: the gradient is missing, zero or not finite at the start.
    """
    scale = most.clamp(min=1e-30)
    u = (start / scale).detach().requires_grad_()  # in units of the budget: one step length for all samples
    adam = Adam(moment)
    best, value, early = start.clone(), torch.full((len(start),), -math.inf, device=start.device), None
    first = torch.zeros_like(value)
    near: Callable[[torch.Tensor], torch.Tensor] | None = None
    for t in range(steps):
        e = measured.sampled(u * scale)
        if near is None or t % refresh == 0:
            near = model.surrogate(measured.with_y(measured.y + e.detach()).pack())  # type: ignore[operator]
        with torch.enable_grad():
            now = objective(near(measured.with_y(measured.y + e).pack()))
        gradient = gradient_of(now, u, name)
        if t == 0:
            first = torch.linalg.vector_norm((gradient / scale).flatten(1), dim=1)
            check_gradient(first, name)
        better = now.detach() > value
        best = torch.where(per_sample(better, best), e.detach(), best)
        value = torch.where(better, now.detach(), value)
        if t == int(LATE * steps):
            early = value.clone()
        with torch.no_grad():
            move = adam.direction(gradient) * step * (0.55 + 0.45 * math.cos(math.pi * t / steps))
            u.copy_(project(measured.sampled(u + move), torch.ones_like(scale)))
    gain = torch.zeros_like(value) if early is None else (value - early) / value.clamp(min=1e-30)
    return Ascent(best, value, measured.sampled(u * scale).detach(), first, gain)


def gradient_of(values: torch.Tensor, at: torch.Tensor, name: str) -> torch.Tensor:
    """Gradient of values (N,) with respect to ``at``; zeros where they do not depend on it.

    Raises:
        AttackError: there is no graph at all.
    """
    if not values.requires_grad:
        raise AttackError(
            f"attack {name!r}: the reconstruction has no gradient with respect to its measurement; it would look robust"
            " where nothing was tried: do not detach or run under no_grad in forward, or give it warm() and unrolled()"
        )
    (gradient,) = torch.autograd.grad(values.sum(), at, allow_unused=True)
    return torch.zeros_like(at) if gradient is None else gradient


def check_gradient(first: torch.Tensor, name: str) -> None:
    """Refuse gradients whose norms (N,) are zero or not finite: nothing was tried where there is none.

    Raises:
        AttackError: for how many samples.
    """
    bad = int((~torch.isfinite(first) | (first == 0)).sum())
    if bad:
        raise AttackError(
            f"attack {name!r}: the gradient of the reconstruction's error is zero or not finite for {bad} of"
            f" {len(first)} samples: nothing can be said of their robustness"
        )


def worst_case(
    attack: MeasurementL2,
    model: Model,
    packed: torch.Tensor,
    truth: torch.Tensor,
    eps: float,
    generator: Draws,
    larger: NDArray[Any] | None,
) -> Perturbed:
    """See :class:`benchmark.attacks.measurement.MeasurementL2`."""
    measured = unpack(packed)
    most = radius(measured, eps)
    best, value = torch.zeros_like(measured.y), torch.full((len(packed),), -math.inf, device=packed.device)
    health = {key: torch.zeros(len(packed), device=packed.device) for key in ("gradient", "gain", "start")}
    for s in range(attack.starts):
        if s == 0 and larger is not None:
            previous = unpack(torch.as_tensor(larger, device=packed.device, dtype=packed.dtype))
            start = project(measured.sampled(previous.y - measured.y), most)
        else:
            start = random_direction(measured, generator) * most
        ascent = ascend(
            model,
            measured,
            lambda output: squared_error(output, truth),
            start,
            most,
            steps=attack.steps,
            step=attack.step,
            refresh=attack.refresh,
            moment=attack.moment,
            name=attack.name,
        )
        for e, known in ((ascent.last, None), (ascent.e, ascent.value)):
            judged = _judge(model, measured, e, truth) if known is None or _iterates(model) else known
            better = judged > value
            best, value = torch.where(per_sample(better, best), e, best), torch.where(better, judged, value)
            won = {"gradient": ascent.gradient, "gain": ascent.gain, "start": torch.full_like(value, s)}
            health = {key: torch.where(better, won[key], health[key]) for key in health}
    n = len(packed)
    params = {key: values.cpu().numpy() for key, values in health.items()}
    params["used"] = (norm(best) / most.clamp(min=1e-30)).flatten().cpu().numpy()
    params |= {"steps": np.full(n, attack.steps), "starts": np.full(n, attack.starts)}
    return Perturbed(measured.with_y(measured.y + best).pack(), params)


def _iterates(model: Model) -> bool:
    return hasattr(model.network, "unrolled")


@torch.no_grad()
def _judge(model: Model, measured: Measurement, e: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(N,) squared error of the method itself."""
    return squared_error(model(measured.with_y(measured.y + e).pack()), truth)


def transferred(
    model: Model, packed: torch.Tensor, truth: torch.Tensor, eps: float, others: Mapping[str, NDArray[Any]]
) -> Perturbed:
    """See :class:`benchmark.attacks.measurement.MeasurementTransfer`."""
    measured = unpack(packed)
    most = radius(measured, eps)
    best, value = torch.zeros_like(measured.y), torch.full((len(packed),), -math.inf, device=packed.device)
    won = torch.zeros(len(packed), device=packed.device)
    sources = [role for role in others if role.startswith("found:")]
    for i, role in enumerate(sources):
        other = unpack(torch.as_tensor(others[role], device=packed.device, dtype=packed.dtype))
        e = project(measured.sampled(other.y - measured.y), most)
        judged = _judge(model, measured, e, truth)
        better = judged > value
        best, value = torch.where(per_sample(better, best), e, best), torch.where(better, judged, value)
        won = torch.where(better, torch.full_like(won, i), won)
    calls = np.full(len(packed), len(sources))
    params = {"source": won.cpu().numpy()}
    return Perturbed(measured.with_y(measured.y + best).pack(), params, forwards=calls, backwards=np.zeros_like(calls))
