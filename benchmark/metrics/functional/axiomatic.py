"""Axioms: what an attribution must satisfy by its own promise, as residuals that are 0 where it does."""

from __future__ import annotations

from math import ceil
from typing import Any

import torch

from benchmark.metrics.functional._again import Explain, blocks, explain_all, norms
from benchmark.metrics.functional._common import Network, only, per_sample_max, rows_per_pass, spans, usable
from benchmark.metrics.functional._shift import compensated


def completeness_residual(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    baseline: float = 0.0,
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Violation of completeness (Sundararajan et al. 2017, section 3): |sum a - (f(x) - f(baseline))| over a scale.

    f is the target's logit; the scale is the largest change among the sample's logits, so that the residual has no
    unit. Lower is better, >= 0; 0 for integrated gradients up to its quadrature. All-zero attributions have a
    residual; NaN where they are not finite and where no logit changes.

    Args:
        inputs, targets, attributions: (N, C, H, W), (N,), (N, C, H, W); attributions in logits, not normalised.
        baseline: the explainer's own, in input units.
        logits: (N, K) clean outputs, where known.

    Returns:
        (N,) float64.

    >>> weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x = torch.tensor([[[[1.0, 2.0]]]])
    >>> completeness_residual(lambda x: x.flatten(1) @ weight.T, x, torch.tensor([0]), x * weight[0])
    tensor([0.], dtype=torch.float64)
    """
    with torch.no_grad():
        clean = _outputs(model, inputs) if logits is None else logits
        black = model(torch.full_like(inputs[:1], baseline))
    change = (clean - black).double()
    scale = change.abs().amax(1)
    wanted = change.gather(1, targets.view(-1, 1))[:, 0]
    total = attributions.flatten(1).double().sum(1)
    return only(total.isfinite() & (scale > 0), (total - wanted).abs() / scale)


def non_sensitivity(
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    features_in_step: int | None = None,
    eps: float = 1e-5,
    baseline: float = 0.0,
    softmax: bool = False,
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Share of features where zero relevance and an insensitive output disagree (Nguyen and Martinez 2020, sec. 3).

    A step replaces consecutive elements of (C, H, W) by the baseline. It has zero relevance where all of |a| / max |a|
    are below ``eps``, and the output is insensitive to it where the target's output moves by less than ``eps``
    (times the output's magnitude where that is above 1). The share of steps where one holds and the other does not.
    Lower is better, in [0, 1]. NaN where attributions are not finite.

    Args:
        features_in_step: elements replaced together; default: so many that there are at most 64 steps.
        baseline: in input units.
        softmax: look at the target's probability, not its logit.
        logits: (N, K) clean outputs, where known.

    >>> weight = torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    >>> x, y = torch.ones(1, 1, 2, 2), torch.tensor([0])
    >>> non_sensitivity(lambda x: x.flatten(1) @ weight.T, x, y, weight[:1].view(1, 1, 2, 2))
    tensor([0.], dtype=torch.float64)
    """
    features = inputs[0].numel()
    size = features_in_step or ceil(features / 64)
    steps = ceil(features / size)
    groups = torch.arange(features, device=inputs.device).div(size, rounding_mode="floor")
    shares = per_sample_max(attributions).flatten(1).abs()
    relevant = torch.zeros(len(inputs), steps, device=inputs.device)
    zero = relevant.scatter_add_(1, groups.expand(len(inputs), -1), (shares >= eps).float()) == 0
    clean = _outputs(model, inputs) if logits is None else logits
    before = _target(clean, targets, softmax)
    disagree = torch.zeros(len(inputs), dtype=torch.float64, device=inputs.device)
    for at in blocks(inputs):
        flat = inputs[at].flatten(1)
        for which in spans(steps, max(1, rows_per_pass(inputs) // len(flat))):
            step = torch.arange(which.start, which.stop, device=inputs.device)
            replaced = torch.where(groups == step.view(-1, 1, 1), baseline, flat).view(-1, *inputs.shape[1:])
            with torch.no_grad():
                outputs = model(replaced)
            after = _target(outputs, targets[at].repeat(len(step)), softmax).view(len(step), -1)
            still = (after - before[at]).abs() < eps * before[at].abs().clamp_min(1)
            disagree[at] += (still != zero[at, which].T).sum(0)
    return only(attributions.flatten(1).isfinite().all(1), disagree / steps)


def input_invariance(
    explain: Explain,
    model: Any,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    shift: float = -1.0,
) -> torch.Tensor:
    """Relative change of the attribution under a constant shift that the network undoes (Kindermans et al. 2019).

    ||a(x + shift; f') - a(x; f)|| / ||a(x; f)||, where f' is f with the bias of its first layer compensated, so that
    f'(x + shift) = f(x). Lower is better, >= 0; 0 for an attribution that is invariant. A random explainer explains f
    again with the same random numbers as f', so that only the shift differs. All-zero or non-finite: NaN.

    Args:
        model: a module; its first convolution or linear layer must see the (normalised) input.
        shift: of every element, in input units.

    Raises:
        NotApplicableError: the first layer cannot be compensated.

    >>> from torch import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> x = torch.rand(2, 1, 2, 2)
    >>> input_invariance(lambda model, x, y: 0 * x + 2, model, x, torch.zeros(2), 0 * x + 2)
    tensor([0., 0.], dtype=torch.float64)
    """
    moved = compensated(model, inputs, shift)
    clean = explain_all(explain, model, inputs, targets) if getattr(explain, "random", False) else attributions
    again = explain_all(explain, moved, inputs + shift, targets)
    change = norms(again.double() - clean.double()) / norms(clean.double())
    return only(usable(attributions, constant=True) & usable(clean, constant=True), change)


def _outputs(model: Network, inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model(inputs[at]) for at in blocks(inputs)])


def _target(logits: torch.Tensor, targets: torch.Tensor, softmax: bool) -> torch.Tensor:
    outputs = logits.softmax(1) if softmax else logits
    return outputs.gather(1, targets.view(-1, 1))[:, 0]


__all__ = ["completeness_residual", "input_invariance", "non_sensitivity"]
