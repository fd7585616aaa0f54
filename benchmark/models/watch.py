"""What a network really runs when it is called: operations of torch with the modules that run them, below every hook.

Hooks on modules see no function, nothing inside a scripted module, and nothing of a compiled one whose graph is kept.
What stands here sees all of it, so that a method that works by hooks can say where it would be silently another one.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Operation:
    """One operation on something that depends on the input.

    Attributes:
        name: of the operation without its overload, such as ``"convolution"``.
        modules: dotted names of the modules it ran in, outermost (the network, ``""``) first.
        operands: how many of its tensors depend on the input.
    """

    name: str
    modules: tuple[str, ...]
    operands: int

    @property
    def where(self) -> str:
        """Dotted name of the innermost module."""
        return self.modules[-1]


T = TypeVar("T")
_found: WeakKeyDictionary[nn.Module, dict[str, Any]] = WeakKeyDictionary()


def once(model: nn.Module, key: str, find: Callable[[], T]) -> T:
    """What ``find`` says of a model, found once as long as the model lives (its weights may change, its code not)."""
    known = _found.setdefault(model, {})
    if key not in known:
        known[key] = find()
    value: T = known[key]
    return value


def eager_mode() -> AbstractContextManager[Any]:
    """Inside it compiled modules and functions run as they were written, so that hooks on them fire."""
    if "torch._dynamo" not in sys.modules:  # nothing can have been compiled
        return contextlib.nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def scripted(network: nn.Module) -> str | None:
    """A reason where a part of the network is scripted or traced: hooks inside it never fire."""
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            part = f"its module {name!r}" if name else "the network"
            return f"{part} is scripted or traced, where no hook fires; give the module it was made from"
    return None


@dataclass
class Run:
    """One call of a network.

    Attributes:
        running: dotted names of the modules that are running, outermost first, kept up to date.
        called: dotted names in the order in which the modules were called.
        operations: on what depends on the input, in order.
    """

    running: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)


@contextmanager
def inside(network: nn.Module) -> Iterator[Run]:
    """Yields what is kept up to date about the network's modules while it is open."""
    run, handles = Run(), []
    for name, module in network.named_modules():

        def enter(_module: nn.Module, _given: Any, name: str = name) -> None:
            run.running.append(name)
            run.called.append(name)

        def leave(_module: nn.Module, _given: Any, _output: Any) -> None:
            run.running.pop()

        handles.append(module.register_forward_pre_hook(enter, prepend=True))
        handles.append(module.register_forward_hook(leave))
    try:
        yield run
    finally:
        for handle in handles:
            handle.remove()


class _Record(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, run: Run) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run = run

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, torch.Tensor)]
        operands = sum(tensor.requires_grad for tensor in given)
        if operands:
            name, modules = func.overloadpacket.__name__, tuple(self.run.running) or ("",)
            self.run.operations.append(Operation(name, modules, operands))
        return func(*args, **(kwargs or {}))


def watched(network: nn.Module, inputs: torch.Tensor) -> Run:
    """What the network does with these inputs, in aten's operations; compiled parts run as they were written.

    Args:
        network: with its parameters frozen, so that what asks for a gradient depends on the input.
        inputs: of the network itself.
    """
    given = inputs.detach().clone().requires_grad_()
    with eager_mode(), torch.enable_grad(), inside(network) as run, _Record(run):
        network(given.clone())
    return run
