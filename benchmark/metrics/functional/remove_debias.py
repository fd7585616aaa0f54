"""Remove and debias (ROAD); public in :mod:`.faithfulness`."""

from __future__ import annotations

from typing import Literal

import torch

from benchmark.metrics.functional.common import Network, only, usable
from benchmark.metrics.functional.imputation import imputed
from benchmark.metrics.functional.perturbation import batches, ranks, up_to


def road_curve(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    percentages: tuple[float, ...],
    noise: torch.Tensor | float = 0.0,
    output: Literal["probability", "correct"] = "probability",
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """(N, P + 1) the model's answer when the most relevant pixels are imputed; the first is for the untouched input.

    Pixels are ranked by the sum of their channels, and each is replaced by a weighted mean of its neighbours (all
    replaced pixels at once) and a little noise: see :func:`benchmark.metrics.functional.imputation.imputed`.

    Args:
        model, inputs, targets, attributions, logits: as in :func:`pixel_flipping_curve`.
        percentages: of the pixels, rounded down to whole ones, each in (0, 100).
        noise: added to imputed pixels, (N, C, H, W), the same for all percentages.
        output: the target's probability, or 1 where the target is predicted (Quantus' answer), else 0.

    >>> x, model = torch.full((1, 1, 4, 4), 0.5), lambda x: torch.zeros(len(x), 2)
    >>> road_curve(model, x, torch.tensor([0]), torch.arange(16.0).view(1, 1, 4, 4), percentages=(50,)).tolist()
    [[0.5, 0.5]]
    """
    places = ranks(attributions.sum(1, dtype=torch.float64).flatten(1)).view(-1, 1, *inputs.shape[2:])
    pixels = places[0].numel()
    counts = torch.tensor([int(pixels * share / 100) for share in percentages], device=inputs.device)
    masks, steps = up_to(places, counts), len(percentages)
    drawn = torch.as_tensor(noise, dtype=inputs.dtype, device=inputs.device).expand_as(inputs)
    curve = torch.empty((len(inputs), steps + 1), dtype=torch.float64, device=inputs.device)
    if logits is None:
        with torch.no_grad():
            logits = model(inputs)
    curve[:, 0] = _answer(logits, targets, output)
    for some, part in batches(inputs, steps):
        mask = masks(some, part)
        x = imputed(inputs[some, None], mask, drawn[some, None]).flatten(0, 1)
        with torch.no_grad():
            outputs = model(x)
        times = part.stop - part.start
        answers = _answer(outputs, targets[some].repeat_interleave(times), output)
        curve[some, part.start + 1 : part.stop + 1] = answers.view(-1, times)
    return curve


def _answer(logits: torch.Tensor, targets: torch.Tensor, output: str) -> torch.Tensor:
    if output == "correct":
        return (logits.argmax(1) == targets).double()
    return logits.softmax(1).gather(1, targets.view(-1, 1))[:, 0].double()


def road(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    percentages: tuple[float, ...],
    noise: torch.Tensor | float = 0.0,
    output: Literal["probability", "correct"] = "probability",
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Remove and debias, most relevant first: area under :func:`road_curve` (Rong et al. 2022).

    Args:
        model, inputs, targets, attributions, percentages, noise, output, logits: as in :func:`road_curve`.

    Returns:
        (N,) in [0, 1], the trapezoid rule from 0 to the last percentage, divided by it; lower is better. NaN where the
        channel sum is constant.

    >>> x, model = torch.full((1, 1, 4, 4), 0.5), lambda x: torch.zeros(len(x), 2)
    >>> road(model, x, torch.tensor([0]), torch.arange(16.0).view(1, 1, 4, 4), percentages=(20, 50)).tolist()
    [0.5]
    """
    curve = road_curve(
        model, inputs, targets, attributions, percentages=percentages, noise=noise, output=output, logits=logits
    )
    at = torch.tensor([0.0, *percentages], dtype=torch.float64, device=inputs.device) / max(percentages)
    rows = usable(attributions.sum(1, dtype=torch.float64), constant=False)
    return only(rows, torch.trapezoid(curve, at, dim=1))
