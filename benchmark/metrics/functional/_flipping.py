"""Faithfulness by single elements: flipping curves and correlations; public in :mod:`.faithfulness`."""

from __future__ import annotations

from math import ceil
from typing import Literal

import torch

from benchmark.metrics.functional._common import Network, only, pearson, usable
from benchmark.metrics.functional._perturbing import (
    Fill,
    batches,
    chosen,
    clean_outputs,
    correlation,
    ranks,
    reference,
    repeated,
    sweep,
    up_to,
)
from benchmark.metrics.functional._similarity import ranks as midranks


def pixel_flipping_curve(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    features_in_step: int | None = None,
    fill: Fill = "black",
    mode: Literal["deletion", "insertion"] = "deletion",
    logits: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The target's probability while elements are replaced (or put back), most relevant first (Bach et al. 2015).

    Args:
        model: inputs (M, C, H, W) to logits (M, K).
        inputs: (N, C, H, W).
        targets: (N,) int64.
        attributions: (N, C, H, W).
        features_in_step: elements of a step; default: so many that there are at most 32 steps.
        fill: what elements are replaced by.
        mode: ``"deletion"`` starts at the input, ``"insertion"`` at the filled image.
        logits: (N, K) clean outputs.

    Returns:
        Fractions of the elements that are replaced (put back), (S + 1,) from 0 to 1, and probabilities (N, S + 1).

    >>> x, weights = torch.tensor([[[[1.0, 1.0]]]]), torch.tensor([[2.0, 1.0], [0.0, 0.0]])
    >>> model = lambda x: x.flatten(1) @ weights.T
    >>> fractions, curve = pixel_flipping_curve(model, x, torch.tensor([0]), torch.tensor([[[[2.0, 1.0]]]]))
    >>> fractions.tolist(), (curve / (1 - curve)).log().round().tolist()
    ([0.0, 0.5, 1.0], [[3.0, 1.0, 0.0]])
    """
    features = inputs[0].numel()
    size = features_in_step or ceil(features / 32)
    steps = ceil(features / size)
    counts = (torch.arange(steps + 1, device=inputs.device) * size).clamp(max=features)
    places = ranks(attributions.flatten(1)).view(inputs.shape)
    filled = reference(inputs, fill)
    clean = clean_outputs(model, inputs, targets, logits, softmax=True)[:, None]
    if mode == "deletion":
        rest = sweep(model, inputs, filled, targets, up_to(places, counts[1:]), steps, softmax=True)
        curve = torch.cat([clean, rest], 1)
    else:
        rest = sweep(model, filled, inputs, targets, up_to(places, counts[:-1]), steps, softmax=True)
        curve = torch.cat([rest, clean], 1)
    return counts.double() / features, curve.double()


def pixel_flipping(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    features_in_step: int | None = None,
    fill: Fill = "black",
    mode: Literal["deletion", "insertion"] = "deletion",
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Area under :func:`pixel_flipping_curve` by the trapezoid rule over the fraction replaced.

    Returns:
        (N,) in [0, 1], free of the number of steps; deletion: lower is better, insertion: higher.

    >>> x, model = torch.ones(1, 1, 1, 2), lambda x: torch.stack([x.flatten(1) @ torch.tensor([2.0, 1.0])] * 2, 1)
    >>> pixel_flipping(model, x, torch.tensor([0]), torch.tensor([[[[2.0, 1.0]]]])).tolist()
    [0.5]
    """
    fractions, curve = pixel_flipping_curve(
        model,
        inputs,
        targets,
        attributions,
        features_in_step=features_in_step,
        fill=fill,
        mode=mode,
        logits=logits,
    )
    return only(usable(attributions, constant=False), torch.trapezoid(curve, fractions, dim=1))


def faithfulness_correlation(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    subsets: torch.Tensor,
    *,
    fill: Fill = "black",
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pearson correlation of summed attribution and drop of the logit over subsets (Bhatt et al. 2020, eq. 3).

    Args:
        model, inputs, targets, attributions, fill, logits: as in :func:`pixel_flipping_curve`.
        subsets: int64 (N, S, K), which elements are replaced, such as :func:`random_subsets` draws.

    Returns:
        (N,) in [-1, 1], higher is better; NaN where no subset changes the logit.

    >>> x, model = torch.ones(1, 1, 1, 3), lambda x: x.flatten(1) * 2
    >>> subsets = torch.tensor([[[0], [1], [2]]])
    >>> faithfulness_correlation(model, x, torch.tensor([1]), torch.tensor([[[[0.0, 5.0, 0.0]]]]), subsets).tolist()
    [1.0]
    """
    features, steps = inputs[0].numel(), subsets.shape[1]
    subsets = subsets.to(inputs.device)

    def masks(some: slice, part: slice) -> torch.Tensor:
        chosen = subsets[some, part]
        none = torch.zeros((*chosen.shape[:2], features), dtype=torch.bool, device=inputs.device)
        return none.scatter_(2, chosen, True).view(*chosen.shape[:2], *inputs.shape[1:])

    clean = clean_outputs(model, inputs, targets, logits, softmax=False)
    outputs = sweep(model, inputs, reference(inputs, fill), targets, masks, steps, softmax=False)
    sums = attributions.flatten(1).gather(1, subsets.flatten(1)).view(subsets.shape).sum(2, dtype=torch.float64)
    return only(usable(attributions, constant=False), correlation(sums, clean[:, None] - outputs, clean))


def sensitivity_n(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    subsets: list[torch.Tensor],
    *,
    fill: Fill = "black",
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean over sizes n of :func:`faithfulness_correlation` on random subsets of n elements (Ancona et al. 2018).

    Args:
        model, inputs, targets, attributions, fill, logits: as in :func:`pixel_flipping_curve`.
        subsets: for each size n int64 (N, S, n).

    Returns:
        (N,) in [-1, 1], higher is better; NaN where any size's correlation is.

    >>> x, model = torch.ones(1, 1, 1, 3), lambda x: x.flatten(1) * 2
    >>> subsets = [torch.tensor([[[0], [1], [2]]]), torch.tensor([[[0, 1], [0, 2], [1, 2]]])]
    >>> round(float(sensitivity_n(model, x, torch.tensor([1]), torch.tensor([[[[0.0, 5.0, 0.0]]]]), subsets)), 6)
    1.0
    """
    if logits is None:
        with torch.no_grad():
            logits = model(inputs)
    correlations = [
        faithfulness_correlation(model, inputs, targets, attributions, chosen, fill=fill, logits=logits)
        for chosen in subsets
    ]
    return torch.stack(correlations).mean(0)


def faithfulness_estimate(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    features_in_step: int | None = None,
    fill: Fill = "black",
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pearson correlation of attribution and drop of the logit, step by step (Alvarez-Melis and Jaakkola 2018).

    Each step replaces its elements alone, not those of the steps before.

    Args:
        model, inputs, targets, attributions, fill, logits: as in :func:`pixel_flipping_curve`.
        features_in_step: elements of a step, in the order of the attribution; default: at most 64 steps.

    Returns:
        (N,) in [-1, 1], higher is better; NaN where no step changes the logit.

    >>> x, model = torch.ones(1, 1, 1, 3), lambda x: (x * torch.tensor([3.0, 1.0, 2.0])).flatten(1).sum(1, keepdim=True)
    >>> round(float(faithfulness_estimate(model, x, torch.tensor([0]), torch.tensor([[[[6.0, 2.0, 4.0]]]]))), 6)
    1.0
    """
    features = inputs[0].numel()
    size = features_in_step or ceil(features / 64)
    steps = ceil(features / size)
    flat = attributions.flatten(1)
    groups = (ranks(flat) // size).view(inputs.shape)

    def masks(some: slice, part: slice) -> torch.Tensor:
        step = torch.arange(part.start, part.stop, device=inputs.device, dtype=torch.int32)
        return groups[some, None] == step.view(1, -1, 1, 1, 1)

    clean = clean_outputs(model, inputs, targets, logits, softmax=False)
    outputs = sweep(model, inputs, reference(inputs, fill), targets, masks, steps, softmax=False)
    sums = torch.zeros((len(flat), steps), dtype=torch.float64, device=flat.device)
    sums.scatter_add_(1, groups.flatten(1).long(), flat.double())
    return only(usable(attributions, constant=False), correlation(sums, clean[:, None] - outputs, clean))


def monotonicity_correlation(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    values: torch.Tensor,
    *,
    features_in_step: int,
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Rank correlation of magnitude and mean squared change of the probability (Nguyen and Martínez 2020).

    Elements are taken in the order of their magnitude, ``features_in_step`` at a time; a step sets its elements, and no
    others, to each of some random values. How the step's summed magnitude goes with the change is Spearman's rho.

    Args:
        model, inputs, targets, attributions, logits: as in :func:`pixel_flipping_curve`.
        values: (N, S, R) for S steps, in input units: R values that all of a step's elements take in turn.
        features_in_step: elements of a step.

    Returns:
        (N,) in [-1, 1], higher is better; NaN where nothing changes the probability.

    Raises:
        ValueError: ``values`` is for another number of steps.

    >>> x, weights = torch.ones(1, 1, 1, 3), torch.tensor([[3.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
    >>> model, relevance = lambda x: x.flatten(1) @ weights.T, torch.tensor([[[[9.0, -3.0, 6.0]]]])
    >>> found = monotonicity_correlation(
    ...     model, x, torch.tensor([0]), relevance, torch.zeros(1, 3, 1), features_in_step=1
    ... )
    >>> round(float(found), 6)
    1.0
    """
    flat = attributions.flatten(1).abs()
    steps = ceil(flat.shape[1] / features_in_step)
    if values.shape[:2] != (len(flat), steps):
        raise ValueError(f"values must have shape {(len(flat), steps)} and repetitions, not {tuple(values.shape)}")
    runs = values.shape[2]
    groups = (ranks(flat) // features_in_step).view(inputs.shape)
    drawn = values.to(inputs).flatten(1)
    clean = clean_outputs(model, inputs, targets, logits, softmax=True)
    outputs = torch.empty_like(drawn)
    for some, part in batches(inputs, steps * runs):
        step = torch.arange(part.start, part.stop, device=inputs.device, dtype=torch.int32) // runs
        filled = drawn[some, part, None, None, None].expand(-1, -1, *inputs.shape[1:])
        perturbed = chosen(groups[some, None] == step.view(1, -1, 1, 1, 1), filled, inputs[some, None]).flatten(0, 1)
        outputs[some, part] = repeated(model, perturbed, targets[some], softmax=True)
    change = (outputs - clean[:, None]).square().view(len(flat), steps, runs).mean(2, dtype=torch.float64)
    rounding = 16 * torch.finfo(outputs.dtype).eps  # of a probability: less is no change, and must have no rank
    change = torch.where(change > rounding**2, change, torch.zeros_like(change))
    sums = torch.zeros((len(flat), steps), dtype=torch.float64, device=flat.device)
    sums.scatter_add_(1, groups.flatten(1).long(), flat.double())
    rho = pearson(midranks(sums), midranks(change)).clamp(-1, 1)
    return only(usable(attributions, constant=False), rho)
