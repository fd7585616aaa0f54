"""The softened copy of a network, explanations that can be differentiated, and the steps that move them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.attacks.base import Perturbed
from benchmark.errors import AttackError

if TYPE_CHECKING:
    from benchmark.attacks.manipulation import ExplanationManipulation
    from benchmark.models.wrap import Model

PIECEWISE = ("Relu", "LeakyRelu", "Hardtanh", "Threshold", "Hardswish", "RreluWithNoise", "Prelu")
SHORTEST = 1e-3  # of the first step: a sample that was sent back so often stays where it is
Network = Callable[[torch.Tensor], torch.Tensor]
Method = Literal["saliency", "input-x-gradient", "integrated-gradients"]


class Softplus(nn.Module):
    """log(1 + exp(beta x)) / beta, a smooth ReLU whose beta can change; second derivative beta s (1 - s)."""

    beta: float = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape as ``x``."""
        return F.softplus(x, self.beta, threshold=80)  # exp(88) is still a float32


def softened(model: Model, like: torch.Tensor) -> tuple[Model, list[Softplus]]:
    """A copy of a model with a softplus in place of each ``nn.ReLU`` module; and these.

    Args:
        model: stays as it is.
        like: one input (1, C, H, W), to see what the copy computes.

    Raises:
        AttackError: a piecewise linear function is left that is no ``nn.ReLU`` module (``F.relu``, ``x.relu()``).
    """
    copied, soft = copy.deepcopy(model), []
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU):
                soft.append(Softplus())
                setattr(parent, name, soft[-1])
    copied.counter = model.counter
    with model.counter.paused():
        x = like.detach().clone().requires_grad_()
        left = sorted({name for name in _graph(copied(x)) if name.startswith(PIECEWISE)})
    if left:
        raise AttackError(
            f"attack 'explanation-manipulation' needs second derivatives, and the copy of the network with softplus for"
            f" each nn.ReLU still computes {', '.join(left)}: write each F.relu or x.relu() as an nn.ReLU module of its"
            " own, or leave this entry out"
        )
    return copied, soft


