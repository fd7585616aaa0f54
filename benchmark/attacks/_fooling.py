"""The two searches for inputs that mean nothing and are classified with confidence, on tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmark.attacks.base import Perturbed

Network = Callable[[torch.Tensor], torch.Tensor]


def confidences(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(M,) softmax of the target class, in float64."""
    return logits.detach().double().softmax(1).gather(1, targets.view(-1, 1)).squeeze(1)


def ascend(
    model: Network, targets: torch.Tensor, start: torch.Tensor, *, steps: int, lr: float, confidence: float
) -> Perturbed:
    """Gradient ascent on the log-probability of the target, each pixel by Adam's rule, clipped to [0, 1].

    Nguyen et al. 2015, section 3.4 (there without the bound on pixels). A target leaves once its confidence is reached.

    Args:
        model: (M, C, H, W) in [0, 1] to logits.
        targets: (M,) classes.
        start: noise, (M, C, H, W) in [0, 1].
        steps: most steps a target.
        lr: step size of Adam, in input units.
        confidence: softmax at which a target is reached.

    Returns:
        The images, the most confident of each target, with exact calls.
    """
    best, highest = start.clone(), torch.full((len(start),), -1.0, dtype=torch.float64, device=start.device)
    calls = torch.zeros((2, len(start)), dtype=torch.int64)
    active = torch.arange(len(start), device=start.device)
    x, first, second = start, torch.zeros_like(start), torch.zeros_like(start)
    for i in range(1, steps + 1):
        x = x.detach().requires_grad_()
        logits = model(x)
        calls[0, active.cpu()] += 1
        reached = confidences(logits, targets[active])
        better = reached > highest[active]
        best[active[better]], highest[active[better]] = x.detach()[better], reached[better]
        going = reached < confidence
        if not bool(going.any()) or i == steps:
            break
        loss = logits.log_softmax(1).gather(1, targets[active].view(-1, 1)).sum()
        gradient = torch.autograd.grad(loss, x)[0][going]
        calls[1, active.cpu()] += 1
        active, x = active[going], x.detach()[going]
        first = 0.9 * first[going] + 0.1 * gradient
        second = 0.999 * second[going] + 0.001 * gradient.square()
        way = first / (1 - 0.9**i) / ((second / (1 - 0.999**i)).sqrt() + 1e-12)
        x = (x + lr * way).clamp(0, 1)
    return Perturbed(best, forwards=calls[0].numpy(), backwards=calls[1].numpy())


def evolve(
    model: Network,
    targets: torch.Tensor,
    start: torch.Tensor,
    seeds: list[int],
    *,
    generations: int,
    offspring: int,
    rate: float,
    halving: int,
    strength: float,
    confidence: float,
) -> Perturbed:
    """Directly encoded evolution (Nguyen et al. 2015, section 2.3): polynomial mutation of single pixels, elite kept.

    The paper keeps one elite a class and lets them share mutants (MAP-Elites); here each class has its own elite and
    its own mutants, so that the result does not depend on which classes are asked together.

    Args:
        model, targets, start, confidence: as in :func:`ascend`; ``start`` is the first elite.
        seeds: one a target.
        generations: most generations.
        offspring: mutants of the elite a generation.
        rate: chance of a pixel to be mutated (paper: 0.1), halved every ``halving`` generations (paper: 1,000).
        strength: index of the polynomial mutation (Deb); the paper's fixed strength is 15.

    Returns:
        The elites, with exact calls.
    """
    elite, generators = start.clone(), [torch.Generator().manual_seed(seed) for seed in seeds]
    with torch.no_grad():
        highest = confidences(model(elite), targets)
    calls = torch.ones(len(start), dtype=torch.int64)
    for generation in range(generations):
        active = (highest < confidence).nonzero().squeeze(1)
        if not len(active):
            break
        chance = rate * 0.5 ** (generation // halving)
        mutants = torch.stack([_mutants(elite[i], generators[i], offspring, chance, strength) for i in active.tolist()])
        with torch.no_grad():
            logits = model(mutants.flatten(0, 1))
        calls[active.cpu()] += offspring
        scores = confidences(logits, targets[active].repeat_interleave(offspring)).view(len(active), offspring)
        value, which = scores.max(1)
        better = value > highest[active]
        elite[active[better]] = mutants[better, which[better]]
        highest[active[better]] = value[better]
    return Perturbed(elite, forwards=calls.numpy(), backwards=torch.zeros_like(calls).numpy())


def _mutants(
    elite: torch.Tensor, generator: torch.Generator, offspring: int, chance: float, strength: float
) -> torch.Tensor:
    """(offspring, C, H, W): some pixels moved by Deb's polynomial mutation, drawn on the CPU; at least one moves."""
    shape = (offspring, *elite.shape)
    moved = torch.rand(shape, generator=generator) < chance
    one = torch.randint(0, elite.numel(), (offspring,), generator=generator)
    moved.view(offspring, -1)[torch.arange(offspring), one] = True
    u = torch.rand(shape, generator=generator)
    power = 1 / (strength + 1)
    step = torch.where(u < 0.5, (2 * u) ** power - 1, 1 - (2 * (1 - u)) ** power)
    return (elite + (step * moved).to(elite)).clamp(0, 1)
