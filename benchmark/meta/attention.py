"""The attention of a network read below torch's functions, and maps of it by hand: the relation of its explainers."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.explainers.attention.tokens import attended
from benchmark.models.watch import eager_mode
from benchmark.models.wrap import Model


class _Softmaxes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps what every softmax over square matrices gives, as torch's kernels compute it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: list[torch.Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in ("_softmax", "_safe_softmax") and result.dim() > 2:
            self.kept.append(result)
        return result


def probabilities(model: Model, inputs: torch.Tensor) -> list[torch.Tensor]:
    """(N, heads, T, T) of each layer, detached; a gradient is asked for, which keeps layers from their fused path."""
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad(), eager_mode(), _Softmaxes() as seen:
        model(inputs.detach().clone().requires_grad_())
    square = [layer.detach() for layer in seen.kept if layer.shape[-1] == layer.shape[-2] > 1]
    return [layer.reshape(len(inputs), -1, *layer.shape[-2:]) for layer in square]


def by_hand(use: str, model: Model, inputs: torch.Tensor, targets: torch.Tensor, residual: float) -> torch.Tensor:
    """What ``use`` must say, (N, C, H, W), token by token."""
    layers = probabilities(model, inputs)
    read = attended(model, inputs, targets, use, gradient=use == "gradient-rollout")
    (h, w), count = read.tokens.grid, read.tokens.count
    rows = torch.zeros(count)
    rows[:1] = 1.0 if read.tokens.class_token else 0.0
    if not read.tokens.class_token:
        rows[-h * w :] = 1 / (h * w)
    maps = []
    for n in range(len(inputs)):
        row = rows.to(inputs)
        if use == "attention":
            row = row @ layers[-1][n].mean(0)
        elif use == "attention-rollout":
            for layer in reversed(layers):
                row = (1 - residual) * (row @ layer[n].mean(0)) + residual * row
        else:  # R = (I + E_L) ... (I + E_1) - I
            start = row
            for layer, gradient in zip(reversed(layers), reversed(read.gradients), strict=True):
                row = row + row @ (layer[n] * gradient[n]).clamp_min(0).mean(0)
            row = row - start
        maps.append(row[-h * w :].reshape(1, h, w))
    wide = F.interpolate(torch.stack(maps), size=inputs.shape[2:], mode="bilinear", align_corners=False)
    return wide.expand(inputs.shape)