def _graph(output: torch.Tensor) -> Iterator[str]:
    """Names of all functions behind an output, ``ReluBackward0`` without its ending."""
    seen: set[Any] = set()
    stack: list[Any] = [output.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node.name().partition("Backward")[0]
        stack += [following for following, _ in node.next_functions]


def explained(
    network: Network, x: torch.Tensor, classes: torch.Tensor, method: Method, points: int, *, graph: bool
) -> torch.Tensor:
    """Attributions of inputs (N, C, H, W) for the logit of a class each, as the explainers of these names give them.

    Args:
        network: inputs to logits (N, K).
        x: with ``graph`` it must require its gradient: the attributions can then be differentiated by it.
        classes: (N,) int64.
        method: which attribution.
        points: Gauss-Legendre points between black and the input.
        graph: keep what is needed to differentiate once more.
    """
    if method != "integrated-gradients":
        gradient = _gradient(network, x if graph else x.detach().requires_grad_(), classes, graph)
        return gradient if method == "saliency" else x * gradient
    nodes, weights = np.polynomial.legendre.leggauss(points)
    along = x.new_tensor((nodes + 1) / 2).view(-1, 1, 1, 1, 1)
    inputs = (along * x).flatten(0, 1) if graph else (along * x).flatten(0, 1).detach().requires_grad_()
    gradient = _gradient(network, inputs, classes.repeat(points), graph).view(points, *x.shape)
    mean: torch.Tensor = (x.new_tensor(weights / 2).view(-1, 1, 1, 1, 1) * gradient).sum(0)
    return x * mean


def _gradient(network: Network, x: torch.Tensor, classes: torch.Tensor, graph: bool) -> torch.Tensor:
    chosen = network(x).gather(1, classes.view(-1, 1)).sum()
    gradient: torch.Tensor = torch.autograd.grad(chosen, x, create_graph=graph)[0]
    return gradient


def frame(like: torch.Tensor) -> torch.Tensor:
    """Ones on the outermost eighth (at least one pixel) of images (N, C, H, W), zeros inside."""
    height, width = like.shape[2:]
    up, left = max(1, height // 8), max(1, width // 8)
    border = torch.ones_like(like)
    border[:, :, up : height - up, left : width - left] = 0
    return border


def _unit(values: torch.Tensor) -> torch.Tensor:
    length: torch.Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1).clamp(min=1e-30)
    return values / length.view(-1, 1, 1, 1)


@dataclass
class Objective:
    """What the attacker lowers, of maps (N, C, H, W): (N,) values.

    Attributes:
        kind: ``"ranks"``, ``"target"`` or ``"topk"``.
        aim: of ``"ranks"`` the clean maps' ranks, centred and of l2 norm 1; of ``"target"`` the maps aimed at, of l2
            norm 1; of ``"topk"`` 1 at the elements to be emptied.
    """

    kind: Literal["ranks", "target", "topk"]
    aim: torch.Tensor

    @classmethod
    def of(cls, attack: ExplanationManipulation, clean: torch.Tensor) -> Objective:
        """The objective, from the clean maps of the network itself."""
        if attack.objective == "target":
            return cls("target", _unit(clean.flip(2, 3) if attack.target == "turned" else frame(clean)))
        if attack.objective == "ranks":
            places = clean.flatten(1).argsort(dim=1, stable=True).argsort(dim=1).to(clean).view_as(clean)
            return cls("ranks", _unit(places - places.mean((1, 2, 3), keepdim=True)))
        magnitude = clean.flatten(1).abs()
        order = magnitude.sort(dim=1, descending=True, stable=True).indices[:, : ceil(attack.share * clean[0].numel())]
        return cls("topk", torch.zeros_like(magnitude).scatter_(1, order, 1.0).view_as(clean))

    def __call__(self, maps: torch.Tensor) -> torch.Tensor:
        if self.kind == "target":
            return (_unit(maps) - self.aim).square().flatten(1).sum(1)  # Dombrowski et al. 2019, eq. 3, first term
        if self.kind == "ranks":
            return (_unit(maps - maps.mean((1, 2, 3), keepdim=True)) * self.aim).flatten(1).sum(1)
        magnitude = maps.abs()
        return (magnitude * self.aim).flatten(1).sum(1) / magnitude.flatten(1).sum(1).clamp(min=1e-30)


def manipulate(
    attack: ExplanationManipulation, model: Model, inputs: torch.Tensor, labels: torch.Tensor, eps: float
) -> Perturbed:
    """See :class:`benchmark.attacks.manipulation.ExplanationManipulation`.

    Returns:
        the inputs, and as parameters the objective on the network itself ``before`` and ``after``, and the ``change``
        of the class's probability.
    """
    if labels.is_floating_point():
        raise AttackError(f"attack {attack.name!r} explains classes; these labels are no classes")
    copied, soft = softened(model, inputs[:1])
    with torch.no_grad():
        before = model(inputs).softmax(1)
    classes = before.argmax(1)
    sure = _of_class(before, classes)
    clean = explained(model, inputs, classes, attack.method, attack.points, graph=False).detach()
    objective = Objective.of(attack, clean)
    first = objective(clean)
    x, best, lowest, change = inputs.clone(), inputs.clone(), first.clone(), torch.zeros_like(first)
    length = torch.full_like(first, attack.step * eps)
    for i in range(attack.steps):
        _set_beta(soft, attack, i)
        gradient = _direction(attack, copied, x, classes, objective, before, check=i == 0)
        candidate = _within(attack.norm, inputs, x - length.view(-1, 1, 1, 1) * gradient, eps)
        with torch.no_grad():
            after = model(candidate).softmax(1)
        moved = (_of_class(after, classes) - sure).abs()
        fine = (after.argmax(1) == classes) & (moved <= attack.keep)
        x = torch.where(fine.view(-1, 1, 1, 1), candidate, x)
        length = torch.where(fine, (1.2 * length).clamp(max=attack.step * eps), length / 2)
        length = length.clamp(min=SHORTEST * attack.step * eps)
        value = objective(explained(model, candidate, classes, attack.method, attack.points, graph=False).detach())
        better = fine & (value < lowest)
        best = torch.where(better.view(-1, 1, 1, 1), candidate, best)
        lowest, change = torch.where(better, value, lowest), torch.where(better, moved, change)
    params = {"before": first, "after": lowest, "change": change}
    return Perturbed(best, {name: value.double().cpu().numpy() for name, value in params.items()})


def _set_beta(soft: list[Softplus], attack: ExplanationManipulation, i: int) -> None:
    """beta_0 (beta_1 / beta_0)^(i / steps), as the authors' code has it."""
    low, high = attack.beta
    for module in soft:
        module.beta = low * (high / low) ** (i / max(1, attack.steps - 1))


def _of_class(probabilities: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return probabilities.gather(1, classes.view(-1, 1))[:, 0]


def _direction(
    attack: ExplanationManipulation,
    copied: Model,
    x: torch.Tensor,
    classes: torch.Tensor,
    objective: Objective,
    before: torch.Tensor,
    *,
    check: bool,
) -> torch.Tensor:
    """Steepest ascent of the objective on the softened copy, of norm 1 in the attack's norm.

    Raises:
        AttackError: with ``check``, where the explanation's part of the objective has no gradient.
    """
    x = x.detach().requires_grad_()
    moving = objective(explained(copied, x, classes, attack.method, attack.points, graph=True)).sum()
    slope = torch.autograd.grad(moving, x, allow_unused=True)[0] if moving.requires_grad else None
    gradient = torch.zeros_like(x) if slope is None else slope
    if check:
        _check(attack, gradient)
    if attack.gamma:
        output = (copied(x).softmax(1) - before).square().sum()  # Dombrowski et al. 2019, eq. 3, second term
        gradient = gradient + attack.gamma * torch.autograd.grad(output, x)[0]
    return gradient.sign() if attack.norm == "linf" else _unit(gradient)


def _check(attack: ExplanationManipulation, gradient: torch.Tensor) -> None:
    size = gradient.flatten(1).abs().amax(1)
    dead = int((~(size > 0) | ~size.isfinite()).sum())
    if dead:
        raise AttackError(
            f"attack {attack.name!r}: the gradient of the {attack.objective!r} objective of {attack.method!r} is zero"
            f" or not finite for {dead} of {len(size)} samples: the explanation does not depend on the input there (a"
            " linear network's gradient), or the network saturates; nothing can be said of this entry's explanations"
        )


def _within(norm: str, clean: torch.Tensor, x: torch.Tensor, eps: float) -> torch.Tensor:
    """The nearest point of the ball, then of [0, 1] (which lies no farther from the clean input)."""
    delta = (x - clean).detach()
    if norm == "linf":
        delta = delta.clamp(-eps, eps)
    else:
        length = torch.linalg.vector_norm(delta.flatten(1), dim=1).clamp(min=1e-30)
        delta = delta * (eps / length).clamp(max=1).view(-1, 1, 1, 1)
    return (clean + delta).clamp(0, 1)
