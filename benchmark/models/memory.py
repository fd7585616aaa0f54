"""The key of a module in memory: sha256 over everything that decides what it computes.

An object is walked as a graph: tensors of every dtype, arrays, plain values and containers, the attributes of every
object, the byte code of every function of the user's with its defaults, its closure and the globals that it reads.
Code of installed distributions enters by version and RECORD, code of Assay by its own version. Two objects that compute
the same need not share a key; two that differ must not: what cannot be read (an open file, an object of C, code without
source) makes the key a new one every time.
"""

from __future__ import annotations

import dataclasses
import dis
import enum
import functools
import hashlib
import io
import itertools
import linecache
import logging
import os
import pickletools
import re
import sys
import sysconfig
import threading
import types
import weakref
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark.code import code_of
from benchmark.errors import DataError
from benchmark.files import file_sha256
from benchmark.registry import PROCESS, digest, library_version

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# numbered hooks, and what only concerns saving
APART = {"_non_persistent_buffers_set", "_parameters", "_buffers", "_modules", *HOOKS} | {
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
    "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs",
    "_is_full_backward_hook", "_compiled_call_impl", "_backward_hooks_with_kwargs",
}  # fmt: skip
OF_A_GRAPH = {"_graph", "_code", "_tracer_cls", "_lineno_map", "_prologue_start"}  # its code says the same
OF_A_CLASS = {  # what Python writes into a class
    "__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__annotate__", "__firstlineno__",
    "__static_attributes__", "__abstractmethods__", "_abc_impl", "__orig_bases__", "__parameters__",
    "__annotations_cache__", "__annotate_func__", "__dataclass_params__", "__dataclass_fields__",
}  # fmt: skip
MADE = {"__init__", "__repr__", "__eq__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__setattr__",
        "__delattr__", "__replace__", "__new__", "_replace", "_make", "_asdict"}  # fmt: skip
PATCHED = ("torch", "torch.nn.functional")
OUTSIDE = {  # what code may read that is no part of the object
    "environ": "the environment", "getenv": "the environment", "globals": "names by text", "eval": "names by text",
    "exec": "names by text", "__import__": "a module by text", "open": "a file", "read_text": "a file",
    "read_bytes": "a file",
}  # fmt: skip
CONSTRUCTING = frozenset({"__init__", "__new__", "__repr__", "__setstate__", "extra_repr"})
PICKLING = ("__reduce_ex__", "__reduce__", "__getstate__")
INERT = (logging.Logger, type(threading.Lock()), type(threading.RLock()), torch.utils.hooks.RemovableHandle)
PLAIN = (bool, int, float, complex, str, bytes, bytearray, type(None), type(Ellipsis), type(NotImplemented))
BY_NAME = (torch.device, torch.dtype, torch.layout, torch.memory_format, np.dtype, np.ufunc, range, slice)
_serial = itertools.count()


@dataclasses.dataclass(frozen=True)
class Key:
    """A key, and why it is a new one every time.

    Attributes:
        digest: sha256 (hex).
        unread: what could not be read, in words; then no other key equals this one.
    """

    digest: str
    unread: tuple[str, ...] = ()

    def line(self, name: str) -> str:
        """What a run says of a key that cannot be repeated; empty where it can."""
        if not self.unread:
            return ""
        more = f" (and {len(self.unread) - 1} more)" if len(self.unread) > 1 else ""
        return f"{name}: nothing of it can be resumed, its key is new at every call: cannot read {self.unread[0]}{more}"


def module_key(module: nn.Module, settings: Mapping[str, Any]) -> Key:
    """Key of a module with its preprocessing.

    Args:
        module: as it will be run.
        settings: JSON-able: mean, std and the like.
    """
    walker = Walker()
    walker.walk(module, type(module).__name__)
    for name in ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks"):
        walker.walk(list(getattr(torch.nn.modules.module, name, {}).values()), f"torch's {name}")
    key = digest([walker.hexdigest(), dict(settings), library_version("assay-benchmark")])
    if walker.unread:
        key = digest([key, PROCESS, next(_serial)])
    return Key(key, tuple(dict.fromkeys(walker.unread)))


