"""Layers of a network: what they put out, and copies of the network with some of them changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from benchmark.errors import AssayError, NotApplicableError
from benchmark.models.watch import eager_mode, scripted
from benchmark.seeds import derive, global_seed


class Representations:
    """Relative change of the hidden layers between inputs, ||(L(x) - L(x')) / L(x)|| over all of them at once.

    A context manager: hooks are on the model inside it. The second pass keeps no outputs: each layer's share is added
    up as it is computed, before an in-place operation can change it.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], eps_min: float) -> None:
        named = dict(model.named_modules())
        unknown = [name for name in layers if name not in named]
        if unknown:
            raise AssayError(f"the model has no layer {unknown[0]!r}; it has {', '.join(filter(None, named))}")
        core = getattr(model, "core", model)  # not the preprocessing
        leaves = [module for module in core.modules() if not list(module.children())]
        if reason := scripted(core):
            raise NotApplicableError(f"representations of hidden layers: {reason}")
        self.model, self.eps_min = model, eps_min
        self.asked = {named[name]: name for name in layers}
        self.modules = list(self.asked) or leaves
        self.mode = ""
        self.kept: list[torch.Tensor] = []
        self.total: torch.Tensor | None = None
        self.call = 0

    def __enter__(self) -> Representations:
        self.handles = [module.register_forward_hook(self._hook) for module in self.modules]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
        self.kept = []

    def keep(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs (n, K) of clean inputs; their representations are kept."""
        self.kept, self.mode, self.fired = [], "keep", set[nn.Module]()
        outputs = self._forward(inputs)
        silent = [name for module, name in self.asked.items() if module not in self.fired]
        if silent:
            raise NotApplicableError(f"layer {silent[0]!r} gave its hook no tensor: the network never calls it alone")
        if not self.kept:
            raise AssayError("no hidden layer gave a tensor: name some as `layers`")
        return outputs

    def compare(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs (k n, K) of k copies of the clean inputs, and (k n,) the relative change of representations."""
        self.total, self.mode, self.call = None, "compare", 0
        outputs = self._forward(inputs)
        assert self.total is not None
        return outputs, self.total.sqrt()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Hooks do nothing inside the block."""
        self.mode = ""
        yield

    def _forward(self, inputs: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), eager_mode():
            outputs: torch.Tensor = self.model(inputs)
        self.mode = ""
        return outputs

    def _hook(self, module: nn.Module, given: Any, output: Any) -> None:
        if not self.mode or not isinstance(output, torch.Tensor):
            return
        if self.mode == "keep":
            self.fired.add(module)
            self.kept.append(output.detach().clone())
            return
        before = self.kept[self.call]
        self.call += 1
        after = output.view(-1, *before.shape)
        change = (before - after) / torch.where(before == 0, torch.full_like(before, self.eps_min), before)
        square = change.flatten(0, 1).flatten(1).square().sum(1)
        self.total = square if self.total is None else self.total + square


def resettable(module: nn.Module) -> bool:
    """True where :func:`reset` can re-initialise parameters or buffers of the module."""
    able = hasattr(module, "reset_parameters") or isinstance(module, nn.MultiheadAttention)
    return able and bool(module.state_dict())


def randomised(
    model: nn.Module, *, seed: int, order: str = "top_down", stages: int | None = None
) -> Iterator[tuple[str, nn.Module]]:
    """Cascading randomisation (Adebayo et al. 2018, section 4.1): (layer, copy of the model) after each layer.

    Layers are re-initialised one after another by their ``reset_parameters`` and stay so; the copy is one and the same
    object, changed between yields. Numbers are drawn on the CPU in float32, from ``seed`` and the layer's name, so they
    are the same on every device and in every dtype. The original and global random state are not touched. A layer that
    re-initialising does not change (the fixed pair of a one-logit model, an untrained one) is passed over.

    Args:
        order: ``"top_down"`` (from the output) or ``"bottom_up"``, by the order of registration.
        stages: yield at most so many times, after evenly spaced layers, the last among them; default: after each.

    Raises:
        NotApplicableError: a part is scripted: its layers cannot be drawn anew, and would stay trained without a word.
    """
    if reason := scripted(model):
        raise NotApplicableError(f"randomised layers: {reason}")
    twin = copied(model)
    named = [(name, module) for name, module in twin.named_modules() if resettable(module)]
    total, changed = len(named), False
    count = min(stages or total, total)
    shown = {round((k + 1) * total / count) for k in range(count)}
    for number, (name, module) in enumerate(reversed(named) if order == "top_down" else named, 1):
        changed |= reset(module, derive("randomised", seed, name))
        if changed and number in shown:
            changed = False
            yield name, twin


def reset(module: nn.Module, seed: int) -> bool:
    """Re-initialise a module in place; False where that changed nothing."""
    fresh = copy.deepcopy(module).cpu().float()
    with global_seed(seed & 0x7FFFFFFF), torch.no_grad():
        getattr(fresh, "reset_parameters", getattr(fresh, "_reset_parameters", None))()  # type: ignore[misc]
    old = module.state_dict()
    new = {name: value.to(old[name]) for name, value in fresh.state_dict().items()}
    changed = any(not torch.equal(new[name], value) for name, value in old.items())
    module.load_state_dict(new)
    return changed


def copied(model: nn.Module) -> nn.Module:
    """A copy whose weights can change without the original's; its passes count as the original's."""
    counter = getattr(model, "counter", None)
    twin: nn.Module = copy.deepcopy(model, {} if counter is None else {id(counter): counter})
    return twin.requires_grad_(False).eval()


__all__ = ["Representations", "copied", "randomised", "reset", "resettable"]
