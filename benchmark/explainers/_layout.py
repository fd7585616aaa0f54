"""Which layer class activation maps are made from, and how its output lies: channels first or last, or tokens.

One forward of seeded noise is watched. A layer's axes are what the network's own pooling says (the head reads a mean, a
sum, a maximum or one token of it) and what the operations say that made it (a convolution puts channels first, a
permutation moves them); where both are silent or disagree, the entry is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from benchmark.models.watch import eager_mode, scripted
from benchmark.models.wrap import Model

LAYOUTS = {"channels-first": "nchw", "channels-last": "nhwc", "tokens": "ntc", "class-token": "ntc"}
SPATIAL = frozenset(
    """
    conv2d conv_transpose2d batch_norm instance_norm group_norm max_pool2d avg_pool2d lp_pool2d local_response_norm
    adaptive_avg_pool2d adaptive_max_pool2d fractional_max_pool2d interpolate upsample pixel_shuffle pixel_unshuffle
    _max_pool2d boolean_dispatch fn
    """.split()  # noqa: SIM905
)
ATTENTION = frozenset(
    """
    scaled_dot_product_attention multi_head_attention_forward _native_multi_head_attention
    _transformer_encoder_layer_fwd
    """.split()  # noqa: SIM905
)
PRODUCTS = frozenset({"matmul", "__matmul__", "__rmatmul__", "bmm", "baddbmm", "einsum"})
MOVING = frozenset({"view", "reshape", "unflatten", "roll", "flip", "fold", "unfold", "view_as", "expand", "repeat"})
NO_LAYER = "needs a convolutional layer with an output larger than 1x1; this network has none"
ONE_PLACE = "a map of one place"  # 1x1, or the same everywhere (an enlarged 1x1)


@dataclass(frozen=True)
class Spatial:
    """The layer of a class activation map.

    Attributes:
        name, module: in the network.
        layout: a key of :data:`LAYOUTS`.
        grid: (h, w).
    """

    name: str
    module: nn.Module
    layout: str
    grid: tuple[int, int]

    def maps(self, values: torch.Tensor) -> torch.Tensor:
        """The layer's output, or its gradient, as (N, K, h, w); a class token is left out."""
        if self.layout == "channels-first":
            return values
        if self.layout == "channels-last":
            return values.permute(0, 3, 1, 2)
        patches = values[:, 1:] if self.layout == "class-token" else values
        return patches.transpose(1, 2).reshape(len(values), -1, *self.grid)


@dataclass
class Called:
    """A module that ended: what it gave, the axes that the operations say ("" if none), and whether attention came."""

    name: str
    shape: tuple[int, ...]
    axes: str
    attended: bool = False


@dataclass
class Seen:
    """What a forward showed.

    Attributes:
        ended: modules in the order in which they ended.
        calls: of each module.
        inside: modules in which attention ran, innermost at that time.
        grids: sizes (h, w) of outputs of convolutions.
        read: what was read of the layer that is looked at, as names of layouts.
        output: of that layer, for the noise.
    """

    ended: list[Called] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    inside: set[str] = field(default_factory=set)
    grids: list[tuple[int, int]] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    output: torch.Tensor | None = None


class _Axes(TorchFunctionMode):
    """Keeps, as an attribute of each tensor, which axis is which; notes where attention runs and what is pooled."""

    def __init__(self, seen: Seen, running: list[str], pooled: Callable[[torch.Tensor], str | None]) -> None:
        super().__init__()
        self.seen, self.running, self.pooled = seen, running, pooled

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        result = func(*args, **(kwargs or {}))
        given = [part for part in (*args, *(kwargs or {}).values()) if isinstance(part, torch.Tensor)]
        if self._attends(name, given):
            self.seen.inside.add(self.running[-1] if self.running else "")
            for called in self.seen.ended:
                called.attended = True
        if isinstance(result, torch.Tensor) and result.dim() > 1:
            result._assay_axes = self._axes(name, args, given, result)  # type: ignore[attr-defined]
            if axes := self.pooled(result):
                self.seen.read.append(axes)
        return result

    def _attends(self, name: str, given: list[torch.Tensor]) -> bool:
        depends = [part for part in given if part.requires_grad and part.dim() > 2]
        return name in ATTENTION or (name in PRODUCTS and len(depends) > 1)

    def _axes(self, name: str, args: Any, given: list[torch.Tensor], result: torch.Tensor) -> str:
        if name in SPATIAL and result.dim() == 4:
            if name.startswith("conv"):
                self.seen.grids.append((result.shape[2], result.shape[3]))
            return "nchw"
        known = [part for part in given if getattr(part, "_assay_axes", "")]
        axes = getattr(known[0], "_assay_axes", "") if known else ""
        if not axes:
            return ""
        moved = _permutation(name, args, known[0], axes, result)
        if moved is not None:
            return moved
        if name == "linear":
            return axes if axes.endswith("c") else ""
        same = result.shape == known[0].shape or (name == "cat" and result.dim() == len(axes))
        return axes if same and name not in MOVING and name not in PRODUCTS else ""


