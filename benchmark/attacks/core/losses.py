"""Losses that attacks raise, as values and as gradients by the logits in closed form (no graph of their own).

All are larger where the network is more wrong. Sources: cross-entropy and DLR as in Croce and Hein 2020
(arXiv:2003.01690, eq. 6 and 7); the logit margin as in Carlini and Wagner 2017 (arXiv:1608.04644, f6 without kappa).
"""

from __future__ import annotations

from typing import Literal

import torch

LossName = Literal["ce", "dlr", "margin"]
Loss = tuple[torch.Tensor, torch.Tensor]  # values (M,), gradient by the logits (M, K)

TINY = 1e-12


def others(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Logits (M, K) with the label's at minus infinity."""
    return logits.scatter(1, labels.view(-1, 1), -torch.inf)


def loss(logits: torch.Tensor, labels: torch.Tensor, name: LossName, targets: torch.Tensor | None = None) -> Loss:
    """A loss, of the label or towards a target class.

    - ``"ce"``: log of the sum over the other classes of exp(z_i - z_y), in place of the cross-entropy, of which it is
      an increasing function (log(1 + exp(.))): the gradient has the same direction and does not underflow where a
      network is sure of itself. Towards a target: the cross-entropy of the target, likewise, less is more.
    - ``"dlr"``: difference of logits ratio; with three classes the third logit stands for the mean of the third and
      fourth of the targeted one, with two it is the margin (there is no third logit).
    - ``"margin"``: best other logit less the label's; the target's less the label's.

    Args:
        logits: (M, K), K >= 2.
        labels: (M,).
        name: which.
        targets: (M,) classes other than the labels, or None.
    """
    if name == "ce":
        return _cross_entropy(logits, labels if targets is None else targets, -1.0 if targets is None else 1.0)
    if name == "margin" or logits.shape[1] < 3:
        return _margin(logits, labels, targets)
    return _dlr(logits, labels, targets)


def _cross_entropy(logits: torch.Tensor, classes: torch.Tensor, sign: float) -> Loss:
    """sign times (z_c less the log-sum-exp of the others)."""
    rest, own = others(logits, classes), classes.view(-1, 1)
    values = logits.gather(1, own).squeeze(1) - rest.logsumexp(1)
    gradient = (-rest.softmax(1)).scatter_(1, own, 1.0)
    return sign * values, sign * gradient


def _margin(logits: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor | None) -> Loss:
    own = labels.view(-1, 1)
    best = others(logits, labels).argmax(1, keepdim=True) if targets is None else targets.view(-1, 1)
    values = (logits.gather(1, best) - logits.gather(1, own)).squeeze(1)
    gradient = torch.zeros_like(logits).scatter_(1, own, -1.0).scatter_(1, best, 1.0)
    return values, gradient


def _dlr(logits: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor | None) -> Loss:
    """Quotient of the margin and the distance between the first and the third logit (eq. 6, targeted eq. 7)."""
    count = 3 if targets is None else min(4, logits.shape[1])
    top, order = logits.topk(count, dim=1)
    values, gradient = _margin(logits, labels, targets)
    third = top[:, 2:].mean(1)  # pi_3; targeted: the mean of pi_3 and pi_4
    scale = (top[:, 0] - third).clamp_min(TINY)
    weights = torch.zeros_like(logits).scatter_(1, order[:, :1], 1.0)
    weights = weights.scatter_add_(1, order[:, 2:], torch.full_like(top[:, 2:], -1.0 / (count - 2)))
    ratio = values / scale
    return ratio, (gradient - ratio.unsqueeze(1) * weights) / scale.unsqueeze(1)
