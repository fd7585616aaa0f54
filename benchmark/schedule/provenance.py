"""Where a record came from: versions, device, date; and how much memory it took."""

from __future__ import annotations

import contextlib
import datetime
import functools
import platform
import sys

from benchmark.registry import library_version

LIBRARIES = ("torch", "torchvision", "foolbox", "torchattacks", "captum", "zennit", "quantus", "numpy")


@functools.cache
def versions() -> dict[str, str]:
    """Of Assay, Python and the libraries that do the work."""
    versions = {"assay": library_version("assay-benchmark"), "python": platform.python_version()}
    return versions | {name: library_version(name) for name in LIBRARIES}


@functools.cache
def device_name(device: str) -> str:
    """Name of a device for people, such as ``"NVIDIA H100"`` or the processor's architecture."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()})"


def provenance(device: str) -> dict[str, str]:
    """Versions of Assay, Python and libraries, device and date (UTC)."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**versions(), "device": device_name(device), "date": now}


def reset_peak_memory(device: str) -> bool:
    """Start a new peak; False where (on a CPU) the operating system cannot: peaks are then those of the process."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return True
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "wb", buffering=0) as file:  # noqa: PTH123
        file.write(b"5")  # Linux: the resident peak starts again
        return True
    return False


def peak_memory_mb(device: str) -> float:
    """Peak of device memory since the reset; on a CPU that of the process' memory (since its start, where
    :func:`reset_peak_memory` says False)."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        with open("/proc/self/status", "rb") as file:  # noqa: PTH123 - three times as fast as pathlib, once a cell
            resident = file.read().partition(b"VmHWM:")[2].split(maxsplit=1)[0]
        return int(resident) * 1024 / 1e6
    except (OSError, IndexError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # no such module on Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
