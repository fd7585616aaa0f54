"""Torch's own numerical settings around every cell, whatever the caller or another entry's code has set.

Default dtype, determinism, TF32, autocast, gradient mode and default device decide numbers and are in no key: so they
are the same for all, and put back afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

DEVICE_TYPES = ("cpu", "cuda")


@contextmanager
def default_numerics() -> Iterator[None]:
    """Inside the block torch computes as in a fresh process; the caller's settings are put back after it."""
    import torch

    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    flags: list[tuple[Any, str, object]] = [
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", False),
        (cudnn, "allow_tf32", True),
    ]
    flags += [(matmul, "allow_tf32", False), (torch.backends.mkldnn, "enabled", True)]
    before = [(where, name, _get(where, name)) for where, name, _ in flags]
    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    with ExitStack() as stack:
        try:
            torch.set_default_dtype(torch.float32)
            _determine(False, warn_only=False)
            torch.set_float32_matmul_precision("highest")
            for where, name, value in flags:
                _set(where, name, value)
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            if torch.get_default_device().type != "cpu":  # a mode that slows every call down
                stack.enter_context(torch.device("cpu"))
            for kind in DEVICE_TYPES:
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            yield
        finally:
            stack.close()
            torch.set_default_dtype(dtype)
            _determine(deterministic, warn_only=warn_only)
            torch.set_float32_matmul_precision(precision)
            for where, name, old in before:
                if old is not None:
                    _set(where, name, old)


def _determine(mode: bool, *, warn_only: bool) -> None:
    """Only where it differs: the call imports torch's compiler, which takes seconds."""
    import torch

    before = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    if before != (mode, warn_only):
        torch.use_deterministic_algorithms(mode, warn_only=warn_only)


def _get(where: object, name: str) -> object:
    """None where torch's newer settings of precision are in use, which the old ones may not be mixed with."""
    try:
        return getattr(where, name)
    except RuntimeError:
        return None


def _set(where: object, name: str, value: object) -> None:
    """Only where it differs: some of these are set by a call that looks at the device."""
    if _get(where, name) not in (None, value):
        setattr(where, name, value)
