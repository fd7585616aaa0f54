"""Operators with weights, and pooling: torch's own modules, which canonizers, GradCAM and LRP know.

Semantics: the ONNX operator specification, github.com/onnx/onnx/blob/main/docs/Operators.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmark.models.graphs.node import Node, Step, operator

CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAXIMA: dict[int, Any] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
MEANS: dict[int, Any] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of any rank, channels second; tokens (N, C, L) and rows (N, C) as well as images."""

    def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002 - torch's own name
        pass


class Padding(nn.Module):
    """Padding that is not the same on both sides, or that follows the input's size (``auto_pad``).

    Args:
        pads: begins, then ends, as ONNX has them; None: as much as gives ceil(size / stride) windows.
        window: (dilated kernel, stride) along each axis.
        late: the odd one is put behind (``SAME_UPPER``).
        value: what is padded with.
    """

    def __init__(
        self, pads: list[int] | None, window: list[tuple[int, int]], *, late: bool = True, value: float = 0.0
    ) -> None:
        super().__init__()
        self.pads, self.window, self.late, self.value = pads, window, late, value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, ...) to its padded form."""
        spatial, flat = x.shape[2:], []
        for axis in reversed(range(len(spatial))):
            if self.pads is not None:
                first, last = self.pads[axis], self.pads[axis + len(spatial)]
            else:
                kernel, stride = self.window[axis]
                total = max(0, (-(-spatial[axis] // stride) - 1) * stride + kernel - spatial[axis])
                first, last = total // 2, total - total // 2
                first, last = (first, last) if self.late else (last, first)
            flat += [first, last]
        return F.pad(x, flat, value=self.value)


def padded(node: Node, kernel: list[int], value: float = 0.0) -> tuple[nn.Module | None, list[int]]:
    """(what pads before the layer, or None; the layer's own symmetric padding)."""
    rank = len(kernel)
    dilations, strides = node.get("dilations", [1] * rank), node.get("strides", [1] * rank)
    mode, pads = node.get("auto_pad", "NOTSET"), list(node.get("pads", [0] * 2 * rank))
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        window = [(d * (k - 1) + 1, s) for d, k, s in zip(dilations, kernel, strides, strict=True)]
        return Padding(None, window, late=mode == "SAME_UPPER", value=value), [0] * rank
    if mode == "VALID" or not any(pads):
        return None, [0] * rank
    if pads[:rank] == pads[rank:]:
        return None, pads[:rank]
    return Padding(pads, []), [0] * rank


def empty(kind: Any, *args: Any, **kwargs: Any) -> Any:
    """A layer whose parameters are not drawn, since they are filled at once."""
    return nn.utils.skip_init(kind, *args, **kwargs)  # type: ignore[no-untyped-call]


def filled(layer: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> Any:
    """The layer with these parameters."""
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


@operator("Conv")
def convolution(node: Node) -> Step:
    """Cross-correlation; weights must be constants."""
    weight, bias = node.constants.get(1), node.constants.get(2)
    if weight is None or (node.has(2) and bias is None):
        raise node.refused("its weights are computed while the network runs")
    kernel, group = list(weight.shape[2:]), node.get("group", 1)
    if len(kernel) not in CONVOLUTIONS:
        raise node.refused(f"of {len(kernel)} axes")
    before, own = padded(node, kernel)
    layer = empty(
        CONVOLUTIONS[len(kernel)], weight.shape[1] * group, len(weight), kernel,
        stride=node.get("strides", [1] * len(kernel)), padding=own,
        dilation=node.get("dilations", [1] * len(kernel)), groups=group, bias=bias is not None,
    )  # fmt: skip
    filled(layer, weight, bias)
    return Step(layer if before is None else nn.Sequential(before, layer), node.inputs[:1])


@operator("ConvTranspose")
def transposed(node: Node) -> Step:
    """The transpose of a convolution, symmetric pads."""
    weight, bias = node.constants.get(1), node.constants.get(2)
    if weight is None or (node.has(2) and bias is None):
        raise node.refused("its weights are computed while the network runs")
    rank, group = weight.ndim - 2, node.get("group", 1)
    pads = node.get("pads", [0] * 2 * rank)
    if pads[:rank] != pads[rank:] or node.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in node.attributes:
        raise node.refused("pads that differ from side to side are not known")
    layer = TRANSPOSED[rank](
        len(weight), weight.shape[1] * group, list(weight.shape[2:]), stride=node.get("strides", [1] * rank),
        padding=pads[:rank], output_padding=node.get("output_padding", [0] * rank), groups=group,
        bias=bias is not None, dilation=node.get("dilations", [1] * rank),
    )  # fmt: skip
    return Step(filled(layer, weight, bias), node.inputs[:1])


@operator("Gemm")
def gemm(node: Node) -> Step:
    """alpha A' B' + beta C: a linear layer where B and C are constants."""
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    weight, bias = node.constants.get(1), node.constants.get(2)
    known = weight is not None and (not node.has(2) or (bias is not None and bias.ndim <= 1))
    if node.get("transA", 0) or not known or weight is None:
        return Step(_General(node), node.inputs)
    weight = alpha * (weight if node.get("transB", 0) else weight.T)
    layer = empty(nn.Linear, weight.shape[1], len(weight), bias=bias is not None)
    return Step(filled(layer, weight, None if bias is None else (beta * bias).expand(len(weight))), node.inputs[:1])


class _General(nn.Module):
    def __init__(self, node: Node) -> None:
        super().__init__()
        self.alpha, self.beta = node.get("alpha", 1.0), node.get("beta", 1.0)
        self.turned = bool(node.get("transA", 0)), bool(node.get("transB", 0))

    def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        a, b = (m.T if turn else m for m, turn in zip((a, b), self.turned, strict=True))
        product: torch.Tensor = self.alpha * (a @ b)
        return product if c is None else product + self.beta * c


@operator("MatMul")
def matmul(node: Node) -> Step | Any:
    """A linear layer without bias where the second factor is a constant matrix."""
    weight = node.constants.get(1)
    if weight is None or weight.ndim != 2 or not weight.is_floating_point():
        return torch.matmul
    layer = empty(nn.Linear, len(weight), weight.shape[1], bias=False)
    return Step(filled(layer, weight.T, None), node.inputs[:1])


@operator("BatchNormalization")
def batch_norm(node: Node) -> Any:
    """With running statistics, as in evaluation."""
    if len(node.outputs) > 1 and node.opset < 14:
        node = Node(node.kind, node.name, node.inputs, node.outputs[:1], node.attributes, node.constants, node.opset)
    if node.get("training_mode", 0) and 0 in node.constants:  # weights that are standardised, whatever the batch
        eps = node.get("epsilon", 1e-5)
        return lambda x, scale, bias, *_: F.batch_norm(x, None, None, scale, bias, True, eps=eps)
    if node.get("training_mode", 0):
        raise node.refused("training_mode = 1: export the network in evaluation mode")
    if any(position not in node.constants for position in (1, 2, 3, 4)):
        raise node.refused("its statistics are computed while the network runs")
    scale, bias, mean, var = (node.constants[position] for position in (1, 2, 3, 4))
    layer = BatchNorm(len(scale), eps=node.get("epsilon", 1e-5))
    with torch.no_grad():
        for own, value in ((layer.running_mean, mean), (layer.running_var, var)):
            assert own is not None
            own.copy_(value)
    return Step(filled(layer, scale, bias), node.inputs[:1])


@operator("LayerNormalization")
def layer_norm(node: Node) -> Any:
    """Over the axes from ``axis`` on."""
    axis, eps = node.get("axis", -1), node.get("epsilon", 1e-5)
    scale, bias = node.constants.get(1), node.constants.get(2)
    if axis == -1 and scale is not None and (bias is not None or not node.has(2)):
        layer = nn.LayerNorm(len(scale), eps=eps, bias=bias is not None)
        return Step(filled(layer, scale, bias), node.inputs[:1])

    def normalised(x: torch.Tensor, weight: torch.Tensor, shift: torch.Tensor | None = None) -> torch.Tensor:
        at = axis % x.ndim
        own = None if shift is None else shift.expand(x.shape[at:])
        return F.layer_norm(x, list(x.shape[at:]), weight.expand(x.shape[at:]), own, eps)

    return normalised


@operator("InstanceNormalization")
def instance_norm(node: Node) -> Any:
    """Each channel of each sample."""
    eps = node.get("epsilon", 1e-5)
    return lambda x, scale, bias: F.instance_norm(x, weight=scale, bias=bias, eps=eps)


@operator("GroupNormalization")
def group_norm(node: Node) -> Any:
    """Scale and bias of each channel (from opset 21 on)."""
    groups, eps = node.get("num_groups"), node.get("epsilon", 1e-5)
    if node.opset < 21:
        return lambda x, scale, bias: F.group_norm(
            x, groups, scale.repeat_interleave(x.shape[1] // groups), bias.repeat_interleave(x.shape[1] // groups), eps
        )
    return lambda x, scale, bias: F.group_norm(x, groups, scale, bias, eps)


@operator("LRN")
def local_response(node: Node) -> nn.Module:
    """Local response normalisation across channels."""
    return nn.LocalResponseNorm(
        node.get("size"), node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    )


@operator("MaxPool")
def max_pool(node: Node) -> nn.Module:
    """Largest of each window; padding is below every value."""
    kernel = list(node.get("kernel_shape"))
    if len(node.outputs) > 1 and node.outputs[1]:
        raise node.refused("indices of the maxima are not known")
    before, own = padded(node, kernel, float("-inf"))
    if isinstance(before, Padding):
        before.value = float("-inf")
    layer: nn.Module = MAXIMA[len(kernel)](
        kernel, stride=node.get("strides", [1] * len(kernel)), padding=own,
        dilation=node.get("dilations", [1] * len(kernel)), ceil_mode=bool(node.get("ceil_mode", 0)),
    )  # fmt: skip
    return layer if before is None else nn.Sequential(before, layer)


@operator("AveragePool")
def mean_pool(node: Node) -> nn.Module:
    """Mean of each window; padding counts where ``count_include_pad`` says so."""
    kernel, counted = list(node.get("kernel_shape")), bool(node.get("count_include_pad", 0))
    if any(d != 1 for d in node.get("dilations", [1])):
        raise node.refused("dilated windows are not known")
    before, own = padded(node, kernel)
    if before is not None and not counted:
        raise node.refused("pads that differ from side to side and are not counted are not known")
    layer: nn.Module = MEANS[len(kernel)](
        kernel, stride=node.get("strides", [1] * len(kernel)), padding=own,
        ceil_mode=bool(node.get("ceil_mode", 0)), count_include_pad=counted,
    )  # fmt: skip
    return layer if before is None else nn.Sequential(before, layer)


class GlobalMean(nn.AdaptiveAvgPool2d):
    """Mean over all spatial axes, however many, which stay as 1."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's own name
        """(N, C, ...) to (N, C, 1, ...)."""
        return input.mean(tuple(range(2, input.ndim)), keepdim=True)


@operator("GlobalAveragePool")
def global_mean(_: Node) -> nn.Module:
    """Mean over all spatial axes, which stay as 1."""
    return GlobalMean()


@operator("GlobalMaxPool")
def global_max(_: Node) -> Any:
    """Largest over all spatial axes, which stay as 1."""
    return lambda x: x.amax(tuple(range(2, x.ndim)), keepdim=True)


@operator("Dropout")
def dropout(node: Node) -> Step:
    """Nothing, in evaluation."""
    return Step(nn.Identity(), node.inputs[:1])


@operator("Einsum")
def einsum(node: Node) -> Any:
    """By its equation."""
    equation = node.get("equation")
    return lambda *factors: torch.einsum(equation, *factors)
