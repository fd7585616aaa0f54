"""What the metrics share: forwards in parts that fit in memory, per-sample normalisation, samples that can be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

# input elements of a forward: 64 images of 1x32x32, 21 of 3x32x32; a CPU is fastest while activations fit its cache
INPUT_ELEMENTS = {"cpu": 2**16, "cuda": 2**26}
FEWEST = {"cpu": 4}  # however large an input is: fewer are slower each

Network = Callable[[torch.Tensor], torch.Tensor]


def rows_per_pass(like: torch.Tensor) -> int:
    """How many inputs such as ``like`` (N, ...) one forward may hold (at least 1, on a CPU 4)."""
    room = INPUT_ELEMENTS.get(like.device.type, INPUT_ELEMENTS["cpu"])
    return max(FEWEST.get(like.device.type, 1), room // max(1, like[:1].numel()))


def spans(n: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size``."""
    yield from (slice(i, min(i + size, n)) for i in range(0, n, size))


def target_outputs(model: Network, inputs: torch.Tensor, targets: torch.Tensor, *, softmax: bool) -> torch.Tensor:
    """(M,) the target's logit, or its probability, of inputs (M, C, H, W); without gradients, in parts."""
    parts = []
    with torch.no_grad():
        for at in spans(len(inputs), rows_per_pass(inputs)):
            logits = model(inputs[at])
            outputs = logits.softmax(1) if softmax else logits
            parts.append(outputs.gather(1, targets[at].view(-1, 1))[:, 0])
    return torch.cat(parts)


def per_sample_max(attributions: torch.Tensor) -> torch.Tensor:
    """Attributions divided by their largest magnitude, sample by sample; an all-zero one stays zero."""
    largest = attributions.flatten(1).abs().amax(1).view(-1, *[1] * (attributions.ndim - 1))
    return attributions / torch.where(largest > 0, largest, torch.ones_like(largest))


def usable(attributions: torch.Tensor, *, constant: bool) -> torch.Tensor:
    """(N,) True where an attribution is finite, not all zero and, unless ``constant`` is allowed, not constant."""
    flat = attributions.flatten(1)
    fine = flat.isfinite().all(1) & (flat != 0).any(1)
    return fine if constant else fine & (flat.amax(1) > flat.amin(1))


def only(rows: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """``values`` (N,) where ``rows`` is True and the value is finite, else NaN; float64."""
    nan = torch.full_like(values, torch.nan, dtype=torch.float64)
    return torch.where(rows & values.isfinite(), values.double(), nan)


def pearson(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(N,) correlation along the last axis of (N, M), in float64; NaN where either is constant."""
    a, b = a.double(), b.double()
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    scale = a.square().sum(-1).sqrt() * b.square().sum(-1).sqrt()
    return torch.where(scale > 0, (a * b).sum(-1) / scale, torch.full_like(scale, torch.nan))
