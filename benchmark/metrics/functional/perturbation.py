"""What perturbation metrics share: what replaces a feature, in which order, and the model's outputs for all steps.

A step replaces some elements of an input by those of a reference image. Steps and samples go through the model
together, in batches bounded by :func:`benchmark.metrics.functional.common.rows_per_pass`; no perturbed input outlives
its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.nn import functional as F

from benchmark.metrics.functional.common import Network, pearson, rows_per_pass, spans, target_outputs

if TYPE_CHECKING:
    from benchmark.seeds import Draws

Fill = Literal["black", "mean", "blur"] | float
Masks = Callable[[slice, slice], torch.Tensor]
"""(samples, steps) to bool (n, s, C or 1, H, W), True where a step replaces the input."""

BLUR = 0.1  # standard deviation of the blurred fill, in sides of the image
SEPARATE = 41  # kernels of longer sides are applied an axis at a time
REDRAW = 16  # a subset is drawn by rejection where it is at most 1/16 of the features, by sorting keys otherwise


def reference(inputs: torch.Tensor, fill: Fill) -> torch.Tensor:
    """What features are replaced by, (N, C, H, W) like ``inputs``.

    ``"black"`` is 0, ``"mean"`` the sample's mean per channel, ``"blur"`` the input after a Gaussian blur (standard
    deviation a tenth of each side, reflected at the border), a number itself.

    Raises:
        ValueError: another word.
    """
    if fill == "black":
        return torch.zeros_like(inputs)
    if fill == "mean":
        return inputs.mean((2, 3), keepdim=True).expand_as(inputs)
    if fill == "blur":
        return _blurred(inputs)
    if isinstance(fill, str):
        raise ValueError(f"fill must be 'black', 'mean', 'blur' or a number, not {fill!r}")
    return torch.full_like(inputs, fill)


def _blurred(inputs: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.functional import gaussian_blur

    sides = [inputs.shape[3], inputs.shape[2]]  # torchvision names x first
    size = [2 * min(ceil(3 * BLUR * side), side - 1) + 1 for side in sides]
    sigma = [BLUR * side for side in sides]
    if max(size) > SEPARATE:  # torchvision's kernel is a square, of 135 x 135 weights at 224 pixels
        inputs = gaussian_blur(inputs, [size[0], 1], sigma)
        size[0] = 1
    blurred: torch.Tensor = gaussian_blur(inputs, size, sigma)
    return blurred


def ranks(values: torch.Tensor) -> torch.Tensor:
    """int32 (N, D): 0 for the largest of (N, D); of equal ones the lowest index comes first."""
    order = descending(values)
    places = torch.arange(values.shape[1], device=values.device, dtype=torch.int32).expand_as(order)
    return torch.empty_like(places, memory_format=torch.contiguous_format).scatter_(1, order, places)


def descending(values: torch.Tensor) -> torch.Tensor:
    """int64 (N, D): indices from the largest to the smallest; of equal ones the lowest index comes first."""
    if values.device.type != "cpu" or values.dtype != torch.float32:
        return values.sort(dim=1, descending=True, stable=True).indices
    # NumPy sorts plain integers about ten times faster than torch sorts a CPU tensor with its indices: the float's bits
    # in an order-preserving form, then the index
    bits = (values + 0.0).view(torch.int32)  # -0.0 becomes 0.0
    rising = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    keys = (~rising).long() << 32 | torch.arange(values.shape[1])
    return torch.from_numpy(np.sort(keys.numpy(), axis=1)) & 0xFFFFFFFF


def patch_ranks(values: torch.Tensor, patch: int) -> tuple[torch.Tensor, int]:
    """Ranks of square patches by their summed values, as int32 (N, 1, H, W), and how many patches there are.

    Where ``patch`` does not divide a side, the grid hangs over by as much on either border (one less before).
    """
    height, width = values.shape[2:]
    over = [-height % patch, -width % patch]
    before = [extra // 2 for extra in over]
    pads = (before[1], over[1] - before[1], before[0], over[0] - before[0])
    sums = F.avg_pool2d(F.pad(values.sum(1, keepdim=True), pads), patch, divisor_override=1)
    placed = ranks(sums.flatten(1)).view(sums.shape)
    spread = placed.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    top, left = before
    return spread[:, :, top : top + height, left : left + width].contiguous(), sums[0].numel()


def clean_outputs(
    model: Network, inputs: torch.Tensor, targets: torch.Tensor, logits: torch.Tensor | None, *, softmax: bool
) -> torch.Tensor:
    """(N,) the target's output for the untouched inputs, from ``logits`` (N, K) where they are known."""
    if logits is None:
        return target_outputs(model, inputs, targets, softmax=softmax)
    outputs = logits.softmax(1) if softmax else logits
    return outputs.gather(1, targets.view(-1, 1))[:, 0]


