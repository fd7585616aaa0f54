"""Steps that several minimal-norm attacks make."""

from __future__ import annotations

import math

import torch

from benchmark.attacks.core.losses import Loss, loss
from benchmark.attacks.core.projections import PASSES, NormName, wide
from benchmark.attacks.core.search import Search

TINY = 1e-12


def cosine(start: float, end: float, k: int, steps: int) -> float:
    """Annealing from ``start`` at k = 0 towards ``end`` at k = steps."""
    return end + (start - end) * (1 + math.cos(math.pi * k / steps)) / 2


def last_look(search: Search, at: torch.Tensor, x: torch.Tensor, norm: NormName) -> None:
    """Keep what the last step reached, where it is misclassified and smaller: a forward each."""
    search.keep_smaller(at, x, search.wrong(at, search.look(at, x)), norm)


def hinge(logits: torch.Tensor, labels: torch.Tensor) -> Loss:
    """max(label's logit less the best other, 0), to be lowered: values (M,) and gradient by the logits (M, K)."""
    values, gradient = loss(logits, labels, "margin")
    return (-values).clamp_min(0), torch.where((values < 0).unsqueeze(1), -gradient, 0)


def threshold(size: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """t (M,) >= 0 with sum of max(size - t, 0) = total; 0 where all of it is less.

    The sum is convex in t and Newton's steps from t = 0 never pass the root: exact after a few passes, without a sort.

    Args:
        size: (M, D), not negative.
        total: (M,), positive.
    """
    t = torch.zeros_like(total)
    for _ in range(PASSES):
        above = (size - t.unsqueeze(1)).clamp_min(0)
        step = (above.sum(1) - total) / (above > 0).sum(1).clamp_min(1)
        going = step > 4 * torch.finfo(t.dtype).eps * t
        if not bool(going.any()):
            break
        t = torch.where(going, t + step, t)
    return t


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1) on (M, ...), every sample alone.

    Attributes:
        scale: root of the second moment, corrected, of the last step.
    """

    def __init__(self, like: torch.Tensor, decay: float = 0.9, decay_square: float = 0.999) -> None:
        self.mean, self.square, self.scale = (torch.zeros_like(like) for _ in range(3))
        self.decay, self.decay_square, self.k = decay, decay_square, 0

    def step(self, gradient: torch.Tensor) -> torch.Tensor:
        """The direction to go against, before the step size."""
        self.k += 1
        self.mean.mul_(self.decay).add_(gradient, alpha=1 - self.decay)
        self.square.mul_(self.decay_square).addcmul_(gradient, gradient, value=1 - self.decay_square)
        self.scale = (self.square / (1 - self.decay_square**self.k)).sqrt_().add_(1e-8)
        return self.mean / (self.scale * (1 - self.decay**self.k))

    def keep(self, chosen: torch.Tensor) -> None:
        """Go on with some of the samples."""
        self.mean, self.square = self.mean[chosen], self.square[chosen]


def scaled(delta: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """(M, ...) times (M,)."""
    return delta * wide(factor, delta)
