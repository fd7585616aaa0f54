"""Faithfulness by regions: perturbation curves and infidelity; public in :mod:`.faithfulness`."""

from __future__ import annotations

import torch

from benchmark.metrics.functional.common import Network, only, per_sample_max, usable
from benchmark.metrics.functional.perturbation import (
    Fill,
    Masks,
    batches,
    chosen,
    clean_outputs,
    patch_ranks,
    reference,
    repeated,
    sweep,
    up_to,
)


def region_perturbation_curve(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    patch: int,
    regions: int | None = None,
    fill: Fill = "black",
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """(N, L + 1) the target's probability while square regions are replaced, the most relevant first.

    Args:
        model, inputs, targets, attributions, fill, logits: as in :func:`pixel_flipping_curve`.
        patch: side of a region, in pixels; it need not divide the image's.
        regions: how many are replaced; default: all.

    >>> x, model = torch.ones(1, 1, 2, 4), lambda x: torch.stack([x[..., :2].sum((1, 2, 3)), x.sum((1, 2, 3)) * 0], 1)
    >>> curve = region_perturbation_curve(model, x, torch.tensor([0]), torch.arange(8.0).view(1, 1, 2, 4), patch=2)
    >>> (curve / (1 - curve)).log().round().tolist()
    [[4.0, 4.0, 0.0]]
    """
    places, available = patch_ranks(attributions, patch)
    steps = min(regions or available, available)
    counts = torch.arange(1, steps + 1, device=inputs.device)
    clean = clean_outputs(model, inputs, targets, logits, softmax=True)
    filled = reference(inputs, fill)
    rest = sweep(model, inputs, filled, targets, up_to(places, counts), steps, softmax=True)
    return torch.cat([clean[:, None], rest], 1).double()


def region_perturbation(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    patch: int,
    regions: int | None = None,
    fill: Fill = "black",
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Area over the perturbation curve: mean drop of the probability over steps 0 to L (Samek et al. 2017).

    Args:
        model, inputs, targets, attributions, patch, regions, fill, logits: as in :func:`region_perturbation_curve`.

    Returns:
        (N,) in [-1, 1], higher is better.

    >>> x, model = torch.ones(1, 1, 2, 4), lambda x: torch.stack([x[..., :2].sum((1, 2, 3)), x.sum((1, 2, 3)) * 0], 1)
    >>> relevance = -torch.arange(8.0).view(1, 1, 2, 4)
    >>> round(float(region_perturbation(model, x, torch.tensor([0]), relevance, patch=2)), 3)  # 2/3 (sigmoid(4) - 1/2)
    0.321
    """
    curve = region_perturbation_curve(
        model, inputs, targets, attributions, patch=patch, regions=regions, fill=fill, logits=logits
    )
    return only(usable(attributions, constant=False), (curve[:, :1] - curve).mean(1))


def selectivity(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    patch: int,
    fill: Fill = "black",
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Area under :func:`region_perturbation_curve` of all regions (Montavon et al. 2018).

    Args:
        model, inputs, targets, attributions, patch, fill, logits: as in :func:`region_perturbation_curve`.

    Returns:
        (N,) in [0, 1], the trapezoid rule over the fraction of regions replaced; lower is better.

    >>> x, model = torch.ones(1, 1, 2, 4), lambda x: torch.zeros(len(x), 2)
    >>> selectivity(model, x, torch.tensor([0]), torch.arange(8.0).view(1, 1, 2, 4), patch=2).tolist()
    [0.5]
    """
    curve = region_perturbation_curve(model, inputs, targets, attributions, patch=patch, fill=fill, logits=logits)
    area = torch.trapezoid(curve, dx=1 / (curve.shape[1] - 1), dim=1)
    return only(usable(attributions, constant=False), area)


def infidelity(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    masks: Masks | torch.Tensor,
    steps: int,
    *,
    fill: Fill = "black",
    optimal_scale: bool = True,
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean square of (perturbation . attribution) less the drop of the logit (Yeh et al. 2019, eq. 1).

    The perturbation I replaces a masked region, so I = x - perturbed x. With ``optimal_scale`` the attribution is first
    multiplied by the number that makes the error least, beta = E[(I . a) drop] / E[(I . a)^2] (0 where I . a is
    always 0): then its scale does not matter. Without it an attribution twice as large is another one.

    Args:
        model, inputs, targets, attributions, fill, logits: as in :func:`pixel_flipping_curve`.
        masks: bool (N, S, C or 1, H, W), or a function that gives a part of it, such as :func:`squares`.
        steps: S, the number of perturbations a sample.
        optimal_scale: see above.

    Returns:
        (N,) in logits squared, [0, inf), lower is better. A constant attribution has a value.

    >>> x, model = torch.ones(1, 1, 1, 2), lambda x: x.flatten(1) @ torch.tensor([[2.0], [1.0]])
    >>> masks = torch.eye(2, dtype=torch.bool).view(1, 2, 1, 1, 2)
    >>> [infidelity(model, x, torch.tensor([0]), torch.tensor([[[[4.0, 2.0]]]]), masks, 2, optimal_scale=scaled).item()
    ...  for scaled in (True, False)]
    [0.0, 2.5]
    """
    given: Masks = masks if callable(masks) else (lambda some, part: masks[some, part])
    filled = reference(inputs, fill)
    weights = per_sample_max(attributions) * (inputs - filled)  # whose scale comes back with the sums
    pooled = weights.sum(1, keepdim=True)
    clean = clean_outputs(model, inputs, targets, logits, softmax=False)
    drops, sums = (torch.empty((len(inputs), steps), dtype=torch.float64, device=inputs.device) for _ in "ab")
    for some, part in batches(inputs, steps):
        mask = given(some, part)
        perturbed = chosen(mask, filled[some, None], inputs[some, None]).flatten(0, 1)
        drops[some, part] = (clean[some, None] - repeated(model, perturbed, targets[some], softmax=False)).double()
        weight = (pooled if mask.shape[2] == 1 else weights)[some]
        sums[some, part] = torch.bmm(mask.flatten(2).to(weight.dtype), weight.flatten(1)[:, :, None])[:, :, 0].double()
    sums = sums * attributions.flatten(1).abs().amax(1).double()[:, None]
    if optimal_scale:
        square = sums.square().sum(1, keepdim=True)
        sums = sums * torch.where(square > 0, (sums * drops).sum(1, keepdim=True) / square, torch.zeros_like(square))
    return only(usable(attributions, constant=True), (sums - drops).square().mean(1))
