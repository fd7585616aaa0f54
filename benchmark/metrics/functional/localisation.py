"""Localisation: does the attribution lie where the evidence is known to be, and not on a known false structure?

Channels are summed with their signs first; the pixels of a mask count, not its elements. Pixels are ranked by a stable
sort, of equal ones the lowest index first. Every function takes attributions (N, C, H, W) and bool masks (N, 1, H, W)
and returns (N,) float64 on their device. An empty mask, and an all-zero or non-finite channel sum, give NaN; so does a
constant one where pixels are ranked.
"""

from __future__ import annotations

import torch

from benchmark.metrics.functional.common import only, usable
from benchmark.metrics.functional.perturbation import ranks
from benchmark.metrics.functional.row_similarity import ranks as midranks

__all__ = [
    "artefact_mass_ratio",
    "energy_pointing_game",
    "localisation_auc",
    "mask_share",
    "pointing_game",
    "relevance_mass",
    "relevance_rank",
    "top_k_intersection",
]


def _pixels(
    attributions: torch.Tensor, masks: torch.Tensor, *, constant: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Channel sums (N, D), masks (N, D), and which samples have a value."""
    pooled = attributions.sum(1, dtype=torch.float64).flatten(1)
    flat = masks.bool().flatten(1)
    if flat.shape != pooled.shape:
        wanted = (len(attributions), 1, *attributions.shape[2:])
        raise ValueError(f"masks must have shape {wanted}, one channel as large as the image, not {tuple(masks.shape)}")
    return pooled, flat, usable(pooled, constant=constant) & flat.any(1)


def relevance_rank(attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Share of the K most relevant pixels that lie in the mask of K pixels (Arras et al. 2022, eq. 2).

    Returns:
        (N,) in [0, 1], higher is better.

    >>> mask = torch.tensor([[[[True, True], [False, False]]]])
    >>> relevance_rank(torch.tensor([[[[4.0, 1.0], [3.0, 2.0]]]]), mask).tolist()
    [0.5]
    """
    pooled, flat, rows = _pixels(attributions, masks, constant=False)
    size = flat.sum(1, keepdim=True)
    hits = (flat & (ranks(pooled) < size)).sum(1)
    return only(rows, hits.double() / size[:, 0])


def top_k_intersection(attributions: torch.Tensor, masks: torch.Tensor, k: int) -> torch.Tensor:
    """Share of the ``k`` most relevant pixels that lie in the mask (Theiner et al. 2022).

    Returns:
        (N,) in [0, min(1, K / k)] for a mask of K pixels, higher is better.

    Raises:
        ValueError: ``k`` is not between 1 and the number of pixels.

    >>> mask = torch.tensor([[[[True, True], [False, False]]]])
    >>> top_k_intersection(torch.tensor([[[[4.0, 1.0], [3.0, 2.0]]]]), mask, 1).tolist()
    [1.0]
    """
    pooled, flat, rows = _pixels(attributions, masks, constant=False)
    if not 1 <= k <= pooled.shape[1]:
        raise ValueError(f"k must be between 1 and the number of pixels, {pooled.shape[1]}, not {k}")
    return only(rows, (flat & (ranks(pooled) < k)).double().sum(1) / k)


def pointing_game(attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """1 where the most relevant pixel lies in the mask, else 0 (Zhang et al. 2018, without tolerance).

    Returns:
        (N,) of 0 and 1, higher is better; its mean over samples is the pointing game's accuracy.

    >>> mask = torch.tensor([[[[True, True], [False, False]]]])
    >>> pointing_game(torch.tensor([[[[4.0, 1.0], [3.0, 2.0]]]]), mask).tolist()
    [1.0]
    """
    pooled, flat, rows = _pixels(attributions, masks, constant=False)
    return only(rows, (flat & (ranks(pooled) == 0)).any(1).double())


def relevance_mass(attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Share of the positive relevance that lies in the mask (Arras et al. 2022).

    Negative channel sums count as 0, without which the share leaves [0, 1]. This is also the attribution localisation
    of Kohlbrenner et al. 2020, unweighted.

    Returns:
        (N,) in [0, 1], higher is better; NaN where no relevance is positive. A constant gives the mask's area share.

    >>> mask = torch.tensor([[[[True, True], [False, False]]]])
    >>> relevance_mass(torch.tensor([[[[3.0, -1.0], [1.0, 0.0]]]]), mask).tolist()
    [0.75]
    """
    pooled, flat, rows = _pixels(attributions, masks, constant=True)
    positive = pooled.clamp(min=0)
    positive = positive / positive.amax(1, keepdim=True)  # sums of huge values stay finite; 0/0 is NaN, as it should be
    return only(rows, (positive * flat).sum(1) / positive.sum(1))


def energy_pointing_game(attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Share of a map's energy that lies in the mask (Wang et al. 2020, section 4.3).

    The map is the channel sum's positive part less its least value (Score-CAM's scaling, whose factor cancels).

    Returns:
        (N,) in [0, 1], higher is better; NaN for a constant. The same as :func:`relevance_mass` where any channel sum
        is 0 or below.

    >>> mask = torch.tensor([[[[True, True], [False, False]]]])
    >>> energy_pointing_game(torch.tensor([[[[4.0, 3.0], [2.0, 1.0]]]]), mask).tolist()
    [0.8333333333333334]
    """
    positive = attributions.sum(1, keepdim=True, dtype=torch.float64).clamp(min=0)
    return relevance_mass(positive - positive.amin((2, 3), keepdim=True), masks)


def mask_share(attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Share of the image that the mask takes, where the attribution can be judged at all.

    Returns:
        (N,) in (0, 1].

    >>> mask = torch.tensor([[[[True, False], [False, False]]]])
    >>> mask_share(torch.tensor([[[[4.0, 1.0], [3.0, 2.0]]]]), mask).tolist()
    [0.25]
    """
    _, flat, rows = _pixels(attributions, masks, constant=True)
    return only(rows, flat.double().mean(1))


def artefact_mass_ratio(attributions: torch.Tensor, artefacts: torch.Tensor) -> torch.Tensor:
    """:func:`relevance_mass` on a false structure over its share of the image's area.

    Args:
        attributions: (N, C, H, W).
        artefacts: bool (N, 1, H, W), where the false structure is.

    Returns:
        (N,) in [0, D / K] for K of D pixels, lower is better; 1 is what an even attribution gives. NaN: no artefact.

    >>> mask = torch.tensor([[[[True, False], [False, False]]]])
    >>> artefact_mass_ratio(torch.tensor([[[[3.0, -1.0], [1.0, 0.0]]]]), mask).tolist()
    [3.0]
    """
    return relevance_mass(attributions, artefacts) / artefacts.bool().flatten(1).double().mean(1)


def localisation_auc(attributions: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Area under the ROC curve of the mask by relevance (Fawcett 2006), by midranks (Mann and Whitney 1947).

    Returns:
        (N,) in [0, 1], higher is better: the probability that a pixel of the mask is more relevant than one outside,
        equal ones counted half. NaN: the mask is everything. A constant gives 0.5.

    >>> mask = torch.tensor([[[[True, True], [False, False]]]])
    >>> localisation_auc(torch.tensor([[[[4.0, 1.0], [3.0, 1.0]]]]), mask).tolist()
    [0.625]
    """
    pooled, flat, rows = _pixels(attributions, masks, constant=True)
    above = midranks(pooled) + 1
    size = flat.sum(1).double()
    wins = (above * flat).sum(1) - size * (size + 1) / 2
    return only(rows, wins / (size * (pooled.shape[1] - size)))