def sweep(
    model: Network,
    inputs: torch.Tensor,
    filled: torch.Tensor,
    targets: torch.Tensor,
    masks: Masks,
    steps: int,
    *,
    softmax: bool,
) -> torch.Tensor:
    """(N, steps) the target's output after each step, which replaces ``inputs`` by ``filled`` where ``masks`` says."""
    outputs = torch.empty((len(inputs), steps), dtype=inputs.dtype, device=inputs.device)
    for some, part in batches(inputs, steps):
        perturbed = chosen(masks(some, part), filled[some, None], inputs[some, None]).flatten(0, 1)
        outputs[some, part] = repeated(model, perturbed, targets[some], softmax=softmax)
    return outputs


def chosen(masks: torch.Tensor, there: torch.Tensor, elsewhere: torch.Tensor) -> torch.Tensor:
    """``there`` where a mask is True, ``elsewhere`` where not: ``torch.where``, on a CPU without its branches.

    On masks that look random, branches make it some eight times slower than choosing bits.
    """
    whole = {torch.float32: torch.int32, torch.float64: torch.int64}.get(there.dtype)
    if there.device.type != "cpu" or whole is None:
        return torch.where(masks, there, elsewhere)
    before = elsewhere.view(whole)
    return ((there.view(whole) ^ before) & -masks.to(whole)).bitwise_xor_(before).view(there.dtype)


def batches(inputs: torch.Tensor, steps: int) -> list[tuple[slice, slice]]:
    """Which (samples, steps) go through the model together: few and full batches, all of about one size."""
    rows, n = rows_per_pass(inputs), len(inputs)
    some = ceil(n / ceil(n / rows)) if n else 1
    part = ceil(steps / ceil(steps / max(1, rows // some)))
    return [(sample, step) for sample in spans(n, some) for step in spans(steps, part)]


def repeated(model: Network, perturbed: torch.Tensor, targets: torch.Tensor, *, softmax: bool) -> torch.Tensor:
    """(n, s) outputs of ``perturbed`` (n s, C, H, W), whose samples have the ``targets`` (n,)."""
    times = len(perturbed) // len(targets)
    return target_outputs(model, perturbed, targets.repeat_interleave(times), softmax=softmax).view(-1, times)


def up_to(places: torch.Tensor, counts: torch.Tensor) -> Masks:
    """Masks that grow: at step s the elements whose rank (N, C or 1, H, W) is below ``counts[s]``."""
    limits = counts.to(places.dtype).view(1, -1, 1, 1, 1)  # mixed types would be compared by converting all ranks
    return lambda some, part: places[some, None] < limits[:, part]


def correlation(sums: torch.Tensor, drops: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """(N,) Pearson correlation of (N, S) with (N, S); NaN where the drops differ by no more than rounding does.

    Rounding: 16 units in the last place of the largest of 1, |clean output| and |drop|.
    """
    scale = torch.maximum(clean.abs(), drops.abs().amax(1)).clamp(min=1)
    moves = drops.amax(1) - drops.amin(1) > 16 * torch.finfo(drops.dtype).eps * scale
    rho = pearson(sums, drops).clamp(-1, 1)
    return torch.where(moves, rho, torch.full_like(rho, torch.nan))


def random_subsets(draws: Draws, features: int, runs: int, size: int) -> torch.Tensor:
    """Subsets without repetition, uniform, int64 (N, runs, size) on the CPU; each sample's from its own stream."""
    one = _by_rejection if size * REDRAW <= features else _by_keys
    return torch.cat([one(draws.subset([row]), features, runs, size) for row in range(len(draws))])


def _by_keys(draws: Draws, features: int, runs: int, size: int) -> torch.Tensor:
    return draws.uniform((runs, features)).topk(size, dim=2, sorted=False).indices


def _by_rejection(draws: Draws, features: int, runs: int, size: int) -> torch.Tensor:
    while True:
        drawn = draws.integers((runs, 2 * size + 8), 0, features)
        value, place = drawn.sort(dim=2, stable=True)
        again = F.pad(value[:, :, 1:] == value[:, :, :-1], (1, 0))
        new = torch.empty_like(again).scatter_(2, place, ~again)  # True where a number is drawn for the first time
        if int(new.sum(2).min()) >= size:  # else a subset is short of numbers, which hardly ever happens
            first = new & (new.cumsum(2) <= size)
            return drawn[first].view(1, runs, size)


def random_corners(draws: Draws, height: int, width: int, runs: int, size: int) -> torch.Tensor:
    """Upper left corners of squares that cover every pixel equally often, int64 (N, runs, 2) on the CPU.

    They may hang over a border by all but one row or column.
    """
    rows = draws.integers((runs,), 1 - size, height)
    columns = draws.integers((runs,), 1 - size, width)
    return torch.stack([rows, columns], 2)


def squares(corners: torch.Tensor, size: int, height: int, width: int) -> Masks:
    """Masks of squares by their corners (N, S, 2)."""
    rows = torch.arange(height, device=corners.device)
    columns = torch.arange(width, device=corners.device)

    def inside(axis: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        return (axis >= start[..., None]) & (axis < start[..., None] + size)

    def masks(some: slice, part: slice) -> torch.Tensor:
        at = corners[some, part]
        return (inside(rows, at[..., 0])[..., :, None] & inside(columns, at[..., 1])[..., None, :])[:, :, None]

    return masks
