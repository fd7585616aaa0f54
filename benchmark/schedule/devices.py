"""Which devices a run is given."""

from __future__ import annotations

import os
import re

from benchmark.errors import UsageError


def devices(asked: str) -> list[str]:
    """Devices of ``--device``: ``auto`` (every CUDA device, else the CPU), ``cpu``, or ``cuda:0,cuda:1``.

    Raises:
        UsageError: no device of that name, or none such on this machine.
    """
    if asked != "auto":
        names = [name.strip() for name in asked.split(",") if name.strip()]
        _check_devices(names, asked)
        return names
    if os.path.exists("/dev/nvidia0") or os.path.exists("/dev/nvidiactl"):  # noqa: PTH110 - spares importing torch
        import torch

        if torch.cuda.is_available():
            return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return ["cpu"]


def _check_devices(names: list[str], asked: str) -> None:
    wrong = [name for name in names if not re.fullmatch(r"cpu|cuda(:\d+)?", name)]
    if wrong or not names:
        raise UsageError(f"--device {asked}: expected auto, cpu, or CUDA devices such as cuda:0,cuda:1")
    if names == ["cpu"]:
        return
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    missing = [name for name in names if name != "cpu" and int(name.partition(":")[2] or 0) >= there]
    if missing:
        raise UsageError(f"--device {asked}: no {missing[0]} here, torch sees {there} CUDA devices; use --device cpu")
