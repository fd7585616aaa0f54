"""The gradient with another rule at every ReLU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from benchmark.errors import RefusedError
from benchmark.explainers._captum import leaf, random_input, target_gradient
from benchmark.models.watch import eager_mode, once, scripted, watched
from benchmark.models.wrap import Model

Rule = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
WITHOUT = "would be the plain gradient: the network runs no ReLU (torch.nn.ReLU, F.relu, torch.relu, Tensor.relu)"
RELU = frozenset({"relu", "relu_"})
# other operations of aten that act on each element alone and are no ReLU
ACTIVATIONS = frozenset(
    """
    sigmoid sigmoid_ tanh tanh_ silu silu_ gelu gelu_ hardswish hardswish_ hardsigmoid hardsigmoid_ elu elu_ leaky_relu
    leaky_relu_ softplus mish mish_ _prelu_kernel prelu rrelu rrelu_with_noise hardtanh hardtanh_ clamp clamp_ clamp_min
    clamp_min_ clamp_max threshold threshold_ log_sigmoid_forward hardshrink softshrink celu selu erf maximum where
    """.split()  # noqa: SIM905
)
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
    """Inside it every ReLU that depends on the input goes backwards by ``rule``; counts them.

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
        x = args[0] if args else kwargs["input"]
        if not (torch.is_grad_enabled() and x.requires_grad):  # inside another's autograd function the rule has no say
            return func(*args, **kwargs)
        self.count += 1
        inplace = func in (torch.relu_, F.relu_, torch.Tensor.relu_) or (
            func is F.relu and bool(kwargs.get("inplace", args[1] if len(args) > 1 else False))
        )
        result = _Ruled.apply(x.clone() if inplace else x, self.rule)
        return x.copy_(result) if inplace else result


@dataclass(frozen=True)
class Verdict:
    """Why the rule does not fit a network, or how many ReLUs a forward of it runs."""

    reason: str | None
    relus: int = 0


def checked(model: Model, name: str, given: torch.Tensor) -> Verdict:
    """Whether a rule at every ReLU fits the network, found out once a model.

    Each ReLU that runs (as an operation of aten) must be seen, and no other rectifier or activation may run: the rule
    says nothing of it.

    Args:
        name: the explainer's.
        given: an input of the bare network.
    """
    return once(model, f"relus of {name}", lambda: _check(model, name, given))


def _check(model: Model, name: str, given: torch.Tensor) -> Verdict:
    if reason := scripted(model.network):
        return Verdict(f"{name}: {reason}; leave {name} out for this entry")
    run = watched(model.core, given)
    relus = sum(operation.name in RELU for operation in run.operations)
    with _Replaced(guided) as replaced, torch.enable_grad(), eager_mode():
        model.core(leaf(given))
    other = next((operation for operation in run.operations if operation.name in ACTIVATIONS), None)
    if not relus:
        return Verdict(f"{name} {WITHOUT}")
    if replaced.count != relus:
        return Verdict(f"{name}: its rule reaches {replaced.count} of the {relus} ReLUs that run; leave {name} out")
    if other is not None:
        where = f"layer {other.where!r}" if other.where else "the network itself"
        return Verdict(
            f"{name}: {where} runs {other.name!r}, for which its rule (for ReLUs) says nothing; leave {name} out"
        )
    return Verdict(None, relus)


def unfit(model: Model, entry: Any, name: str) -> str | None:
    """A reason where the rule does not fit the network, for ``skip``; None where the input's shape is not known."""
    given = random_input(model, entry, 1)
    return None if given is None else checked(model, name, given).reason


def modified_gradient(model: Model, inputs: torch.Tensor, targets: torch.Tensor, rule: Rule, name: str) -> torch.Tensor:
    """Gradient of the target's logit with ``rule`` at every ReLU, (N, C, H, W).

    Raises:
        RefusedError: no ReLU ran, some are hidden (a scripted network), or other activations ran; ``name`` is the
            explainer's.
    """
    verdict = checked(model, name, model.prepared(inputs[:1]).detach())
    if verdict.reason:
        raise RefusedError(verdict.reason)
    with _Replaced(rule) as replaced, eager_mode():
        gradient = target_gradient(model, inputs, targets)
    if replaced.count != verdict.relus:
        raise RefusedError(
            f"{name}: {replaced.count} ReLUs ran under its rule, {verdict.relus} should; leave {name} out"
        )
    return gradient
