"""Operators that move numbers and change none: shapes, slices, joins, casts, resizing."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmark.models.graphs.node import Node, operator, together

# ONNX's numbers of element types (onnx.proto, TensorProto.DataType); half precision is computed in single precision.
TYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool,
    10: torch.float32, 11: torch.float64, 16: torch.float32,
}  # fmt: skip


def numbers(value: torch.Tensor) -> list[int]:
    """A tensor of shapes or indices as whole numbers."""
    return [int(item) for item in value.flatten().tolist()]


@operator("Shape")
def shape(node: Node) -> Any:
    """Sizes of some of the axes, on the CPU."""
    start, end = node.get("start", 0), node.get("end")
    return lambda x: torch.tensor(list(x.shape)[start:end], dtype=torch.int64)


@operator("Size")
def size(_: Node) -> Any:
    """Number of elements."""
    return lambda x: torch.tensor(x.numel(), dtype=torch.int64)


class Reshape(nn.Module):
    """To a shape in which 0 stands for the input's own size and -1 for what is left.

    Args:
        fixed: the shape, where it is known before anything runs; may be freed of a batch that is written into it.
        zeros: 0 means 0 (``allowzero``).
    """

    def __init__(self, fixed: list[int] | None, zeros: bool) -> None:
        super().__init__()
        self.fixed, self.zeros = fixed, zeros

    def forward(self, x: torch.Tensor, wanted: torch.Tensor | None = None) -> torch.Tensor:
        """``x`` in the fixed shape, else in the one that came."""
        sizes = self.fixed if self.fixed is not None else numbers(wanted) if wanted is not None else []
        if not self.zeros:
            sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
        return x.reshape(sizes)


@operator("Reshape")
def reshape(node: Node) -> Any:
    """See :class:`Reshape`."""
    fixed = node.constants.get(1)
    return Reshape(None if fixed is None else numbers(fixed), bool(node.get("allowzero", 0)))


@operator("Flatten")
def flatten(node: Node) -> Any:
    """To a matrix: the axes before ``axis``, and the others."""
    axis = node.get("axis", 1)
    if axis == 1:
        return nn.Flatten()
    return lambda x: x.reshape(int(torch.tensor(x.shape[: axis % (x.ndim + 1)]).prod()), -1)


@operator("Transpose")
def transpose(node: Node) -> Any:
    """Axes in another order; reversed where none is given."""
    order = node.get("perm")
    return lambda x: x.permute(order if order is not None else list(reversed(range(x.ndim))))


@operator("Squeeze")
def squeeze(node: Node) -> Any:
    """Without these axes of size 1, or without all."""
    axes = node.integers("axes", 1)
    return lambda x, *_: x.squeeze() if axes is None else x.squeeze(tuple(axes))


@operator("Unsqueeze")
def unsqueeze(node: Node) -> Any:
    """With new axes of size 1, counted in the result."""
    axes = node.integers("axes", 1) or []

    def wider(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        rank = x.ndim + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            x = x.unsqueeze(axis)
        return x

    return wider


@operator("Concat")
def concat(node: Node) -> Any:
    """One behind the other along an axis."""
    axis = node.get("axis")
    return lambda *parts: torch.cat(list(together(*parts)), axis)


@operator("Split")
def split(node: Node) -> Any:
    """Into parts of these sizes, or into as many equal ones as there are outputs."""
    sizes, axis, count = node.integers("split", 1), node.get("axis", 0), len(node.outputs)
    return lambda x, *_: x.split(sizes if sizes is not None else -(-x.shape[axis] // count), axis)


@operator("Slice")
def cut(node: Node) -> Any:
    """Parts of some axes; steps below 0 go backwards."""
    starts, ends = node.get("starts"), node.get("ends")
    given_axes = node.get("axes")

    def part(x: torch.Tensor, *given: torch.Tensor | None) -> torch.Tensor:
        begin, end, axes, steps = (numbers(g) if g is not None else None for g in (*given, *[None] * 4)[:4])
        begin, end, axes = begin or starts, end or ends, axes or given_axes
        for i, axis in enumerate(axes if axes is not None else range(len(begin))):
            step, length = (steps[i] if steps is not None else 1), x.shape[axis]
            index = range(length)[slice(begin[i], end[i] if end[i] >= -length or step > 0 else None, step)]
            if step == 1:
                x = x.narrow(axis, index.start if len(index) else 0, len(index))
            else:
                x = x.index_select(axis, torch.tensor(list(index), dtype=torch.int64, device=x.device))
        return x

    return part


@operator("Gather")
def gather(node: Node) -> Any:
    """Slices of an axis by their indices."""
    axis = node.get("axis", 0)

    def taken(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        at = axis % x.ndim
        index = index.to(x.device, torch.int64) % x.shape[at]
        flat = x.index_select(at, index.flatten())
        return flat.reshape([*x.shape[:at], *index.shape, *x.shape[at + 1 :]])

    return taken


@operator("GatherElements")
def gather_elements(node: Node) -> Any:
    """Single numbers along an axis."""
    axis = node.get("axis", 0)
    return lambda x, index: x.gather(axis, index.to(x.device, torch.int64) % x.shape[axis])


def _broadcast(*sizes: Any) -> list[int]:
    shape: list[int] = list(torch.broadcast_shapes(*sizes))  # type: ignore[no-untyped-call]
    return shape


@operator("Expand")
def expand(_: Node) -> Any:
    """Repeated without a copy, by the rules of broadcasting."""
    return lambda x, wanted: x.expand(_broadcast(x.shape, numbers(wanted)))


@operator("Tile")
def tile(_: Node) -> Any:
    """Repeated along each axis."""
    return lambda x, repeats: x.repeat(numbers(repeats))


@operator("Pad")
def pad(node: Node) -> Any:
    """Around each axis: a constant, the edge, or reflected."""
    mode = {"edge": "replicate"}.get(node.get("mode", "constant"), node.get("mode", "constant"))
    if mode not in ("constant", "replicate", "reflect"):
        raise node.refused(f"mode {mode!r} is not known")
    pads, value = node.get("pads"), node.get("value", 0.0)

    def around(x: torch.Tensor, *given: torch.Tensor | None) -> torch.Tensor:
        amounts, fill, axes = (*given, *[None] * 3)[:3]
        sizes = numbers(amounts) if amounts is not None else pads
        along = [axis % x.ndim for axis in numbers(axes)] if axes is not None else list(range(x.ndim))
        both = dict(zip(along, zip(sizes[: len(along)], sizes[len(along) :], strict=True), strict=True))
        flat = [side for axis in reversed(range(x.ndim)) for side in both.get(axis, (0, 0))]
        if mode == "constant":
            return F.pad(x, flat, value=value if fill is None else float(fill))
        while len(flat) >= 2 and flat[-2:] == [0, 0]:
            flat = flat[:-2]
        return F.pad(x, flat, mode=mode)

    return around


@operator("Cast")
def cast(node: Node) -> Any:
    """To another type."""
    kind = TYPES.get(node.get("to"))
    if kind is None:
        raise node.refused(f"to element type {node.get('to')}, which is not known")
    return lambda x: x.to(kind)


@operator("CastLike")
def cast_like(_: Node) -> Any:
    """To the type of another tensor."""
    return lambda x, like: x.to(like.dtype)


@operator("ConstantOfShape")
def constant_of_shape(node: Node) -> Any:
    """Filled with one number."""
    value = node.get("value", torch.zeros(1))
    return lambda wanted: torch.full(numbers(wanted), value.item(), dtype=value.dtype)


@operator("Range")
def arange(_: Node) -> Any:
    """From start to limit by steps."""
    return lambda start, limit, step: torch.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


@operator("DepthToSpace")
def depth_to_space(node: Node) -> Any:
    """Channels to places; DCR or CRD order."""
    block, crd = node.get("blocksize"), node.get("mode", "DCR") == "CRD"
    if crd:
        return nn.PixelShuffle(block)

    def moved(x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return parts.reshape(n, c // block**2, h * block, w * block)

    return moved


@operator("SpaceToDepth")
def space_to_depth(node: Node) -> Any:
    """Places to channels."""
    block = node.get("blocksize")

    def moved(x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
        return parts.reshape(n, c * block**2, h // block, w // block)

    return moved


@operator("Trilu")
def triangle(node: Node) -> Any:
    """The upper or the lower triangle of the last two axes."""
    function: Any = torch.triu if node.get("upper", 1) else torch.tril
    return lambda x, k=None: function(x, diagonal=0 if k is None else int(k))


@operator("Resize")
def resize(node: Node) -> Any:
    """Images to other sizes: nearest, linear or cubic, as torch's interpolate does it."""
    mode, how = node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel")
    usual = mode == "nearest" and how == "asymmetric" and node.get("nearest_mode", "round_prefer_floor") == "floor"
    smooth = mode in ("linear", "cubic") and how in ("half_pixel", "pytorch_half_pixel", "align_corners")
    if not (usual or smooth) or node.get("antialias", 0) or (mode == "cubic" and node.get("cubic_coeff_a") != -0.75):
        raise node.refused(f"mode {mode!r} with {how!r} is not known")
    name = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}[mode]
    aligned = how == "align_corners" if smooth else None

    def resized(x: torch.Tensor, _: Any = None, scales: Any = None, sizes: Any = None) -> torch.Tensor:
        if sizes is not None:
            return F.interpolate(x, size=numbers(sizes)[2:], mode=name, align_corners=aligned)
        factors = [float(factor) for factor in scales.tolist()[2:]]
        return F.interpolate(x, scale_factor=factors, mode=name, align_corners=aligned, recompute_scale_factor=False)

    return resized


@operator("OneHot")
def one_hot(node: Node) -> Any:
    """Rows with one number at an index and another elsewhere."""
    axis = node.get("axis", -1)

    def rows(index: torch.Tensor, depth: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        classes = int(depth)
        hot = F.one_hot(index.to(torch.int64) % classes, classes).movedim(-1, axis)
        chosen: torch.Tensor = torch.where(hot.bool(), values[1].to(hot.device), values[0].to(hot.device))
        return chosen

    return rows


@operator("ArgMax", "ArgMin")
def index_of(node: Node) -> Any:
    """Index of the largest or smallest number along an axis."""
    function: Any = torch.argmax if node.kind == "ArgMax" else torch.argmin
    if node.get("select_last_index", 0):
        raise node.refused("select_last_index = 1 is not known")
    return functools.partial(function, dim=node.get("axis", 0), keepdim=bool(node.get("keepdims", 1)))
