"""Randomisation: does the attribution notice that the model's weights, or the class, are others?

Models are randomised on a copy (:func:`benchmark.metrics.functional._layers.randomised`): the original and global
random state are not touched, and the random weights depend on ``seed`` alone, so that they are the same for every
sample, explainer, batch and device. Attributions count with their signs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import torch
from torch import nn

from benchmark.errors import NotApplicableError
from benchmark.metrics.functional._again import Explain, Noise, blocks, explain_all, explain_copies, noisy_copies
from benchmark.metrics.functional._common import only, usable
from benchmark.metrics.functional._layers import randomised
from benchmark.metrics.functional._similarity import Similarity, similar_to
from benchmark.seeds import Draws, derive


def mprt(
    explain: Explain,
    model: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    similarity: Similarity = "spearman",
    order: str = "top_down",
    seed: int = 42,
    stages: int | None = None,
    per_layer: bool = False,
) -> torch.Tensor:
    """Model parameter randomisation test (Adebayo et al. 2018, section 4.1): similarity under cascading randomisation.

    The mean over layers of the similarity between the attribution of the model and that of the model whose layers, up
    to this one, are re-initialised. The untouched model's 1.0 is not in the mean. Lower is better, in [-1, 1]; 1 for
    an attribution that ignores the model. A stage without a similarity (the attribution vanished or became constant) is
    left out; NaN where none is left, and for all-zero or non-finite attributions.

    Args:
        explain: see :data:`benchmark.metrics.functional._again.Explain`; it is given randomised copies of ``model``.
        inputs, targets, attributions: (N, C, H, W), (N,), (N, C, H, W).
        similarity: ``"spearman"`` over all elements, or ``"ssim"`` of maps divided by their largest magnitude.
        order: ``"top_down"`` (from the output, the paper's) or ``"bottom_up"``.
        seed: of the random weights.
        stages: explain at most so many stages of the cascade, evenly spaced, the last among them; default: all.
        per_layer: return every stage's value, (stages, N), in the order of randomisation.

    Returns:
        (N,) float64, or (stages, N).

    Raises:
        NotApplicableError: no layer can be re-initialised.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> x = torch.rand(3, 1, 2, 2)
    >>> mprt(lambda model, x, y: x, model, x, torch.zeros(3), x)  # ignores the model
    tensor([1., 1., 1.], dtype=torch.float64)
    """
    compare = similar_to(attributions, similarity)
    similarities = [
        compare(explain_all(explain, twin, inputs, targets, copy=1 + stage))
        for stage, twin in enumerate(_stages(model, seed, order, stages))
    ]
    return _over_stages(torch.stack(similarities), per_layer)


def smooth_mprt(
    explain: Explain,
    model: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    generator: Draws,
    nr_samples: int = 10,
    noise: float = 0.1,
    similarity: Similarity = "spearman",
    order: str = "top_down",
    seed: int = 42,
    stages: int | None = None,
    per_layer: bool = False,
) -> torch.Tensor:
    """:func:`mprt` of attributions averaged over noisy inputs (Hedström et al. 2023, eq. 4).

    The given explainer is averaged over ``nr_samples`` inputs, the untouched one and Gaussian noise on the others, for
    the model and for every randomised one. A sample's noise is the same for all of them, so that only weights differ.

    Args:
        generator: N per-sample draws.
        noise: standard deviation, as a share of the range of the sample's input.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> x = torch.rand(2, 1, 2, 2)
    >>> smooth_mprt(lambda model, x, y: x, model, x, torch.zeros(2), x, generator=Draws([0, 1]), nr_samples=3)
    tensor([1., 1.], dtype=torch.float64)
    """
    seeds = [derive("smooth-mprt", value) for value in generator.seeds]
    flat = inputs.flatten(1)
    std = noise * (flat.amax(1) - flat.amin(1)).view(-1, 1, 1, 1)

    def smooth(network: nn.Module, stage: int) -> torch.Tensor:
        return _smoothed(explain, network, inputs, targets, std, Draws(seeds), nr_samples, stage * nr_samples)

    compare = similar_to(smooth(model, 0), similarity)
    similarities = [compare(smooth(twin, 1 + k)) for k, twin in enumerate(_stages(model, seed, order, stages))]
    fine = usable(attributions, constant=True)
    values = torch.stack(similarities)
    return _over_stages(torch.where(fine, values, torch.full_like(values, torch.nan)), per_layer)


def efficient_mprt(
    explain: Explain,
    model: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    seed: int = 42,
    bins: int = 100,
) -> torch.Tensor:
    """Relative rise of the attribution's entropy when every layer is re-initialised (Hedström et al. 2023, eq. 6).

    (H(randomised) - H(model)) / H(model), H in nats of the histogram over each attribution's own range, so that its
    scale cancels. Higher is better: noise should look more complex. 0 for an attribution that ignores the model. NaN:
    entropy 0 before and not after (a constant that changes), all-zero or non-finite attributions, before or after.

    Args:
        bins: of the histogram.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> x = torch.rand(2, 1, 2, 2)
    >>> efficient_mprt(lambda model, x, y: x, model, x, torch.zeros(2), x)
    tensor([0., 0.], dtype=torch.float64)
    """
    *_, twin = _stages(model, seed, "bottom_up", 1)
    again = explain_all(explain, twin, inputs, targets, copy=1)
    rows = usable(attributions, constant=True) & usable(again, constant=True)
    before, after = histogram_entropy(attributions, bins), histogram_entropy(again, bins)
    rise = (after - before) / before
    return only(rows, torch.where(after == before, torch.zeros_like(rise), rise))


def random_logit(
    explain: Explain,
    model: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributions: torch.Tensor,
    *,
    classes: int,
    generator: Draws,
    similarity: Similarity = "spearman",
) -> torch.Tensor:
    """Similarity to the attribution of another class (Sixt et al. 2020, section 4), drawn per sample.

    Lower is better, in [-1, 1]; 1 for an attribution that ignores the class. With two classes the other one's gradient
    is often the exact opposite: -1. NaN for constant (unless nothing changed), all-zero or non-finite attributions.

    Args:
        classes: of the model, at least 2.
        generator: N per-sample draws.

    Raises:
        NotApplicableError: the model has one class.

    >>> x = torch.rand(2, 1, 2, 2)
    >>> random_logit(lambda model, x, y: x, None, x, torch.tensor([0, 2]), x, classes=3, generator=Draws([0, 1]))
    tensor([1., 1.], dtype=torch.float64)
    """
    if classes < 2:
        raise NotApplicableError(f"random-logit needs a second class; the model has {classes}")
    other = generator.integers((), 0, classes - 1).to(targets.device)
    other = (other + (other >= targets)).to(targets.dtype)
    again = explain_all(explain, model, inputs, other, copy=1)
    values = similar_to(attributions, similarity)(again)
    return only(values.isfinite(), values)


def histogram_entropy(values: torch.Tensor, bins: int) -> torch.Tensor:
    """(N,) entropy in nats of each row's histogram over its own range; edges as ``numpy.histogram`` counts them.

    >>> histogram_entropy(torch.tensor([[0.0, 1.0], [1.0, 1.0]]), 10)
    tensor([0.6931, 0.0000], dtype=torch.float64)
    """
    flat = values.flatten(1).double()
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    low, high = (torch.where(low == high, edge + shift, edge) for edge, shift in ((low, -0.5), (high, 0.5)))
    steps = torch.arange(bins + 1, device=flat.device, dtype=torch.float64)
    edges = low + steps * ((high - low) / bins)
    edges[:, -1:] = high
    place = ((flat - low) / (high - low) * bins).nan_to_num(0).clamp(0, bins - 1).long()
    place = place - (flat < edges.gather(1, place)).long()
    place = place + ((flat >= edges.gather(1, place + 1)) & (place < bins - 1)).long()
    row = torch.arange(len(flat), device=flat.device).view(-1, 1)
    counts = (place + row * bins).flatten().bincount(minlength=len(flat) * bins).view(-1, bins)
    entropy: torch.Tensor = torch.special.entr(counts.double() / flat.shape[1]).sum(1)
    return entropy


def _stages(model: nn.Module, seed: int, order: str, stages: int | None) -> Iterator[nn.Module]:
    """Stages of the cascade, at least one."""
    empty = True
    for _, twin in randomised(model, seed=seed, order=order, stages=stages):
        empty = False
        yield twin
    if empty:
        raise NotApplicableError("no layer of the network can be re-initialised by its reset_parameters")


def _over_stages(values: torch.Tensor, per_layer: bool) -> torch.Tensor:
    """(N,) mean over the stages (stages, N) that have a value."""
    return values if per_layer else values.nanmean(0)


def _smoothed(
    explain: Explain,
    model: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    std: torch.Tensor,
    generator: Draws,
    count: int,
    first: int,
) -> torch.Tensor:
    """(N, C, H, W) mean attribution over ``count`` inputs, of which the first is untouched."""
    parts = []
    for at in blocks(inputs):
        noise = _after_the_first(std[at].cpu())
        total = torch.zeros_like(inputs[at])
        for batch in noisy_copies(inputs, at, count, noise, generator, first):
            attributions = explain_copies(explain, model, batch, targets)
            total = total + attributions.view(len(batch.copies), *total.shape).sum(0)
        parts.append(total / count)
    return torch.cat(parts)


def _after_the_first(std: torch.Tensor) -> Noise:
    """Gaussian noise of that standard deviation, none on the first copy."""
    scales = chain([0.0], repeat(1.0))
    return lambda draws, shape: next(scales) * std * draws.normal(shape)


__all__ = ["efficient_mprt", "histogram_entropy", "mprt", "random_logit", "smooth_mprt"]
