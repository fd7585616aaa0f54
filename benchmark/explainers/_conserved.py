"""Does layer-wise relevance propagation fit a network? Looked at before an attribution is believed.

First the operations: each one that depends on the input must run in a layer that has a rule, or carry relevance on by
itself (views, concatenations, ReLU, max pooling). Then the sums: on a few samples relevance is followed through each
layer, and what a layer keeps must be what its bias and its stabiliser take by the rule's own formula; what reaches the
input and what the layers keep must add up to what started at the logit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from zennit import core as zennit
from zennit import types

from benchmark.models.watch import Operation, eager_mode, watched

TOLERANCE = 1e-3  # of the sum of |relevance| at a layer: what may be lost or made there beyond bias and stabiliser
TINY = 1e-12

# activations whose relevance may pass unchanged: piecewise linear, 0 at 0, rising (Bach et al. 2015, section 2.3)
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU)
# operations of aten that carry relevance on by their own gradient: each output element is one of the inputs, or 0
CARRIED = frozenset(
    """
    view _unsafe_view reshape _reshape_alias view_as permute transpose t expand slice select narrow split unbind unfold
    split_with_sizes chunk cat stack unsqueeze unsqueeze_ squeeze squeeze_ clone detach alias copy_ _to_copy contiguous
    as_strided constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact2d flip roll index
    gather index_select masked_select pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle relu relu_
    max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d
    """.split()  # noqa: SIM905
)
SUMS = frozenset({"add", "add_", "sum"})
ADVICE = "use gradient methods, or leave it out for this entry"


def misfit(network: nn.Module) -> str | None:
    """A reason that the modules alone give: batch normalisation that cannot be merged, layers that are not plain."""
    for name, module in network.named_modules():
        if isinstance(module, types.BatchNorm):
            missing = [key for key in ("weight", "bias", "running_mean", "running_var") if getattr(module, key) is None]
            if missing:
                return (
                    f"{named(name, module)} has no {missing[0]}, so that it cannot be merged into the layer before it"
                )
        if isinstance(module, types.Linear):
            if is_parametrized(module) or "weight" not in module._parameters:
                return f"{named(name, module)} makes its weight anew in each call (a parametrisation): no rule sees it"
            if not _plain(module):
                return f"{named(name, module)} has a forward of its own, which the rules do not know"
    return None


def unmerged(network: nn.Module, prepared: torch.Tensor) -> str | None:
    """A reason where batch normalisation does not follow the layer that zennit merges it into, in order of calls."""
    leaves = list(zennit.collect_leaves(network))
    before = dict(zip(leaves[1:], leaves, strict=False))
    names = {module: name for name, module in network.named_modules()}
    last: dict[nn.Module, torch.Tensor] = {}
    layers: list[str] = []

    def look(norm: nn.Module, given: tuple[Any, ...]) -> None:
        layer = before.get(norm)
        if not isinstance(layer, types.Linear):
            reason = "has no convolution or fully connected layer right before it that it could be merged into"
        elif layer not in last or last[layer] is not given[0]:
            reason = f"is registered right after {named(names[layer], layer)} but called in another order"
        else:
            return
        layers.append(f"{named(names[norm], norm)} {reason}")

    handles = [norm.register_forward_pre_hook(look) for norm in names if isinstance(norm, types.BatchNorm)]
    if not handles:
        return None
    handles += [
        layer.register_forward_hook(lambda module, _given, output: last.__setitem__(module, output))
        for layer in names
        if isinstance(layer, types.Linear)
    ]
    try:
        with torch.no_grad(), eager_mode():
            network(prepared)
    finally:
        for handle in handles:
            handle.remove()
    return layers[0] if layers else None


def _plain(module: nn.Module) -> bool:
    """True where a layer computes what torch's own class does."""
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    own = next((kind for kind in kinds if isinstance(module, kind)), None)
    return own is not None and all(
        getattr(type(module), name, None) is getattr(own, name, None) for name in ("forward", "_conv_forward")
    )


def named(name: str, module: nn.Module) -> str:
    """A module as messages call it."""
    return f"layer {name!r} ({type(module).__name__})" if name else f"the network itself ({type(module).__name__})"


def rule_of(module: nn.Module) -> Any:
    """zennit's hook on a module, or None."""
    hooks = (getattr(hook, "__self__", None) for hook in module._forward_hooks.values())
    return next((hook for hook in hooks if isinstance(hook, zennit.Hook)), None)


