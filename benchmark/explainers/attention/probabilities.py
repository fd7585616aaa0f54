"""The probabilities of every self-attention that runs, at the level of torch's functions, below every module.

``F.scaled_dot_product_attention`` is computed step by step, so that its probabilities exist and have a gradient;
``nn.MultiheadAttention`` shows a mode its ``multi_head_attention_forward`` alone, inside which that function and the
softmax are looked at; attention that a network writes out itself is a softmax over the last axis whose result is a
factor of the next product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

SOFTMAX = (F.softmax, torch.softmax, torch.Tensor.softmax)
PRODUCTS = (torch.matmul, torch.bmm, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.bmm)
KEEPING = (F.dropout, torch.dropout, torch.Tensor.to, torch.Tensor.type_as, torch.Tensor.contiguous, torch.Tensor.float)


class Probabilities(TorchFunctionMode):
    """Inside it the probabilities of every attention are kept, in the order in which they are used.

    Attributes:
        kept: (N, heads, T, S) each, still in autograd's graph; (N, 1, T, S) or (N heads, T, S) where the network has
            them so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[torch.Tensor] = []
        self._seen: dict[int, torch.Tensor] = {}  # results of a softmax, and what only copies them

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            with instead(scaled_dot_product_attention=self._attention, softmax=self._softmax(F.softmax)):
                return func(*args, **kwargs)
        result = func(*args, **kwargs)
        known = bool(args) and id(args[0]) in self._seen
        if known and func in PRODUCTS:
            self.kept.append(self._seen.pop(id(args[0])))
        elif _over_last_axis(func, args, kwargs, result) or (known and func in KEEPING):
            self._seen[id(result)] = result
        return result

    def _attention(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return attention(*args, **kwargs, probabilities=self._keep)

    def _softmax(self, plain: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return lambda *args, **kwargs: self._keep(plain(*args, **kwargs))

    def _keep(self, probabilities: torch.Tensor) -> torch.Tensor:
        self.kept.append(probabilities)
        return probabilities


def _over_last_axis(func: Any, args: Any, kwargs: Any, result: Any) -> bool:
    """Whether it is a softmax of matrices over their last axis."""
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return func in SOFTMAX and result.dim() > 2 and axis in (-1, result.dim() - 1)


@contextmanager
def instead(**functions: Callable[..., Any]) -> Iterator[None]:
    """Within it ``torch.nn.functional`` has these functions, by their names.

    For what ``multi_head_attention_forward`` calls: a mode is off while it handles a function.
    """
    plain = {name: getattr(F, name) for name in functions}
    try:
        for name, function in functions.items():
            setattr(F, name, function)
        yield
    finally:
        for name, function in plain.items():
            setattr(F, name, function)


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001 - part of the signature
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    probabilities: Callable[[torch.Tensor], torch.Tensor],
    product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = torch.matmul,
) -> torch.Tensor:
    """``F.scaled_dot_product_attention`` in evaluation (without dropout), step by step, as its documentation says.

    Args:
        probabilities: what becomes of them, (..., T, S), before they weigh the values.
        product: of query and key, and of probabilities and values.
    """
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(repeats, -3), value.repeat_interleave(repeats, -3)
    scores = product(query, key.transpose(-2, -1)) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    return product(probabilities(_softmax(_masked(scores, attn_mask, is_causal))), value)


def _masked(scores: torch.Tensor, mask: torch.Tensor | None, is_causal: bool) -> torch.Tensor:
    """Scores (..., T, S) with those that a mask (or what lies ahead) leaves out at minus infinity."""
    if is_causal:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(ahead, -math.inf)
    if mask is None:
        return scores
    return scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask


def _softmax(scores: torch.Tensor) -> torch.Tensor:
    """Over the last axis; a row of which everything is left out has zeros, as torch's own attention."""
    out = (scores == -math.inf).all(-1, keepdim=True)
    return torch.softmax(scores.masked_fill(out, 0), -1).masked_fill(out, 0)
