"""Rules of LRP at torch's functions: a network that is linear in its input where constants of the rules are held.

Each rule is written as a product of what is held and what goes on, whose gradient is then the rule. So the relevance is
input times gradient, and a finite difference with the same constants held must agree with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from benchmark.errors import RefusedError
from benchmark.explainers.attention.probabilities import attention, instead
from benchmark.explainers.captum.gradients import leaf, network_input, noise
from benchmark.explainers.lrp.propagation import through_geometry
from benchmark.models.watch import eager_mode, once, scripted
from benchmark.models.wrap import Model

Softmax = Literal["taylor", "constant"]
SAME = 1e-4  # relative; the network's output under the rules and without
# f(0) = 0: all relevance goes to the input, by the slope f(x) / x
ACTIVATIONS = frozenset(
    "relu relu_ relu6 gelu silu silu_ hardswish leaky_relu elu selu celu mish tanh hardtanh".split()  # noqa: SIM905
)
GATES = frozenset({"sigmoid", "sigmoid_", "hardsigmoid"})
PRODUCTS = frozenset({"mul", "__mul__", "__rmul__", "mul_", "__imul__", "multiply"})
MATRICES = frozenset({"matmul", "__matmul__", "bmm"})
INPLACE = frozenset({"relu_", "silu_", "sigmoid_", "mul_", "__imul__"})
INPLACE_AT = {"relu": 1, "silu": 1, "relu6": 1, "hardswish": 1, "mish": 1, "hardsigmoid": 1, "selu": 1}
# linear in what depends on the input, or (maximum) a choice of it
LINEAR = frozenset(
    """
    __add__ __get__ __getitem__ __iadd__ __isub__ __neg__ __radd__ __rsub__ __sub__ _max_pool2d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_max_pool2d add add_ amax avg_pool1d avg_pool2d batch_norm boolean_dispatch cat
    channel_shuffle chunk clone concat concatenate contiguous copy_ double dropout dropout1d dropout2d expand
    expand_as flatten flip float fn fold gather half index_select interpolate masked_fill max_pool2d mean moveaxis
    movedim narrow neg pad permute pixel_shuffle pixel_unshuffle repeat repeat_interleave requires_grad_ reshape
    reshape_as retain_grad roll select split squeeze stack sub sub_ sum swapaxes t tensor_split to transpose type
    type_as unbind unflatten unfold unsqueeze view view_as
    """.split()  # noqa: SIM905
)
# linear where one operand alone depends on the input
ONE_DEPENDS = (
    PRODUCTS
    | MATRICES
    | frozenset(
        "linear conv1d conv2d conv3d conv_transpose2d div __truediv__ div_ true_divide einsum".split()  # noqa: SIM905
    )
)


class Ruled(TorchFunctionMode):
    """Inside it every operation on what depends on the input goes backwards by its rule.

    Args:
        softmax: ``"taylor"``: by its own gradient; ``"constant"``: not at all.
        constants: what an earlier pass held, which is then held again; None: what this pass computes.

    Attributes:
        held: the constants, in the order in which they are used.
        unknown: the first operation that has no rule; empty where all have.
    """

    def __init__(self, softmax: Softmax, constants: Sequence[torch.Tensor] | None = None) -> None:
        super().__init__()
        self.softmax, self.unknown = softmax, ""
        self.held = list(constants or ())
        self._next = iter(self.held) if constants is not None else None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        depend = [part for part in tree_leaves((args, kwargs)) if isinstance(part, torch.Tensor) and part.requires_grad]
        if not depend or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            with instead(scaled_dot_product_attention=self._attention):
                return func(*args, **{**kwargs, "need_weights": False})
        if (rule := self._rule(func, name, len(depend))) is None:
            result = func(*args, **kwargs)
            moves = any(isinstance(part, torch.Tensor) and part.requires_grad for part in tree_leaves(result))
            if moves and (len(depend) > 1 if name in ONE_DEPENDS else name not in LINEAR):
                self.unknown = self.unknown or name
            return result
        return self._ruled(rule, name, args, kwargs)

    def _rule(self, func: Any, name: str, depend: int) -> Callable[..., torch.Tensor] | None:
        if name in ACTIVATIONS:
            return lambda x, *args, **kwargs: x * self._hold(_slope(x.detach(), func(x.detach(), *args, **kwargs)))
        if name in GATES:
            return lambda x, *args, **kwargs: self._hold(func(x.detach(), *args, **kwargs))
        if name == "softmax":
            return lambda *args, **kwargs: self._probabilities(func(*args, **kwargs))
        if name in (PRODUCTS | MATRICES) and depend > 1:
            return lambda a, b: self._product(torch.mul if name in PRODUCTS else torch.matmul, a, b)
        named: dict[str, Callable[..., torch.Tensor]] = {
            "scaled_dot_product_attention": self._attention, "layer_norm": self._layer_norm,
        }  # fmt: skip
        return named.get(name)

    def _ruled(self, rule: Callable[..., torch.Tensor], name: str, args: Any, kwargs: Any) -> torch.Tensor:
        """The rule's result; in place where the function is, which other readers of the tensor must see."""
        at = INPLACE_AT.get(name, len(args))
        within = bool(kwargs.pop("inplace", False)) or (len(args) > at and args[at] is True)
        within = within or name in INPLACE
        args = args[:at] if len(args) > at else args
        if not within:
            return rule(*args, **kwargs)
        target: torch.Tensor = args[0]
        return target.copy_(rule(target.clone(), *args[1:], **kwargs))

    def _hold(self, value: torch.Tensor) -> torch.Tensor:
        if self._next is not None:
            return next(self._next)
        self.held.append(value.detach())
        return self.held[-1]

    def _product(self, times: Callable[..., torch.Tensor], a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Half to each factor that depends on the input: (a b0 + a0 b) / 2; all of it where one alone does."""
        if not (a.requires_grad and b.requires_grad):
            return times(a, b)
        return (times(a, self._hold(b)) + times(self._hold(a), b)) / 2

    def _probabilities(self, result: torch.Tensor) -> torch.Tensor:
        return self._hold(result) if self.softmax == "constant" else result

    def _layer_norm(
        self,
        x: torch.Tensor,
        normalized_shape: Sequence[int],
        weight: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        eps: float = 1e-5,
    ) -> torch.Tensor:
        over = tuple(range(-len(normalized_shape), 0))
        spread = self._hold((x.var(over, keepdim=True, correction=0) + eps).sqrt())
        result = (x - x.mean(over, keepdim=True)) / spread
        result = result if weight is None else result * weight
        return result if bias is None else result + bias

    def _attention(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        product = partial(self._product, torch.matmul)
        return attention(*args, **kwargs, probabilities=self._probabilities, product=product)


def _slope(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """y / x; 0 where x is."""
    return torch.where(x == 0, torch.zeros_like(y), y / torch.where(x == 0, torch.ones_like(x), x))


def modified_gradient(
    core: Callable[[torch.Tensor], torch.Tensor], prepared: torch.Tensor, targets: torch.Tensor, softmax: Softmax
) -> tuple[torch.Tensor, Ruled, torch.Tensor]:
    """The target's logit's gradient by the rules at the bare network's input, the rules, and the logits."""
    x = leaf(prepared)
    with torch.enable_grad(), eager_mode(), Ruled(softmax) as ruled:
        logits = core(x)
        chosen = logits.gather(1, targets.view(-1, 1)).sum()
    if not chosen.requires_grad:
        return torch.zeros_like(x), ruled, logits.detach()
    (gradient,) = torch.autograd.grad(chosen, x, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient, ruled, logits.detach()


def unfit(model: Model, entry: Any, softmax: Softmax, name: str) -> str | None:
    """A reason where an operation of the network has no rule; None where the shape of its input is not known."""
    black = network_input(model, entry)
    reason = "" if black is None else checked(model, black.shape[1:], softmax)
    return f"{name}: {reason}; leave {name} out for this entry" if reason else None


def checked(model: Model, prepared_shape: Sequence[int], softmax: Softmax) -> str:
    """Why the rules do not fit the network, found once a model on seeded noise; empty where they do."""
    key = f"operations of LRP, softmax {softmax}"
    return once(model, key, lambda: _check(model, noise(model, prepared_shape), softmax))


def _check(model: Model, given: torch.Tensor, softmax: Softmax) -> str:
    if reason := scripted(model.network):
        return reason
    with torch.no_grad(), eager_mode():
        plain = model.core(given)
    try:
        gradient, ruled, logits = modified_gradient(model.core, given, plain.argmax(1), softmax)
    except (RuntimeError, TypeError, ValueError) as error:
        return f"the network fails where its operations go by rules ({str(error).splitlines()[0]})"
    if ruled.unknown:
        return f"it has no rule for the operation {ruled.unknown!r} on what depends on the input"
    if not torch.allclose(logits, plain, rtol=SAME, atol=SAME * float(plain.abs().max())):
        return "the network's output is another one under its rules"
    if not bool(gradient.isfinite().all()):
        return "its relevance is not finite"
    return "" if bool(gradient.flatten(1).any(1).all()) else "no relevance reaches the input"


def relevance(model: Model, inputs: torch.Tensor, targets: torch.Tensor, softmax: Softmax, name: str) -> torch.Tensor:
    """Relevance of the target's logit on the suite's grid, (N, C, H, W).

    Raises:
        RefusedError: an operation of the network has no rule; ``name`` is the explainer's.
    """
    prepared = model.prepared(inputs.detach()).detach()
    if reason := checked(model, prepared.shape[1:], softmax):
        raise RefusedError(f"{name}: {reason}; leave {name} out for this entry")
    gradient, _, _ = modified_gradient(model.core, prepared, targets, softmax)
    model.counter.forwards += len(inputs)
    model.counter.backwards += len(inputs)
    return through_geometry(model.geometry, inputs, (prepared * gradient).detach())
