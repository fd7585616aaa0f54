"""Activations of a spatial layer with the gradient of chosen logits, and maps from them on the suite's grid."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmark.errors import RefusedError
from benchmark.explainers.cam.layout import NO_LAYER, Spatial, find
from benchmark.explainers.captum.gradients import leaf, network_input, noise
from benchmark.models.watch import eager_mode, once
from benchmark.models.wrap import Model


def checked(model: Model, prepared_shape: Sequence[int]) -> Spatial | str:
    """The layer of class activation maps, or the reason why there is none, found once a model on seeded noise.

    Args:
        prepared_shape: (C, H, W) of the bare network's input.
    """

    return once(model, f"spatial layer {tuple(prepared_shape)}", lambda: find(model, noise(model, prepared_shape)))


def no_layer(model: Model, entry: Any, name: str) -> str | None:
    """A reason for ``skip``; None where the shape of the network's input is not known."""
    black = network_input(model, entry)
    spatial = None if black is None else checked(model, black.shape[1:])
    if not isinstance(spatial, str):
        return None
    return f"{name} {spatial}" if spatial == NO_LAYER else f"{name}: {spatial}"


def spatial_layer(model: Model, inputs: torch.Tensor, name: str) -> Spatial:
    """The layer that class activation maps are made from (see :func:`benchmark.explainers.cam.layout.find`).

    Raises:
        RefusedError: the network has none, or does not say how it lies; ``name`` is the explainer's.
    """
    spatial = checked(model, model.prepared(inputs[:1]).shape[1:])
    if spatial == NO_LAYER:
        raise RefusedError(f"{name} {spatial}; name one as `gradcam_layer` in entry.toml, or leave {name} out")
    if isinstance(spatial, str):
        raise RefusedError(f"{name}: {spatial}")
    return spatial


def last_map(model: Model, inputs: torch.Tensor, name: str) -> Spatial:
    """The network's last layer with a map (N, K, h, w), whatever layer its entry names for class activation maps.

    Raises:
        RefusedError: there is none, or it does not lie so; ``name`` is who asks.
    """
    plain = copy.copy(model)
    plain.gradcam_layer = plain.gradcam_layout = ""
    layer = spatial_layer(plain, inputs, name)
    if layer.layout != "channels-first":
        raise RefusedError(f"{name}: the network's last map ({layer.name!r}) is {layer.layout}, not (N, K, h, w)")
    return layer


def activations_and_gradients(
    model: Model, inputs: torch.Tensor, targets: torch.Tensor, name: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer's output A as maps (N, K, h, w) and d logit / d A, both detached.

    Raises:
        RefusedError: no such layer, or its hook fired another number of times than once.
    """
    layer = spatial_layer(model, inputs, name)
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        # a view of its own: what follows may be in place, and would overwrite what is read here
        kept.append(output)
        return output.clone()

    handle = layer.module.register_forward_hook(keep)
    try:
        with torch.enable_grad(), eager_mode():
            chosen = model(leaf(inputs)).gather(1, targets.view(-1, 1)).sum()
    finally:
        handle.remove()
    if len(kept) != 1:
        raise RefusedError(f"{name}: the hook on layer {layer.name!r} fired {len(kept)} times, once expected")
    (gradients,) = torch.autograd.grad(chosen, kept[0])
    return layer.maps(kept[0].detach()), layer.maps(gradients)


def on_grid(maps: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Maps (N, 1, h, w) bilinear on the suite's grid, the same in every channel: (N, C, H, W)."""
    size = tuple(inputs.shape[2:])
    wide = F.interpolate(maps.detach(), size=size, mode="bilinear", align_corners=False)
    return wide.expand(inputs.shape).clone()


def gradcam(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """(N, 1, h, w) before the rectifier: sum_k w_k A_k, w_k the mean of g_k (eq. 1 and 2)."""
    return (gradients.mean((2, 3), keepdim=True) * activations).sum(1, keepdim=True)


def gradcam_plus_plus(activations: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """(N, 1, h, w) before the rectifier: sum_k w_k A_k, w_k = sum_ij alpha_ij relu(g_ij) (eq. 5, 6 and 19).

    The score is exp(logit), whose second and third derivative in A are the squares and cubes of g times itself where
    the head is piecewise linear; the common factor exp(logit) scales the map and is left out.
    """
    squared = gradients.square()
    below = 2 * squared + gradients**3 * activations.sum((2, 3), keepdim=True)
    alpha = squared / torch.where(below.abs() > 1e-12 * squared.amax(), below, torch.ones_like(below))
    alpha = torch.where(squared > 0, alpha, torch.zeros_like(alpha))
    weights = (alpha * gradients.relu()).sum((2, 3), keepdim=True)
    return (weights * activations).sum(1, keepdim=True)
