"""Robustness of an explanation: does it stay where the input barely moves?

Every function explains noisy copies of each sample again, the class kept, in batches as large as memory allows. Noise
is drawn per sample on the CPU (``generator``), copy by copy, and is not clipped to [0, 1]. Attributions count with
their signs over all of (C, H, W). A sample whose attribution is all zero or not finite gets NaN, alone.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmark.metrics.functional._again import (
    Copies,
    Explain,
    assembled,
    blocks,
    explain_copies,
    gaussian,
    measured,
    norms,
    seen,
    uniform,
)
from benchmark.metrics.functional._common import Network, only, per_sample_max, usable
from benchmark.metrics.functional._relative import (
    relative_input_stability,
    relative_output_stability,
    relative_representation_stability,
)
from benchmark.seeds import Draws


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

    def slope(batch: Copies, again: torch.Tensor) -> torch.Tensor:
        moved = norms(seen(scaled(again)) - batch.repeat(clean))
        return moved / norms(batch.inputs - batch.repeat(inputs))

    slopes = measured(explain, model, inputs, targets, generator, nr_samples, gaussian(std), slope)
    return only(usable(attributions, constant=True), slopes.amax(0))


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
            again = per_sample_max(seen(explain_copies(explain, model, batch, targets)))
            below = norms(moved - inputs[at])
            ratio = (again - clean[at]).flatten(1).abs().sum(1) / below
            values.append((at, torch.where(below > 0, ratio, torch.full_like(ratio, -torch.inf))[None]))
    return only(usable(attributions, constant=True), assembled(values).amax(0))


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

    def change(batch: Copies, again: torch.Tensor) -> torch.Tensor:
        clean = batch.repeat(attributions)
        return norms(seen(again) - clean) / norms(clean)

    return measured(explain, model, inputs, targets, generator, nr_samples, uniform(radius), change)


def _same(values: torch.Tensor) -> torch.Tensor:
    return values


__all__ = [
    "avg_sensitivity",
    "continuity",
    "local_lipschitz_estimate",
    "max_sensitivity",
    "relative_input_stability",
    "relative_output_stability",
    "relative_representation_stability",
]
