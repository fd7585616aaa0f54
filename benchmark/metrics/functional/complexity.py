"""Complexity: is the attribution concentrated on few elements? By magnitudes, free of the attribution's scale.

Every function takes attributions (N, ...) and returns (N,) float64 on their device; an all-zero or non-finite
attribution gives NaN.
"""

from __future__ import annotations

import torch

from benchmark.metrics.functional.common import only, per_sample_max, usable

__all__ = ["complexity", "effective_complexity", "sparseness"]


def _magnitudes(attributions: torch.Tensor) -> torch.Tensor:
    """(N, D) in [0, 1], the largest of each sample 1."""
    return per_sample_max(attributions).flatten(1).abs()


def sparseness(attributions: torch.Tensor) -> torch.Tensor:
    """Gini index of the magnitudes (Chalasani et al. 2020, eq. 11).

    Returns:
        (N,) in [0, 1): 0 for a constant, (d - 1) / d for one element of d; higher is better.

    >>> sparseness(torch.tensor([[0.0, -5.0, 0.0, 0.0], [1.0, 1.0, -1.0, 1.0]])).tolist()
    [0.75, 0.0]
    """
    ordered = _magnitudes(attributions).sort(1).values.double()
    d = ordered.shape[1]
    weights = 2 * torch.arange(1, d + 1, device=ordered.device, dtype=torch.float64) - d - 1
    return only(usable(attributions, constant=True), ordered @ weights / (d * ordered.sum(1)))


def complexity(attributions: torch.Tensor) -> torch.Tensor:
    """Entropy, in nats, of each element's share of the magnitude (Bhatt et al. 2020, eq. 5).

    Returns:
        (N,) in [0, log d]: 0 for one element, log d for a constant over d; lower is better.

    >>> complexity(torch.tensor([[0.0, -5.0, 0.0, 0.0], [1.0, 1.0, -1.0, 1.0]])).exp().tolist()
    [1.0, 4.0]
    """
    magnitudes = _magnitudes(attributions)
    total = magnitudes.sum(1, dtype=torch.float64)
    entropy = total.log() - torch.special.xlogy(magnitudes, magnitudes).sum(1, dtype=torch.float64) / total
    return only(usable(attributions, constant=True), entropy)


def effective_complexity(attributions: torch.Tensor, eps: float = 0.01) -> torch.Tensor:
    """Share of the elements whose magnitude is above ``eps`` of the largest (after Nguyen and Martínez 2020).

    The paper counts elements that matter; the count is the share times d.

    Returns:
        (N,) in (0, 1], lower is better.

    >>> effective_complexity(torch.tensor([[0.0, -5.0, 0.1, 0.01]])).tolist()
    [0.5]
    """
    return only(usable(attributions, constant=True), (_magnitudes(attributions) > eps).double().mean(1))