def _permutation(name: str, args: Any, given: torch.Tensor, axes: str, result: torch.Tensor) -> str | None:
    """Axes behind a permutation or a flattening of them; None where ``name`` is none."""
    if name == "permute":
        order = args[1] if isinstance(args[1], (tuple, list, torch.Size)) else args[1:]
        return "".join(axes[i] for i in order) if len(order) == len(axes) else ""
    if name in ("transpose", "swapaxes", "swapdims") and len(args) == 3:
        order = list(axes)
        order[args[1]], order[args[2]] = order[args[2]], order[args[1]]
        return "".join(order)
    if name == "flatten":
        at = axes.find("hw")
        fits = result.dim() == len(axes) - 1 and at >= 0 and result.shape[at] == given.shape[at] * given.shape[at + 1]
        return axes.replace("hw", "t") if fits else ""
    return None


def readings(values: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """What a head may read of a layer's output, (N, K) each, with the layout that this says."""
    spatial = (("channels-first", (2, 3)), ("channels-last", (1, 2))) if values.dim() == 4 else ()
    for layout, over in spatial or ((("tokens", (1,)),) if values.dim() == 3 else ()):
        if math.prod(values.shape[axis] for axis in over) > 1:
            yield from ((layout, pool(values, over)) for pool in (torch.mean, torch.sum, torch.amax))
    if values.dim() == 3 and values.shape[1] > 2:
        yield "class-token alone", values[:, 0]
        yield "class-token", values[:, 1:].mean(1)


class _Watcher:
    """Hooks on every module that fill :class:`Seen`."""

    def __init__(self, layer: str | None) -> None:
        self.seen, self.running, self.layer = Seen(), list[str](), layer
        self.wanted: list[tuple[str, torch.Tensor]] = []

    def pooled(self, result: torch.Tensor) -> str | None:
        """The layout of which this result is a reading, or None."""
        flat = result.detach().flatten(1) if self.wanted else result
        for layout, reading in self.wanted:
            if flat.shape == reading.shape and torch.allclose(flat, reading, rtol=1e-4, atol=1e-6):
                return layout
        return None

    def hooks(self, name: str) -> tuple[Any, Any]:
        """Hooks before and after the module of that name."""

        def enter(_module: nn.Module, _given: Any) -> None:
            self.running.append(name)

        def leave(_module: nn.Module, _given: Any, output: Any) -> None:
            self.running.pop()
            self.seen.calls[name] = self.seen.calls.get(name, 0) + 1
            if isinstance(output, torch.Tensor):
                self.seen.ended.append(Called(name, tuple(output.shape), getattr(output, "_assay_axes", "")))
                if name == self.layer:
                    self.seen.output = output.detach().clone()
                    self.wanted = list(readings(self.seen.output))

        return enter, leave


def watch(network: nn.Module, prepared: torch.Tensor, layer: str | None = None) -> Seen:
    """One forward; what is read of ``layer`` is noted."""
    watcher, handles = _Watcher(layer), []
    for name, module in network.named_modules():
        enter, leave = watcher.hooks(name)
        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        with eager_mode(), torch.enable_grad(), _Axes(watcher.seen, watcher.running, watcher.pooled):
            network(prepared.detach().clone().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    return watcher.seen


def find(model: Model, prepared: torch.Tensor) -> Spatial | str:
    """The layer that class activation maps look at, or the reason why there is none.

    The entry's ``gradcam_layer``; else the last module to end whose output has a grid larger than 1x1, among those
    called once, not before the first convolution, and neither before nor inside attention.

    Args:
        prepared: two inputs of the bare network, of seeded noise.
    """
    network = model.network
    if reason := scripted(network):
        return reason
    modules = dict(network.named_modules())
    if model.gradcam_layer and model.gradcam_layer not in modules:
        return (
            f"gradcam_layer {model.gradcam_layer!r}: the network has no such module; it has"
            f" {', '.join(list(modules)[1:13])}; correct it in entry.toml"
        )
    seen = watch(network, prepared)
    if model.gradcam_layer:
        return _named(model, prepared, seen)
    for called in candidates(seen, len(prepared)):
        spatial = _spatial(model, prepared, seen, called)
        if spatial != ONE_PLACE:
            return spatial
    if seen.inside:
        return (
            "no layer behind the network's attention has a map larger than 1x1, and what lies before attention is no"
            " map of the logit; name one as `gradcam_layer` in entry.toml"
        )
    return NO_LAYER


def candidates(seen: Seen, count: int) -> Iterator[Called]:
    """Modules that may be chosen, the last to end first."""
    start = next((i for i, called in enumerate(seen.ended) if called.axes), len(seen.ended))
    inner = tuple(f"{name}." for name in seen.inside if name)
    for called in reversed(seen.ended[start:]):
        shape = called.shape
        wide = (len(shape) == 4 and shape[2] * shape[3] > 1) or (len(shape) == 3 and shape[1] > 1)
        once = called.name and seen.calls[called.name] == 1
        if wide and once and shape[0] == count and not called.attended and not called.name.startswith(inner or ("\0",)):
            yield called


def _named(model: Model, prepared: torch.Tensor, seen: Seen) -> Spatial | str:
    name, times = model.gradcam_layer, seen.calls.get(model.gradcam_layer, 0)
    called = next((called for called in seen.ended if called.name == name), None)
    if called is None or times != 1 or len(called.shape) not in (3, 4):
        shape = (prepared.shape[0] and 1, *called.shape[1:]) if called else None
        return (
            f"layer {name!r} must give one spatial map (N, K, h, w); it was called {times} times with"
            f" outputs of shape {shape}; name another as `gradcam_layer` in entry.toml"
        )
    spatial = _spatial(model, prepared, seen, called)
    if spatial == ONE_PLACE:
        return f"layer {name!r} gives a map of 1x1; name an earlier one as `gradcam_layer` in entry.toml"
    return spatial


def _spatial(model: Model, prepared: torch.Tensor, seen: Seen, called: Called) -> Spatial | str:
    """The layer with its layout and grid, :data:`ONE_PLACE`, or what to ask of the entry."""
    looked = watch(model.network, prepared, called.name)
    layout = model.gradcam_layout or _layout(set(looked.read), called)
    where = f"layer {called.name!r} with output (N, {', '.join(map(str, called.shape[1:]))})"
    if layout == "class-token alone":
        return (
            f"{where}: the head reads its class token alone, so that no other token has a gradient; name a layer before"
            " the last attention as `gradcam_layer`, with its `gradcam_layout`, or leave it out for this entry"
        )
    if not layout or len(LAYOUTS[layout]) != len(called.shape):
        if called.shape[1:3] == (1, 1) or called.shape[2:] == (1, 1):
            return ONE_PLACE
        fits = " or ".join(repr(name) for name, axes in LAYOUTS.items() if len(axes) == len(called.shape))
        return (
            f"{where}: neither the head's pooling nor what made it says which axes are spatial; set `gradcam_layout` in"
            f" entry.toml to {fits}"
        )
    grid = _grid(layout, called.shape, seen.grids)
    if grid is None:
        return f"{where}: its tokens are no grid that a convolution of the network made, nor a square"
    spatial = Spatial(called.name, model.network.get_submodule(called.name), layout, grid)
    assert looked.output is not None
    maps = spatial.maps(looked.output).flatten(2)
    return ONE_PLACE if torch.equal(maps, maps[:, :, :1].expand_as(maps)) else spatial


def _grid(layout: str, shape: tuple[int, ...], known: list[tuple[int, int]]) -> tuple[int, int] | None:
    """(h, w) of an output; tokens are those of a convolution's output, else a square; None where they are neither."""
    axes = LAYOUTS[layout]
    if len(axes) == 4:
        return shape[axes.index("h")], shape[axes.index("w")]
    tokens = shape[1] - (layout == "class-token")
    side = math.isqrt(tokens)
    fitting = [grid for grid in reversed(known) if math.prod(grid) == tokens]
    return fitting[0] if fitting else (side, side) if side * side == tokens else None


def _layout(read: set[str], called: Called) -> str:
    """What pooling (``read``) and operations say, "" where they are silent or disagree."""
    made = {name for name, axes in LAYOUTS.items() if axes == called.axes and name != "class-token"}
    if read and made and not (read & made) and called.axes != "ntc":
        return ""
    said = read or made
    return next(iter(said)) if len(said) == 1 else ""
