"""How much of an attribution is left after something changed: rank correlation, most relevant elements, structure.

Each takes two attributions (N, C, H, W) and returns (N,) float64, NaN where it is undefined.
"""

from __future__ import annotations

from math import ceil

import torch

from benchmark.metrics.functional._common import only, pearson, per_sample_max, usable
from benchmark.metrics.functional._similarity import ranks, ssim

__all__ = ["spearman", "structural_similarity", "top_k_overlap"]


def spearman(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(N,) in [-1, 1]: Spearman's rank correlation over all elements with their sign; ties share their mean rank.

    NaN where either is not finite or constant.

    >>> spearman(torch.tensor([[[[1.0, 2.0, 3.0]]]]), torch.tensor([[[[1.0, 20.0, 3.0]]]]))
    tensor([0.5000], dtype=torch.float64)
    """
    fine = usable(a, constant=False) & usable(b, constant=False)
    return only(fine, pearson(ranks(a.flatten(1)), ranks(b.flatten(1))))


def top_k_overlap(a: torch.Tensor, b: torch.Tensor, share: float = 0.1) -> torch.Tensor:
    """(N,) in [0, 1]: share of the k elements of largest magnitude that both have in common.

    The top-k intersection of Ghorbani et al. 2019 (section 3, metrics), k = ceil(share * elements). An element
    without any relevance is never among the top ones, so that one with fewer than k others is held against those it
    has. Elements that tie at the border are taken in order. NaN where either is not finite or all zero.

    >>> x = torch.tensor([[[[4.0, -3.0, 2.0, 1.0]]]])
    >>> top_k_overlap(x, x.flip(-1), share=0.75)
    tensor([0.6667], dtype=torch.float64)
    """
    k = ceil(share * a[0].numel())
    first, second = _top(a, k), _top(b, k)
    common = (first & second).sum(1).double() / torch.maximum(first.sum(1), second.sum(1)).clamp(min=1).double()
    return only(usable(a, constant=True) & usable(b, constant=True), common)


def structural_similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(N,) in [-1, 1]: SSIM (Wang et al. 2004) of the maps, summed over channels, divided by their largest magnitude.

    Uniform window of 7x7 (or the largest odd one that fits), range of the pair, as scikit-image computes it. SSIM is
    made for images, which are not negative: in signed maps the product of two negative factors (means and structure)
    would call a map and its negative alike. The maps are therefore shifted from [-1, 1] to [0, 2]. NaN where either map
    is not finite or all zero.

    >>> x = torch.arange(64.0).view(1, 1, 8, 8)
    >>> structural_similarity(x, 3 * x)
    tensor([1.], dtype=torch.float64)
    """
    a, b = a.double().sum(1, keepdim=True), b.double().sum(1, keepdim=True)
    fine = usable(a, constant=True) & usable(b, constant=True)
    a, b = per_sample_max(a) + 1, per_sample_max(b) + 1
    same = (a == b).flatten(1).all(1)  # constant maps have no range
    similarity = ssim(a, b)
    return only(fine, torch.where(same, torch.ones_like(similarity), similarity))


def _top(values: torch.Tensor, k: int) -> torch.Tensor:
    """(N, M) True for the k elements of largest magnitude, those of none left out."""
    magnitude = values.flatten(1).abs()
    order = magnitude.sort(dim=1, descending=True, stable=True).indices[:, :k]
    chosen = torch.zeros_like(magnitude, dtype=torch.bool).scatter_(1, order, True)
    return chosen & (magnitude > 0)