def without_rule(network: nn.Module, prepared: torch.Tensor) -> str | None:
    """A reason where an operation runs that no rule covers. The rules must be on the network (a composite's context).

    Args:
        prepared: an input of the network.
    """
    modules = dict(network.named_modules())
    run = watched(network, prepared)
    for operation in run.operations:
        ruled = next((name for name in operation.modules if rule_of(modules[name]) is not None), None)
        reason = _uncovered(operation, modules) if ruled is None else _unfit(ruled, modules[ruled])
        if reason:
            return reason
    return _order([name for name in run.called if isinstance(rule_of(modules[name]), zennit.BasicHook)], modules)


def _uncovered(operation: Operation, modules: dict[str, nn.Module]) -> str | None:
    module = modules[operation.where]
    if operation.name in CARRIED or (isinstance(module, types.BatchNorm) and _is_identity(module)):
        return None
    where = named(operation.where, module)
    if operation.name in SUMS and operation.operands > 1:
        return (
            f"{where} adds two branches in its forward, which no rule sees: each would get the whole relevance"
            " (zennit handles the residual sums of torchvision's ResNets only)"
        )
    return f"{where} runs {operation.name!r}, for which the rule set has no rule"


def _unfit(name: str, module: nn.Module) -> str | None:
    """A reason where a layer's rule is not made for it."""
    where = named(name, module)
    if isinstance(module, types.BatchNorm):
        return None if _is_identity(module) else f"{where} is not merged into the layer before it"
    if isinstance(module, types.Activation) and not isinstance(module, RECTIFIERS):
        return f"{where} is an activation for which the rule set has no rule (made for ReLU networks)"
    return None


def _is_identity(norm: Any) -> bool:
    kept = ((norm.weight, 1.0), (norm.bias, 0.0), (norm.running_mean, 0.0), (norm.running_var, 1.0))
    return all(bool((tensor == value).all()) for tensor, value in kept)


def _order(called: list[str], modules: dict[str, nn.Module]) -> str | None:
    """A reason where a layer is called twice (zennit keeps the last input), or the first one is not called first."""
    counts: dict[str, int] = {}
    for name in called:
        counts[name] = counts.get(name, 0) + 1
    for name, count in counts.items():
        if count > 1:
            return f"{named(name, modules[name])} is called {count} times, and its rule would see the last input alone"
    layers = [name for name in called if isinstance(modules[name], types.Linear)]
    first = next((name for name, module in modules.items() if isinstance(module, types.Linear)), None)
    if layers and first is not None and layers[0] != first:
        return (
            f"{named(first, modules[first])} is registered first and {named(layers[0], modules[layers[0]])} is called"
            " first: the rule of the first layer would go to the wrong one"
        )
    return None


@dataclass
class Passage:
    """Relevance of a batch through one call of one layer.

    Attributes:
        name, module, rule: the layer and zennit's hook on it.
        given: its input, detached.
        out, into: relevance at its output and at its input; None as long as none arrived.
        due: (N,) what the rule's formula hands down (:func:`expected`).
    """

    name: str
    module: nn.Module
    rule: Any
    given: torch.Tensor
    out: torch.Tensor | None = None
    into: torch.Tensor | None = None
    due: torch.Tensor | None = None

    @property
    def size(self) -> torch.Tensor:
        """(N,) the larger sum of |relevance| at its two ends."""
        ends = [_sums(end.abs()) for end in (self.out, self.into) if end is not None]
        return torch.stack(ends).amax(0)


@dataclass
class Follow:
    """Follows relevance through the layers with a rule; open it inside the composite's context."""

    network: nn.Module
    passages: list[Passage] = field(default_factory=list)
    handles: list[Any] = field(default_factory=list)

    def __enter__(self) -> list[Passage]:
        for name, module in self.network.named_modules():
            rule = rule_of(module)
            if rule is not None:
                self.handles.append(module.register_forward_pre_hook(self._before(name, rule), prepend=True))
                self.handles.append(module.register_forward_hook(self._after))
        return self.passages

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
        for passage in self.passages:  # now, while batch normalisation is merged
            passage.due = None if passage.out is None else expected(passage)

    def _before(self, name: str, rule: Any) -> Callable[..., Any]:
        def hook(module: nn.Module, given: tuple[Any, ...]) -> Any:
            passage = Passage(name, module, rule, given[0].detach().clone())
            self.passages.append(passage)
            if not given[0].requires_grad:
                return None
            here = given[0].clone()
            here.register_hook(lambda relevance: setattr(passage, "into", relevance.detach()))
            return (here, *given[1:])

        return hook

    def _after(self, module: nn.Module, _given: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor) or not output.requires_grad:
            return None
        passage = next(passage for passage in reversed(self.passages) if passage.module is module)
        here = output.clone()
        here.register_hook(lambda relevance: setattr(passage, "out", relevance.detach()))  # type: ignore[no-untyped-call]
        return here


