"""Activations of a spatial layer with the gradient of chosen logits, and maps from them on the suite's grid."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmark.errors import ExplainerError
from benchmark.explainers._captum import find_gradcam_layer, leaf
from benchmark.models.wrap import Model


def spatial_layer(model: Model, inputs: torch.Tensor, name: str) -> tuple[str, nn.Module]:
    """Name and module of the layer that class activation maps are made from (see ``find_gradcam_layer``).

    Raises:
        ExplainerError: the network has none; ``name`` is the explainer's.
    """
    layer = find_gradcam_layer(model, model.prepared(inputs[:1]).detach())
    if layer is None:
        raise ExplainerError(
            f"{name}: the network has no convolutional layer with an output larger than 1x1;"
            f" name one as `gradcam_layer` in entry.toml, or leave {name} out for this entry"
        )
    return layer


def activations_and_gradients(
    model: Model, inputs: torch.Tensor, targets: torch.Tensor, name: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer's output A (N, K, h, w) and d logit / d A, both detached.

    Raises:
        ExplainerError: no such layer, or its output is not spatial.
    """
    label, layer = spatial_layer(model, inputs, name)
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        # a view of its own: what follows may be in place, and would overwrite what is read here
        kept.append(output)
        return output.clone()

    handle = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            chosen = model(leaf(inputs)).gather(1, targets.view(-1, 1)).sum()
    finally:
        handle.remove()
    if len(kept) != 1 or kept[0].ndim != 4:
        shape = tuple(kept[0].shape) if kept else None
        raise ExplainerError(
            f"{name}: layer {label!r} must give one spatial map (N, K, h, w); it was called {len(kept)} times with"
            f" outputs of shape {shape}; name another as `gradcam_layer` in entry.toml"
        )
    (gradients,) = torch.autograd.grad(chosen, kept[0])
    return kept[0].detach(), gradients


def on_grid(maps: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Maps (N, 1, h, w) bilinear on the suite's grid, the same in every channel: (N, C, H, W)."""
    size = tuple(inputs.shape[2:])
    wide = F.interpolate(maps.detach(), size=size, mode="bilinear", align_corners=False)
    return wide.expand(inputs.shape).clone()


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
