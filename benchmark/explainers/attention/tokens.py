"""Which tokens are patches, what of them the head reads, and maps of them on the suite's grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmark.errors import RefusedError
from benchmark.explainers.attention.probabilities import Probabilities
from benchmark.explainers.cam.layout import watch
from benchmark.explainers.cam.maps import on_grid
from benchmark.explainers.captum.gradients import leaf, network_input, noise
from benchmark.models.watch import eager_mode, once, scripted
from benchmark.models.wrap import Model

SAME = 1e-4  # relative; the network's output under the mode and without
MOST_BEFORE = 8  # tokens before the patches: the class token, one of distillation, registers
READ, EVEN = 1e-6, 0.01  # of the largest gradient: a token that is read, and tokens of which the mean is read


@dataclass(frozen=True)
class Tokens:
    """A network's tokens.

    Attributes:
        layers: how many attentions run.
        count: T, tokens in each of them.
        grid: (h, w) of the patches, which are the last h w tokens.
        class_token: the head reads token 0 alone; else the mean over the patches.
    """

    layers: int
    count: int
    grid: tuple[int, int]
    class_token: bool


@dataclass(frozen=True)
class Attended:
    """Attention of a batch.

    Attributes:
        probabilities, gradients: (N, heads, T, T) of each layer: A, and d logit / d A (none where not asked for).
        tokens: which is which.
    """

    probabilities: list[torch.Tensor]
    gradients: list[torch.Tensor]
    tokens: Tokens


def checked(model: Model, prepared_shape: Sequence[int]) -> Tokens | str:
    """The network's tokens, or why its attention has no map, found once a model on seeded noise.

    Args:
        prepared_shape: (C, H, W) of the bare network's input.
    """
    return once(model, f"tokens {tuple(prepared_shape)}", lambda: _check(model, noise(model, prepared_shape)))


def no_attention(model: Model, entry: Any, name: str) -> str | None:
    """A reason for ``skip``; None where there is none, or the shape of the network's input is not known."""
    black = network_input(model, entry)
    found = None if black is None else checked(model, black.shape[1:])
    return f"{name}: {found}" if isinstance(found, str) else None


def attended(
    model: Model, inputs: torch.Tensor, targets: torch.Tensor, name: str, *, gradient: bool = True
) -> Attended:
    """The attention of a batch, and where it is asked for the gradient of each sample's target logit.

    Raises:
        RefusedError: the network shows no attention over a grid of patches; ``name`` is the explainer's.
    """
    tokens = checked(model, model.prepared(inputs[:1]).shape[1:])
    if isinstance(tokens, str):
        raise RefusedError(f"{name}: {tokens}")
    with torch.set_grad_enabled(gradient), eager_mode(), Probabilities() as seen:
        chosen = model(leaf(inputs) if gradient else inputs).gather(1, targets.view(-1, 1)).sum()
    if len(seen.kept) != tokens.layers:
        raise RefusedError(f"{name}: {len(seen.kept)} attentions ran, {tokens.layers} expected; leave {name} out")
    gradients = torch.autograd.grad(chosen, seen.kept, allow_unused=True, materialize_grads=True) if gradient else ()
    return Attended(_by_sample(seen.kept, len(inputs)), _by_sample(gradients, len(inputs)), tokens)


def token_map(relevance: torch.Tensor, read: Attended, inputs: torch.Tensor) -> torch.Tensor:
    """(N, T, T), from what is read to the tokens at the input, as a map (N, C, H, W) of the patches."""
    h, w = read.tokens.grid
    rows = relevance[:, :1] if read.tokens.class_token else relevance[:, -h * w :]
    return on_grid(rows.mean(1)[:, -h * w :].reshape(len(inputs), 1, h, w), inputs)


def _by_sample(kept: Sequence[torch.Tensor], count: int) -> list[torch.Tensor]:
    """(N, heads, T, T), where heads are folded into the batch too."""
    return [layer.detach().reshape(count, -1, *layer.shape[-2:]) for layer in kept]


def _check(model: Model, given: torch.Tensor) -> Tokens | str:
    if reason := scripted(model.network):
        return reason
    with torch.no_grad(), eager_mode():
        plain = model.core(given)
        with Probabilities() as seen:
            under = model.core(given)
    if not seen.kept:
        return "the network runs no attention that can be seen"
    if not torch.allclose(under, plain, rtol=SAME, atol=SAME * float(plain.abs().max())):
        return "the network's output is another one where its attention is computed step by step"
    return _amiss(seen.kept, len(given)) or _tokens(model, given, len(seen.kept), seen.kept[0].shape[-1])


def _amiss(kept: Sequence[torch.Tensor], count: int) -> str:
    """Why layers cannot be joined; empty where each is of all tokens among themselves."""
    sizes = sorted({tuple(layer.shape[-2:]) for layer in kept})
    if len(sizes) > 1:
        return f"its layers have {', '.join(str(rows) for rows, _ in sizes)} tokens: tokens are merged on the way"
    ((rows, columns),) = sizes
    if rows != columns:
        return f"its attention is from {rows} tokens to {columns} others, not among themselves"
    windows = max(layer.shape[0] // count if layer.dim() == 4 else 1 for layer in kept)
    return f"its attention sees windows of {rows} tokens, {windows} an image, never all of them" if windows > 1 else ""


def _tokens(model: Model, given: torch.Tensor, layers: int, count: int) -> Tokens | str:
    """The patches among the tokens, and what the head reads."""
    seen = watch(model.network, given)
    grids = [grid for grid in reversed(seen.grids) if count - MOST_BEFORE <= math.prod(grid) <= count]
    side = math.isqrt(count)
    if not grids and side * side not in (count, count - 1):
        return f"its {count} tokens are no grid of patches with at most one class token before it"
    grid = grids[0] if grids else (side, side)
    before = count - math.prod(grid)
    names = [called.name for called in seen.ended if called.name and called.shape[1:2] == (count,)]
    moved = _moved(model, given, names[-1]) if names else torch.zeros(count)
    read = moved > READ * moved.max()
    patches = moved[before:]
    if before and bool(read[0]) and not bool(read[1:].any()):
        return Tokens(layers, count, grid, class_token=True)
    if not bool(read[:before].any()) and float(patches.min()) > (1 - EVEN) * float(patches.max()) > 0:
        return Tokens(layers, count, grid, class_token=False)
    return (
        f"of its {count} tokens the head reads {int(read.sum())}: neither a class token alone nor the mean of patches"
    )


def _moved(model: Model, given: torch.Tensor, name: str) -> torch.Tensor:
    """(T,) how much the logits move with each token of a module's output (N, T, K)."""
    kept: list[torch.Tensor] = []
    module = model.network.get_submodule(name)
    handle = module.register_forward_hook(lambda _module, _given, output: kept.append(output))
    try:
        with torch.enable_grad(), eager_mode():
            logits = model.core(leaf(given))
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(logits.square().sum(), kept[-1])
    moved: torch.Tensor = gradient.detach().norm(dim=2).sum(0).cpu()
    return moved
