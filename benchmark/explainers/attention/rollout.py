"""From the attention of the layers to one matrix from tokens at the input to tokens at the output."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def rollout(probabilities: Sequence[torch.Tensor], residual: float = 0.5) -> torch.Tensor:
    """(N, T, T) attention rollout (Abnar and Zuidema 2020, eq. 1): A~_L ... A~_1, A~ = (1 - r) mean_h A + r I.

    Args:
        probabilities: (N, heads, T, T) of each layer, the first one first; rows sum to 1, and so do the result's.
        residual: r.
    """
    through = _identity(probabilities[0])
    for layer in probabilities:
        through = ((1 - residual) * layer.mean(1) + residual * _identity(layer)) @ through
    return through


def gradient_rollout(probabilities: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """(N, T, T) relevance R less the identity that it starts from (Chefer et al. 2021, eq. 5 and 6).

    Args:
        probabilities, gradients: A and d logit / d A of each layer, (N, heads, T, T), the first one first.
    """
    start = _identity(probabilities[0])
    relevance = start
    for layer, gradient in zip(probabilities, gradients, strict=True):
        relevance = relevance + (gradient * layer).clamp_min(0).mean(1) @ relevance
    return relevance - start


def _identity(layer: torch.Tensor) -> torch.Tensor:
    return torch.eye(layer.shape[-1], dtype=layer.dtype, device=layer.device)
