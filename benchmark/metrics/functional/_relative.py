"""Relative stabilities of an explanation (Agarwal et al. 2022): its change over that of something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from benchmark.metrics.functional._again import (
    Copies,
    Explain,
    Measure,
    assembled,
    blocks,
    explain_copies,
    gaussian,
    measured,
    noisy_copies,
    norms,
    seen,
)
from benchmark.metrics.functional._common import Network, only, usable
from benchmark.metrics.functional._layers import Representations
from benchmark.seeds import Draws


def relative_input_stability(
    explain: Explain,
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    generator: Draws,
    logits: torch.Tensor | None = None,
    nr_samples: int = 10,
    std: float = 0.05,
    eps_min: float = 1e-6,
) -> torch.Tensor:
    """Relative change of the explanation over that of the input (Agarwal et al. 2022, eq. 2, p = 2), Gaussian noise.

    max over copies of ||(a - a') / a|| / max(||(x - x') / x||, eps_min), element by element; a zero in a denominator
    counts as ``eps_min``. Copies whose predicted class differs are left out, as in the paper; NaN where none is left.
    Lower is better, >= 0, and has no upper bound: an attribution near zero in one element makes it large.

    Args:
        logits: (N, K) clean outputs, where known.
        std: of the noise, in input units.
        eps_min: least denominator.

    >>> x = torch.ones(1, 1, 2, 2)
    >>> model = lambda x: x.flatten(1)
    >>> found = relative_input_stability(lambda model, x, y: x, model, x, torch.zeros(1), x, generator=Draws([3]))
    >>> round(float(found), 4)
    1.0
    """
    clean = _outputs(model, inputs) if logits is None else logits

    def ratio(batch: Copies, again: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            outputs = model(batch.inputs)
        changed = outputs.argmax(1) != batch.repeat(clean).argmax(1)
        x = batch.repeat(inputs)
        below = norms(_relative(x, batch.inputs, eps_min))
        return _ratio(batch.repeat(attributions), again, below, changed, eps_min)

    return _relative_stability(explain, model, inputs, targets, attributions, generator, nr_samples, std, ratio)


def relative_output_stability(
    explain: Explain,
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    generator: Draws,
    logits: torch.Tensor | None = None,
    nr_samples: int = 10,
    std: float = 0.05,
    eps_min: float = 1e-6,
) -> torch.Tensor:
    """Relative change of the explanation over the change of the logits (Agarwal et al. 2022, eq. 5, p = 2).

    max over copies of ||(a - a') / a|| / max(||h(x) - h(x')||, eps_min); the rest as
    :func:`relative_input_stability`.

    >>> x = torch.ones(1, 1, 2, 2)
    >>> model = lambda x: 2 * x.flatten(1)
    >>> found = relative_output_stability(lambda model, x, y: x, model, x, torch.zeros(1), x, generator=Draws([3]))
    >>> round(float(found), 4)
    0.5
    """
    clean = _outputs(model, inputs) if logits is None else logits

    def ratio(batch: Copies, again: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            outputs = model(batch.inputs)
        before = batch.repeat(clean)
        below = (outputs - before).norm(dim=1)
        return _ratio(batch.repeat(attributions), again, below, outputs.argmax(1) != before.argmax(1), eps_min)

    return _relative_stability(explain, model, inputs, targets, attributions, generator, nr_samples, std, ratio)


def relative_representation_stability(
    explain: Explain,
    model: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    generator: Draws,
    layers: Sequence[str] = (),
    nr_samples: int = 10,
    std: float = 0.05,
    eps_min: float = 1e-6,
) -> torch.Tensor:
    """Relative change of the explanation over that of the hidden layers (Agarwal et al. 2022, eq. 3, p = 2).

    max over copies of ||(a - a') / a|| / max(||(L(x) - L(x')) / L(x)||, eps_min), L the outputs of ``layers`` in one
    vector; the rest as :func:`relative_input_stability`. Outputs are read before an in-place operation changes them.

    Args:
        layers: dotted names of modules of ``model``; default: all without children.

    Raises:
        AssayError: a layer is not in the model, or none gave a tensor.

    >>> x = torch.ones(1, 1, 2, 2)
    >>> model = nn.Sequential(nn.Flatten())
    >>> found = relative_representation_stability(
    ...     lambda model, x, y: x, model, x, torch.zeros(1), x, generator=Draws([3])
    ... )
    >>> round(float(found), 4)
    1.0
    """
    values = []
    with Representations(model, layers, eps_min) as hidden:
        for at in blocks(inputs):
            clean = hidden.keep(inputs[at])
            for batch in noisy_copies(inputs, at, nr_samples, gaussian(std), generator):
                outputs, below = hidden.compare(batch.inputs)
                changed = outputs.argmax(1) != clean.argmax(1).repeat(len(batch.copies))
                with hidden.away():
                    again = explain_copies(explain, model, batch, targets)
                ratio = _ratio(batch.repeat(attributions), again, below, changed, eps_min)
                values.append((at, batch.back(ratio)))
    return only(usable(attributions, constant=True), _largest_left(assembled(values)))


def _relative_stability(
    explain: Explain,
    model: Any,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    generator: Draws,
    nr_samples: int,
    std: float,
    ratio: Measure,
) -> torch.Tensor:
    ratios = measured(explain, model, inputs, targets, generator, nr_samples, gaussian(std), ratio)
    return only(usable(attributions, constant=True), _largest_left(ratios))


def _ratio(
    clean: torch.Tensor, attributions: torch.Tensor, below: torch.Tensor, changed: torch.Tensor, eps_min: float
) -> torch.Tensor:
    """(M,) relative change of attributions over ``below``; -inf where the predicted class changed."""
    above = norms(_relative(clean, seen(attributions), eps_min))
    ratio = above / below.clamp_min(eps_min)
    return torch.where(changed, torch.full_like(ratio, -torch.inf), ratio)


def _largest_left(ratios: torch.Tensor) -> torch.Tensor:
    """(N,) largest over copies; infinite (later NaN) where all were left out."""
    return ratios.amax(0)


def _relative(before: torch.Tensor, after: torch.Tensor, eps_min: float) -> torch.Tensor:
    return (before - after) / torch.where(before == 0, torch.full_like(before, eps_min), before)


def _outputs(model: Network, inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model(inputs[at]) for at in blocks(inputs)])


__all__ = ["relative_input_stability", "relative_output_stability", "relative_representation_stability"]
