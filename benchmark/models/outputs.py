"""Networks that return objects, dicts or tuples: the tensor in them that is the output, and a word on it.

Transformers' models return objects with ``logits``, some of torchvision's and timm's dicts or tuples. A forward hook on
the network takes the tensor out, so that everything that calls the network sees a tensor, hooks of explainers included;
it goes away at the first call of a network that returns a tensor of single precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from benchmark.errors import EntryError

USUAL = "logits"


class Unwrap:
    """A forward hook that takes the output out of what a network returns.

    Args:
        key: dotted path to it, of names and numbers (``EntrySpec.output_key``); empty: ``logits``, else the first
            tensor of a tuple, else the only tensor.

    Attributes:
        words: what was done, once it was called; empty where nothing was.
    """

    def __init__(self, key: str = "") -> None:
        self.key, self.words = key, ""

    def __call__(self, network: nn.Module, _: Any, returned: Any) -> Any:
        """The output, in float32.

        Raises:
            EntryError: no tensor where the key says, or several and no key.
        """
        if isinstance(returned, torch.Tensor) and not self.key and returned.dtype not in HALF:
            for number, hook in list(network._forward_hooks.items()):
                if hook is self:
                    del network._forward_hooks[number]
            return None
        output, where = taken(returned, self.key)
        words = [f"the network's output is of type {type(returned).__name__}: its {where} is used"] if where else []
        if output.dtype in HALF:
            words.append(f"outputs are cast from {str(output.dtype).removeprefix('torch.')} to float32")
            output = output.float()
        self.words = "; ".join(words)
        return output


HALF = (torch.float16, torch.bfloat16)


def unwrapped(network: nn.Module, key: str = "") -> Unwrap:
    """Put the hook on a network."""
    hook = Unwrap(key)
    if not isinstance(network, torch.jit.ScriptModule):  # those take no hooks
        network.register_forward_hook(hook)
    return hook


def taken(returned: Any, key: str = "") -> tuple[torch.Tensor, str]:
    """The output in what a network returned, and where it was found; empty where it is that itself.

    Raises:
        EntryError: it is not to be found; says what there is.
    """
    if key:
        return _at(returned, key), key
    if isinstance(returned, torch.Tensor):
        return returned, ""
    kind = type(returned).__name__
    held = _parts(returned)
    if isinstance(held.get(USUAL), torch.Tensor):
        return held[USUAL], USUAL
    tensors = {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}
    ordered = isinstance(returned, Sequence) and not hasattr(returned, "_fields")
    if ordered and "0" in tensors:
        return tensors["0"], "first tensor"
    if len(tensors) == 1:
        return next(iter(tensors.values())), next(iter(tensors))
    what = f"a {kind} of {', '.join(held)}" if held else f"a {kind}"
    raise EntryError(
        f"the network returned {what}, expected a tensor: return the logits alone from forward, or say which part they"
        ' are with output_key in entry.toml, such as output_key = "logits"'
    )


def _parts(returned: Any) -> dict[str, Any]:
    """What a returned thing holds, by name or number."""
    if isinstance(returned, Mapping):
        return {str(name): value for name, value in returned.items()}
    if hasattr(returned, "_fields"):
        return dict(zip(returned._fields, returned, strict=True))
    if isinstance(returned, list | tuple):
        return {str(n): value for n, value in enumerate(returned)}
    return {name: value for name, value in vars(returned).items() if value is not None} if _plain(returned) else {}


def _plain(returned: Any) -> bool:
    return hasattr(returned, "__dict__") and not isinstance(returned, nn.Module | type)


def _at(returned: Any, key: str) -> torch.Tensor:
    """The tensor under a dotted key."""
    found = returned
    for part in key.split("."):
        held = _parts(found)
        if part not in held:
            there = f"it holds {', '.join(held)}" if held else f"it is a {type(found).__name__}"
            raise EntryError(f"the network's output has nothing under output_key = {key!r}: {there}")
        found = held[part]
    if not isinstance(found, torch.Tensor):
        raise EntryError(f"output_key = {key!r} leads to a {type(found).__name__}, expected a tensor")
    return found
