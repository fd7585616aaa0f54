"""Robustness of an explanation: does it stay where the input barely moves?

Every function explains noisy copies of each sample again, the class kept, in batches as large as memory allows. Noise
is drawn per sample on the CPU (``generator``), copy by copy, and is not clipped to [0, 1]. Attributions count with
their signs over all of (C, H, W). A sample whose attribution is all zero or not finite gets NaN, alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from benchmark.metrics.functional._again import (
    Copies,
    Explain,
    Noise,
    blocks,
    explain_copies,
    gaussian,
    noisy_copies,
    norms,
    uniform,
)
from benchmark.metrics.functional._common import Network, only, per_sample_max, usable
from benchmark.metrics.functional._layers import Representations
from benchmark.seeds import Draws

Measure = Callable[[Copies, torch.Tensor], torch.Tensor]


def max_sensitivity(
    explain: Explain,
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    generator: Draws,
    nr_samples: int = 10,
    radius: float = 0.2,
) -> torch.Tensor:
    """Largest relative change of the attribution under uniform noise (Yeh et al. 2019, definition 3).

    max over copies of ||a(x + noise) - a(x)|| / ||a(x)||. Lower is better, >= 0; a common factor of all attributions
    cancels.

    Args:
        explain: see :data:`benchmark.metrics.functional._again.Explain`.
        model: what ``explain`` explains.
        inputs: (N, C, H, W).
        targets: (N,) int64.
        attributions: (N, C, H, W), of ``inputs``.
        generator: N per-sample draws.
        nr_samples: copies a sample.
        radius: bound of the noise on each element, in input units.

    Returns:
        (N,) float64.

    >>> x = torch.ones(2, 1, 2, 2)
    >>> max_sensitivity(lambda model, x, y: 0 * x + 3, None, x, torch.zeros(2), x * 3, generator=Draws([0, 1]))
    tensor([0., 0.], dtype=torch.float64)
    """
    moved = _relative_changes(explain, model, inputs, targets, attributions, generator, nr_samples, radius)
    return only(usable(attributions, constant=True), moved.amax(0))


def avg_sensitivity(
    explain: Explain,
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    generator: Draws,
    nr_samples: int = 10,
    radius: float = 0.2,
) -> torch.Tensor:
    """Mean relative change of the attribution under uniform noise: :func:`max_sensitivity` with the mean over copies.

    >>> x = torch.ones(1, 1, 2, 2)
    >>> avg_sensitivity(lambda model, x, y: 0 * x + 2, None, x, torch.zeros(1), x, generator=Draws([0]))
    tensor([1.], dtype=torch.float64)
    """
    moved = _relative_changes(explain, model, inputs, targets, attributions, generator, nr_samples, radius)
    return only(usable(attributions, constant=True), moved.mean(0))


def local_lipschitz_estimate(
    explain: Explain,
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    generator: Draws,
    nr_samples: int = 10,
    std: float = 0.1,
    normalise: bool = True,
) -> torch.Tensor:
    """Local Lipschitz constant of the explanation (Alvarez-Melis and Jaakkola 2018, eq. 4), under Gaussian noise.

    max over copies of ||a(x') - a(x)|| / ||x' - x||, per input unit. Lower is better, >= 0.

    Args:
        std: of the noise, in input units.
        normalise: divide each attribution by its own largest magnitude first, so that explainers of different scales
            can be compared; False is the paper's quantity.

    >>> x = torch.rand(2, 1, 2, 2) + 1
    >>> found = local_lipschitz_estimate(
    ...     lambda model, x, y: 3 * x, None, x, torch.zeros(2), 3 * x, generator=Draws([0, 1]), normalise=False
    ... )
    >>> [round(float(value), 4) for value in found]
    [3.0, 3.0]
    """
    scaled = per_sample_max if normalise else _same
    clean = scaled(attributions)

    def slope(batch: Copies, found: torch.Tensor) -> torch.Tensor:
        moved = norms(_seen(scaled(found)) - batch.repeat(clean))
        return moved / norms(batch.inputs - batch.repeat(inputs))

    slopes = _measured(explain, model, inputs, targets, generator, nr_samples, gaussian(std), slope)
    return only(usable(attributions, constant=True), slopes.amax(0))


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

    def ratio(batch: Copies, found: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            outputs = model(batch.inputs)
        changed = outputs.argmax(1) != batch.repeat(clean).argmax(1)
        x = batch.repeat(inputs)
        below = norms(_relative(x, batch.inputs, eps_min))
        return _ratio(batch.repeat(attributions), found, below, changed, eps_min)

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

    def ratio(batch: Copies, found: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            outputs = model(batch.inputs)
        before = batch.repeat(clean)
        below = (outputs - before).norm(dim=1)
        return _ratio(batch.repeat(attributions), found, below, outputs.argmax(1) != before.argmax(1), eps_min)

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
                    found = explain_copies(explain, model, batch, targets)
                ratio = _ratio(batch.repeat(attributions), found, below, changed, eps_min)
                values.append((at, batch.back(ratio)))
    return only(usable(attributions, constant=True), _largest_left(_assembled(values)))


def continuity(
    explain: Explain,
    model: Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    nr_steps: int = 8,
    baseline: float = 0.0,
) -> torch.Tensor:
    """Largest variation of the explanation while the image moves sideways (Montavon et al. 2018, section 5.2).

    max over translations along the width of ||a(x') - a(x)||_1 / ||x' - x||_2; what moves out is lost, what moves in
    is ``baseline``. Each attribution is divided by its own largest magnitude first. Translations are ``nr_steps``
    whole pixels, evenly from one to half the width, to the right. Lower is better, >= 0. An image that no translation
    changes is NaN.

    >>> x = torch.eye(4)[None, None]
    >>> continuity(lambda model, x, y: 0 * x + 1, None, x, torch.zeros(1), 0 * x + 1)
    tensor([0.], dtype=torch.float64)
    """
    half = max(1, inputs.shape[3] // 2)
    count = min(nr_steps, half)
    shifts = [round(1 + k * (half - 1) / max(1, count - 1)) for k in range(count)]
    clean, values = per_sample_max(attributions), []
    for at in blocks(inputs):
        for k, shift in enumerate(shifts):
            moved = torch.full_like(inputs[at], baseline)
            moved[..., shift:] = inputs[at][..., :-shift]
            batch = Copies(at, range(k, k + 1), moved)
            found = per_sample_max(_seen(explain_copies(explain, model, batch, targets)))
            below = norms(moved - inputs[at])
            ratio = (found - clean[at]).flatten(1).abs().sum(1) / below
            values.append((at, torch.where(below > 0, ratio, torch.full_like(ratio, -torch.inf))[None]))
    return only(usable(attributions, constant=True), _assembled(values).amax(0))


def _measured(
    explain: Explain,
    model: Any,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    generator: Draws,
    nr_samples: int,
    noise: Noise,
    measure: Measure,
) -> torch.Tensor:
    """(copies, N) of ``measure(copies, their attributions)``."""
    values = []
    for at in blocks(inputs):
        for batch in noisy_copies(inputs, at, nr_samples, noise, generator):
            found = explain_copies(explain, model, batch, targets)
            values.append((at, batch.back(measure(batch, found))))
    return _assembled(values)


def _assembled(values: Sequence[tuple[slice, torch.Tensor]]) -> torch.Tensor:
    """(copies, N) from parts (samples, (some copies, those samples)) in the order of blocks."""
    columns: dict[int, list[torch.Tensor]] = {}
    for at, part in values:
        columns.setdefault(at.start, []).append(part)
    return torch.cat([torch.cat(parts) for parts in columns.values()], dim=1)


def _relative_changes(
    explain: Explain,
    model: Any,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    generator: Draws,
    nr_samples: int,
    radius: float,
) -> torch.Tensor:
    """(copies, N) ||a' - a|| / ||a||; infinite where a' is not finite."""

    def change(batch: Copies, found: torch.Tensor) -> torch.Tensor:
        clean = batch.repeat(attributions)
        return norms(_seen(found) - clean) / norms(clean)

    return _measured(explain, model, inputs, targets, generator, nr_samples, uniform(radius), change)


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
    ratios = _measured(explain, model, inputs, targets, generator, nr_samples, gaussian(std), ratio)
    return only(usable(attributions, constant=True), _largest_left(ratios))


def _ratio(
    clean: torch.Tensor, found: torch.Tensor, below: torch.Tensor, changed: torch.Tensor, eps_min: float
) -> torch.Tensor:
    """(M,) relative change of attributions over ``below``; -inf where the predicted class changed."""
    above = norms(_relative(clean, _seen(found), eps_min))
    ratio = above / below.clamp_min(eps_min)
    return torch.where(changed, torch.full_like(ratio, -torch.inf), ratio)


def _largest_left(ratios: torch.Tensor) -> torch.Tensor:
    """(N,) largest over copies; infinite (later NaN) where all were left out."""
    return ratios.amax(0)


def _relative(before: torch.Tensor, after: torch.Tensor, eps_min: float) -> torch.Tensor:
    return (before - after) / torch.where(before == 0, torch.full_like(before, eps_min), before)


def _seen(attributions: torch.Tensor) -> torch.Tensor:
    """An element that is not finite counts as infinite: the sample becomes NaN, whatever its other copies say."""
    return torch.where(attributions.isfinite(), attributions, torch.full_like(attributions, torch.inf))


def _same(values: torch.Tensor) -> torch.Tensor:
    return values


def _outputs(model: Network, inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model(inputs[at]) for at in blocks(inputs)])


__all__ = [
    "avg_sensitivity",
    "continuity",
    "local_lipschitz_estimate",
    "max_sensitivity",
    "relative_input_stability",
    "relative_output_stability",
    "relative_representation_stability",
]
