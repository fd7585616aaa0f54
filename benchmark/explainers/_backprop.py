"""The gradient with another rule at every ReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from benchmark.errors import ExplainerError
from benchmark.explainers._captum import network_input, target_gradient
from benchmark.models.wrap import Model

Rule = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
WITHOUT = "would be the plain gradient: the network runs no ReLU (torch.nn.ReLU, F.relu, torch.relu, Tensor.relu)"
_RELUS = (torch.relu, torch.relu_, F.relu, F.relu_, torch.Tensor.relu, torch.Tensor.relu_)


class _Ruled(torch.autograd.Function):
    """max(x, 0), whose backward is ``rule(x, gradient)``."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rule: Rule) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.rule = rule
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.rule(ctx.saved_tensors[0], grads[0]), None


def guided(x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient where it and the ReLU's input are positive."""
    return torch.where(x > 0, gradient.clamp_min(0), torch.zeros_like(x))


def deconvolution(_x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient where it is positive."""
    return gradient.clamp_min(0)


def smooth(beta: float) -> Rule:
    """The derivative of softplus(beta x) / beta in place of the ReLU's."""
    return lambda x, gradient: gradient * torch.sigmoid(beta * x)


class _Replaced(TorchFunctionMode):
    """Inside it every ReLU goes backwards by ``rule``; counts them.

    An in-place ReLU gets a new tensor: what it overwrites is overwritten afterwards, so that other readers see what
    they would have seen.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule, self.count = rule, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in _RELUS:
            return func(*args, **kwargs)
        self.count += 1
        x = args[0] if args else kwargs["input"]
        inplace = func in (torch.relu_, F.relu_, torch.Tensor.relu_) or (
            func is F.relu and bool(kwargs.get("inplace", args[1] if len(args) > 1 else False))
        )
        found = _Ruled.apply(x.clone() if inplace else x, self.rule)
        return x.copy_(found) if inplace else found


def no_relu(model: Model, entry: Any, name: str) -> str | None:
    """A reason where a black input meets no ReLU in the network, for ``skip``; None where the input is not known."""
    black = network_input(model, entry)
    if black is None:
        return None
    with _Replaced(guided) as replaced, torch.no_grad():
        model.core(black)
    return None if replaced.count else f"{name} {WITHOUT}"


def modified_gradient(model: Model, inputs: torch.Tensor, targets: torch.Tensor, rule: Rule, name: str) -> torch.Tensor:
    """Gradient of the target's logit with ``rule`` at every ReLU, (N, C, H, W).

    Raises:
        ExplainerError: no ReLU ran (other non-linearities, a scripted network); ``name`` is the explainer's.
    """
    with _Replaced(rule) as replaced:
        found = target_gradient(model, inputs, targets)
    if not replaced.count:
        raise ExplainerError(f"{name} {WITHOUT}; leave {name} out for this entry")
    return found