def expected(passage: Passage) -> torch.Tensor:
    """What the rule hands down, (N,) float64: relevance at the output less the shares of bias and stabiliser.

    For a rule with modified layers k, z_k = f_k(x_k), gradients g_k: sum over k of c_k g_k (z_k - f_k(0)), with the
    signs c_k of the rule's reducer.
    """
    assert passage.out is not None
    if not isinstance(passage.rule, zennit.BasicHook):
        return _sums(passage.out)
    rule, outputs, linear = passage.rule, [], []
    with torch.no_grad():
        for of_input, of_params, of_output in zip(
            rule.input_modifiers, rule.param_modifiers, rule.output_modifiers, strict=True
        ):
            given = of_input(passage.given)
            with zennit.ParamMod.ensure(of_params)(passage.module) as modified:
                outputs.append(of_output(modified.forward(given)))
                linear.append(outputs[-1] - of_output(modified.forward(torch.zeros_like(given))))
        weights = rule.gradient_mapper(passage.out, outputs)
    weights = (weights,) if isinstance(weights, torch.Tensor) else weights
    parts = [_sums(weight.double() * part.double()) for weight, part in zip(weights, linear, strict=True)]
    total: torch.Tensor = rule.reducer([1.0] * len(parts), parts)
    return total


def _sums(values: torch.Tensor) -> torch.Tensor:
    return values.double().flatten(1).sum(1)


def leak(passages: Iterable[Passage], start: torch.Tensor, end: torch.Tensor) -> str | None:
    """A reason where relevance is lost or made, with the first layer (from the logit down) where it is.

    Args:
        passages: in the order of the forward pass.
        start, end: relevance at the logits and at the input.
    """
    seen = [passage for passage in passages if passage.out is not None]
    if not seen:
        return "no hook of its rules fired"
    kept = torch.zeros_like(_sums(start))
    for passage in reversed(seen):
        out = _sums(passage.out)  # type: ignore[arg-type]
        into = torch.zeros_like(out) if passage.into is None else _sums(passage.into)
        if passage.into is not None:
            due = passage.due
            assert due is not None
            if _differ(into, due, passage.size):
                return (
                    f"{named(passage.name, passage.module)} gets {float(out.sum()):.3g} and hands down"
                    f" {float(into.sum()):.3g}, not the {float(due.sum()):.3g} that bias and stabiliser leave"
                )
        kept = kept + out - into
    largest = torch.stack([_sums(start.abs()), *(passage.size for passage in seen)]).amax(0)
    if _differ(_sums(start) - _sums(end), kept, largest):
        return (
            f"relevance is lost or made {_between(seen, start)}: {float(start.sum()):.3g} start at the logit,"
            f" {float(end.sum()):.3g} reach the input, the layers keep {float(kept.sum()):.3g}"
        )
    return None


def _differ(actual: torch.Tensor, wanted: torch.Tensor, size: torch.Tensor) -> bool:
    """True where two sums of a sample differ by more than the tolerance of its relevance (also where one is NaN)."""
    return not bool(((actual - wanted).abs() <= TOLERANCE * (size + TINY)).all())


def _between(seen: list[Passage], start: torch.Tensor) -> str:
    """Where relevance of a chain of layers first changes between two of them."""
    above, arriving = "the logit", _sums(start)
    for passage in reversed(seen):
        out = _sums(passage.out)  # type: ignore[arg-type]
        if _differ(out, arriving, passage.size):
            return f"between {above} and {named(passage.name, passage.module)}"
        above = named(passage.name, passage.module)
        arriving = out if passage.into is None else _sums(passage.into)
    return f"between {above} and the input"


__all__ = ["ADVICE", "TOLERANCE", "Follow", "leak", "misfit", "unmerged", "without_rule"]