class Walker:
    """Feeds a hash with an object and all that it reaches.

    Attributes:
        unread: what could not be read, in words.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._classes: dict[int, int] = {}
        self._looked: set[str] = set()
        self._alive: list[Any] = []  # an id is only an object's while it lives
        self.unread: list[str] = []

    def hexdigest(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()

    def put(self, *parts: str | bytes) -> None:
        """Feed some text or bytes, each with its length."""
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            self._hash.update(b"%d:" % len(raw))
            self._hash.update(raw)

    def walk(self, value: Any, where: str) -> None:
        """Feed an object; ``where`` is its place in words."""
        if isinstance(value, PLAIN) and type(value) in PLAIN:
            self.put(type(value).__name__, repr(value))
            return
        if id(value) in self._seen:
            self.put("again", str(self._seen[id(value)]))
            return
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        try:
            self._walk(value, where)
        except RecursionError:
            self.lost(where, "it is nested too deeply")
        except Exception as error:  # code of others: properties, __reduce__, __getstate__
            self.lost(where, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": "))

    def lost(self, where: str, why: str) -> None:
        """Note what cannot be read."""
        self.put("unread")
        self.unread.append(f"{where} ({why})")

    # -- by type ----------------------------------------------------------------------------------------------------

    def _walk(self, value: Any, where: str) -> None:
        for types_, method in _METHODS:
            if isinstance(value, types_):
                method(self, value, where)
                return
        self._object(value, where)

    def _tensor(self, value: torch.Tensor, where: str) -> None:
        self.put("tensor", type(value).__name__, str(value.dtype), str(tuple(value.shape)), str(value.layout))
        own = {k: v for k, v in vars(value).items() if not k.startswith("_")}  # Python's attributes of it
        self.walk(own or None, f"the attributes of {where}")
        self.walk(value.grad if value.is_leaf else None, f"the gradient of {where}")
        if type(value) not in (torch.Tensor, nn.Parameter, nn.Buffer):
            self._subclass(value, where)
            return
        with torch.no_grad():
            value = value.detach()
            if value.is_meta:
                self.lost(where, "a tensor without values, on the device meta")
            elif value.is_quantized:
                self._quantized(value, where)
            elif value.layout is torch.sparse_coo:
                value = value.coalesce()
                self._all([value.indices(), value.values()], where)
            elif value.layout is not torch.strided:
                parts = ("crow_indices", "col_indices", "ccol_indices", "row_indices", "values")
                rows = value.layout in (torch.sparse_csr, torch.sparse_bsr)
                wanted = [part for part in parts if part == "values" or part.startswith(("cr", "col")) == rows]
                self._all([getattr(value, part)() for part in wanted], where)
            else:
                self.put(raw_bytes(value))

    def _quantized(self, value: torch.Tensor, where: str) -> None:
        self.put(str(value.qscheme()), raw_bytes(value.int_repr()))
        if value.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            self.put(repr(value.q_scale()), repr(value.q_zero_point()))
        else:
            parts = [value.q_per_channel_scales(), value.q_per_channel_zero_points(), value.q_per_channel_axis()]
            self._all(parts, where)

    def _subclass(self, value: torch.Tensor, where: str) -> None:
        self._class(type(value), where)
        if hasattr(value, "__tensor_flatten__"):
            names, context = value.__tensor_flatten__()
            self._all([*(getattr(value, name) for name in names), context], where)
        else:
            self.lost(where, f"a {type(value).__name__}, a kind of tensor that does not say what it is made of")

    def _array(self, value: np.ndarray[Any, Any], where: str) -> None:
        self.put("array", value.dtype.str, repr(value.dtype.descr), str(value.shape))
        if type(value) is not np.ndarray:  # such as a masked one
            self._class(type(value), where)
            self._attributes(value, where)
            self._pickled(value, where)
        if value.dtype.hasobject:
            self._all(value.reshape(-1).tolist(), where)
        else:
            self.put(np.ascontiguousarray(value).tobytes())

    def _mapping(self, value: Mapping[Any, Any], where: str) -> None:
        self._of_type(value, where)
        for key, inner in value.items():
            self.walk(key, f"a key of {where}")
            self.walk(inner, f"{where}[{key!r}]" if isinstance(key, str | int) else where)

    def _sequence(self, value: Any, where: str) -> None:
        self._of_type(value, where)
        self._all(list(value), where)

    def _set(self, value: Any, where: str) -> None:
        """Sets have no order: the digests of their elements are sorted."""
        self._of_type(value, where)
        items = []
        for inner in value:
            walker = Walker()
            walker.walk(inner, f"an element of {where}")
            items.append(walker.hexdigest())
            self.unread += walker.unread
        self.put("set", *sorted(items))

    def _all(self, values: list[Any], where: str) -> None:
        self.put(str(len(values)))
        for i, inner in enumerate(values):
            self.walk(inner, f"{where}[{i}]")

    def _of_type(self, value: Any, where: str) -> None:
        """The type, and the attributes of an instance of a class of the user's that extends a container."""
        self.put(type(value).__name__)
        if type(value).__module__ not in ("builtins", "collections"):
            self._class(type(value), where)
            self._attributes(value, where)

    def _enum(self, value: enum.Enum, where: str) -> None:
        self.put("enum", type(value).__qualname__, value.name)
        self.walk(value.value, where)
        self._class(type(value), where)

    def _module(self, value: nn.Module, where: str) -> None:
        """Parameters, buffers and parts in their order, hooks without their numbers, every other attribute."""
        if isinstance(value, torch.jit.ScriptModule):
            self._scripted(value)
            return
        if isinstance(value, torch.fx.GraphModule):
            self.put("graph", value.code)
        else:
            self._class(type(value), where)
        original = value.__dict__.get("_modules", {}).get("_orig_mod")
        if original is not None and type(value).__module__.startswith("torch._dynamo"):
            self.put("compiled")
            self.walk(original, where)
            return
        for part in ("_parameters", "_buffers", "_modules"):
            for name, inner in value.__dict__.get(part, {}).items():
                self.put(part, name)
                self.walk(inner, f"{where}.{name}")
        for part in HOOKS:
            self._all(list((value.__dict__.get(part) or {}).values()), f"{where}.{part}")
        self._attributes(value, where, APART | (OF_A_GRAPH if isinstance(value, torch.fx.GraphModule) else set()))
        if type(value).get_extra_state is not nn.Module.get_extra_state:
            self.walk(value.get_extra_state(), f"{where}'s extra state")

    def _scripted(self, value: torch.jit.ScriptModule) -> None:
        """The archive that torch.jit.save would write, but for where its source came from."""
        buffer = io.BytesIO()
        torch.jit.save(value, buffer)
        with zipfile.ZipFile(buffer) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith((".debug_pkl", "/byteorder", "/.data/serialization_id")):
                    content = archive.read(name)
                    if name.endswith(".pkl"):  # whose lengths of names differ with their numbers
                        steps = ((step.name, argument) for step, argument, _ in pickletools.genops(content))
                        content = repr([step for step in steps if step[0] != "FRAME"]).encode()
                    parts = (name.partition("/")[2].encode(), content)
                    self.put(*(re.sub(rb"___torch_mangle_\d+\.?", b"", part) for part in parts))

    # -- code -------------------------------------------------------------------------------------------------------

    def _function(self, value: types.FunctionType, where: str) -> None:
        """Byte code of the user's functions; of all functions the defaults and what their closures hold."""
        code, owner = value.__code__, owner_of(value.__code__.co_filename)
        self.put("function", owner, value.__qualname__)
        here = f"{value.__qualname__} of {where}"
        self.walk(value.__defaults__, f"the defaults of {here}")
        self.walk(value.__kwdefaults__, f"the defaults of {here}")
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:  # not set yet
                content = None
            self.walk(content, f"{name!r} in the closure of {here}")
        self.walk({k: v for k, v in vars(value).items() if k != "__wrapped__"}, f"the attributes of {here}")
        if owner:
            return
        if not linecache.getlines(code.co_filename, value.__globals__):
            self.lost(here, "code without source")
        self._code(code)
        read, attributes, imported = names_of(code)
        outside = sorted((read & OUTSIDE.keys() - value.__globals__.keys()) | (attributes & OUTSIDE.keys()))
        if outside and value.__name__ not in CONSTRUCTING:
            self.lost(here, f"it reads {OUTSIDE[outside[0]]} when it is called ({outside[0]})")
        for name in sorted(read & value.__globals__.keys()):
            member = value.__globals__[name]
            if isinstance(member, types.ModuleType):
                self._python_module(member, f"the module {name!r} that {here} reads", attributes)
            else:
                self.put(name)
                self.walk(member, f"the global {name!r} that {here} reads")
        for name in sorted(imported):
            self.put(*itertools.chain(*code_of_cached(name)))

    def _code(self, code: types.CodeType) -> None:
        self.put(code.co_code, repr((code.co_names, code.co_varnames, code.co_freevars, code.co_flags)))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant)
            elif isinstance(constant, frozenset):
                self.put(repr(sorted(map(repr, constant))))
            else:
                self.put(type(constant).__name__, repr(constant))

    def _python_module(self, value: types.ModuleType, where: str, names: frozenset[str] = frozenset()) -> None:
        """A module by its distribution; one of the user's by its files and the values that are read of it."""
        self.put("module", value.__name__)
        owner = owner_of(getattr(value, "__file__", None) or "")
        builtin = not getattr(value, "__file__", None) and value.__name__ in sys.builtin_module_names
        if owner or builtin:
            self.put(owner)
            return
        self.put(*itertools.chain(*code_of_cached(value.__name__)))
        for name in sorted(names & vars(value).keys()):
            member = vars(value)[name]
            self.put(name)
            if isinstance(member, types.ModuleType):
                if id(member) not in self._seen:
                    self._seen[id(member)] = len(self._seen)
                    self._python_module(member, f"{name} of {where}", names)
            else:
                self.walk(member, f"{name} of {where}")

    def _class(self, cls: type, where: str) -> None:
        """Every class in the order of resolution: the user's by what stands in them, others by their distribution."""
        if id(cls) in self._classes:
            self.put("class again", str(self._classes[id(cls)]))
            return
        self._classes[id(cls)] = len(self._classes)
        self._alive.append(cls)
        for base in cls.__mro__:
            owner = owner_of(_file_of(base))
            self.put("class", owner, base.__module__ if owner else "", base.__qualname__)
            if owner:  # but what somebody put into it
                patched = {k: v for k, v in vars(base).items() if isinstance(v, types.FunctionType)}
                patched = {k: v for k, v in patched.items() if not owner_of(v.__code__.co_filename)}
                if owner == "python":  # whose named tuples have no source
                    patched = {k: v for k, v in patched.items() if k not in MADE}
                if patched:
                    self.walk(patched, f"what was put into {base.__qualname__}")
                self._library_class(base)
                continue
            made = MADE if dataclasses.is_dataclass(base) or hasattr(base, "_field_defaults") else set()
            for name, value in vars(base).items():
                if name not in OF_A_CLASS:
                    self.put(name)
                    self._member(value, f"{base.__qualname__}.{name}", made=name in made)
        if owner_of(_file_of(type(cls))) == "":
            self._class(type(cls), where)

    def _library_class(self, base: type) -> None:
        """What may have been set in a class of a library, or in its module: plain values, other functions."""
        kinds = (torch.Tensor, np.ndarray, list, tuple, dict, set)
        for name, value in vars(base).items():
            if isinstance(value, types.FunctionType):
                self.put(name, value.__module__ or "", value.__qualname__)
            elif not name.startswith(("__", "_abc")) and (isinstance(value, kinds) or type(value) in PLAIN):
                self.put(name)
                self.walk(value, f"{base.__qualname__}.{name}")
        for module in {base.__module__, *PATCHED}:
            self._patched(module)

    def _patched(self, name: str) -> None:
        """Functions of the user's that stand in a module of a library."""
        if name in self._looked or name.partition(".")[0] not in ("torch", "torchvision", "timm", "transformers"):
            return
        self._looked.add(name)
        for key, value in sorted(vars(sys.modules[name]).items()) if name in sys.modules else ():
            if isinstance(value, types.FunctionType) and not owner_of(value.__code__.co_filename):
                self.put(name, key)
                self.walk(value, f"{name}.{key}, which was put there")

    def _member(self, value: Any, where: str, *, made: bool) -> None:
        function = getattr(value, "__func__", value)
        if made and isinstance(function, types.FunctionType) and not _has_author(function):
            self.put("made")  # of the fields, by Python
        elif isinstance(value, property):
            self._all([value.fget, value.fset, value.fdel], where)
        elif isinstance(value, staticmethod | classmethod):
            self.walk(value.__func__, where)
        elif isinstance(value, functools.cached_property):
            self.walk(value.func, where)
        elif isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType):
            self.put("slot")
        else:
            self.walk(value, where)

    def _builtin(self, value: Any, where: str) -> None:
        self.put("builtin", getattr(value, "__module__", None) or "", getattr(value, "__qualname__", repr(value)))
        bound = getattr(value, "__self__", None)
        if bound is not None and not isinstance(bound, types.ModuleType):
            self.walk(bound, where)

    # -- objects ----------------------------------------------------------------------------------------------------

    def _attributes(self, value: Any, where: str, apart: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        names = dict(vars(value)) if hasattr(value, "__dict__") else {}
        for base in type(value).__mro__:
            slots = vars(base).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                private = name.startswith("__") and not name.endswith("__")
                real = f"_{base.__name__.lstrip('_')}{name}" if private else name
                if name not in ("__dict__", "__weakref__") and hasattr(value, real):
                    names[real] = getattr(value, real)
        for name, inner in names.items():
            if name not in apart:
                self.put(str(name))
                self.walk(inner, f"{where}.{name}")

    def _object(self, value: Any, where: str) -> None:
        """An instance: its class and attributes; what is made of C as it would be pickled."""
        cls = type(value)
        if _opaque(value):
            self.lost(where, f"an open {cls.__name__}" if isinstance(value, io.IOBase) else f"a {cls.__name__}")
            return
        self._class(cls, where)
        self._attributes(value, where)
        native = any(not isinstance(getattr(cls, name, None), types.FunctionType | type(None))
                     and getattr(cls, name, None) is not getattr(object, name, None) for name in PICKLING)  # fmt: skip
        try:
            plain = None if native else object.__reduce_ex__(value, 2)  # refused where C keeps something in it
        except Exception:
            plain = None
        if plain is None:
            self._pickled(value, where)

    def _pickled(self, value: Any, where: str) -> None:
        """What an object of C says of itself to be made again."""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:
            self.lost(where, f"a {type(value).__name__}, an object that Python cannot look into")
            return
        if isinstance(reduced, str):
            self.put(reduced)
            return
        called, arguments, *rest = reduced
        self.walk(called, where)
        self._all([part for part in arguments if part is not value], where)
        self.walk(rest[0] if rest else None, f"the state of {where}")
        for part in rest[1:3]:
            self._all(list(part or ()), where)


def _named(walker: Walker, value: Any, _: str) -> None:
    walker.put(type(value).__name__, repr(value))


def _extended(walker: Walker, value: Any, where: str) -> None:
    """A value of a class of the user's that extends a number or a text."""
    walker.put(repr(value))
    walker._of_type(value, where)


def _path(walker: Walker, value: Path, where: str) -> None:
    """A path, and what a file there holds."""
    walker.put("path", str(value))
    if value.is_file():
        try:
            walker.put(file_sha256(value))
        except DataError as error:
            walker.lost(where, str(error))


def _generator(walker: Walker, value: torch.Generator, where: str) -> None:
    walker.put("generator", str(value.device))
    walker.walk(value.get_state(), where)


def _partial(walker: Walker, value: functools.partial[Any], where: str) -> None:
    walker.put("partial")
    walker._all([value.func, value.args, value.keywords], where)


_METHODS: tuple[tuple[Any, Callable[[Walker, Any, str], None]], ...] = (
    (INERT, lambda walker, value, _: walker.put("inert", type(value).__name__)),
    (torch.Tensor, Walker._tensor),
    (np.ndarray, Walker._array),
    (np.generic, lambda walker, value, where: walker._array(np.asarray(value), where)),
    (nn.Module, Walker._module),
    (torch.Generator, _generator),
    (Path, _path),
    (enum.Enum, Walker._enum),
    ((torch.Size, *BY_NAME), _named),
    (re.Pattern, lambda walker, value, _: walker.put("pattern", repr(value.pattern), str(value.flags))),
    ((dict, types.MappingProxyType), Walker._mapping),
    ((list, tuple), Walker._sequence),
    ((set, frozenset), Walker._set),
    (PLAIN, _extended),
    (type, Walker._class),
    (types.FunctionType, Walker._function),
    (types.MethodType, lambda walker, value, where: walker._all([value.__func__, value.__self__], where)),
    (functools.partial, _partial),
    (weakref.ReferenceType, lambda walker, value, where: walker.walk(value(), where)),
    (types.ModuleType, Walker._python_module),
    (
        (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType),
        Walker._builtin,
    ),
)  # fmt: skip


def raw_bytes(value: torch.Tensor) -> bytes:
    """The values of a strided tensor of any dtype and device, row by row."""
    value = value.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    raw: bytes = value.view(torch.uint8).numpy().tobytes() if value.numel() else b""
    return raw


def _has_author(function: types.FunctionType) -> bool:
    """Somebody wrote it: it was not put together by dataclasses or collections."""
    file = function.__code__.co_filename
    return file != "<string>" and not file.startswith("<") and owner_of(file) != "python"


def _opaque(value: Any) -> bool:
    kinds = (io.IOBase, types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, types.FrameType)
    return isinstance(value, kinds) and not isinstance(value, io.BytesIO | io.StringIO)


@cache
def owner_of(file: str) -> str:
    """The installed distributions, "python" or "assay", that a file of code belongs to; "" for the user's own."""
    if not file:
        return ""
    if file.startswith("<frozen"):
        return "python"
    real = os.path.realpath(file)
    ours = os.path.realpath(Path(__file__).parents[1])
    if real.startswith(ours + os.sep):
        return f"assay {file_sha256(Path(real))}"
    paths = sysconfig.get_paths()
    for place in {os.path.realpath(paths[name]) for name in ("purelib", "platlib")}:
        if real.startswith(place + os.sep):
            top = Path(real).relative_to(place).parts[0].removesuffix(".py")
            owners = code_of(top)
            return repr(sorted(owners.items())) if owners and all("==" in name for name in owners) else ""
    for place in {os.path.realpath(paths[name]) for name in ("stdlib", "platstdlib")}:
        if real.startswith(place + os.sep) and "site-packages" not in real:
            return "python"
    return ""


def _file_of(cls: type) -> str:
    """Where a class comes from, as :func:`owner_of` wants it."""
    if not cls.__flags__ & (1 << 9) or cls.__module__ in sys.builtin_module_names:
        return "<frozen native>"
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    if not file and cls.__module__ in sys.stdlib_module_names:
        return "<frozen native>"
    return file


@cache
def code_of_cached(module: str) -> tuple[tuple[str, str], ...]:
    """:func:`benchmark.code.code_of`, once a process: what was imported is what runs."""
    return tuple(code_of(module).items())


def names_of(code: types.CodeType) -> tuple[set[str], frozenset[str], set[str]]:
    """Names that code reads as globals, names of attributes, and top-level names of modules that it imports."""
    read: set[str] = set()
    attributes: set[str] = set()
    imported: set[str] = set()
    for part in _codes(code):
        for step in dis.get_instructions(part):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                read.add(str(step.argval))
            elif step.opname == "IMPORT_NAME":
                imported.add(str(step.argval).partition(".")[0])
            elif step.opname.startswith(("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")):
                attributes.add(str(step.argval))
    return read, frozenset(attributes), imported - {""}


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
