"""What runs inside a worker process of the pool. One worker a slot, one device a worker."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
_state: dict[str, Any] = {}


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told at its start.

    Attributes:
        folder: the results folder.
        device: device as the worker sees it; ``visible`` is its CUDA_VISIBLE_DEVICES ("" hides all GPUs).
        share: of the device's memory that is this worker's, in (0, 1].
        threads: CPU threads of torch.
        include: plugin files to import.
        parent: process id that the worker must not survive.
    """

    folder: Path
    device: str
    visible: str | None
    threads: int
    include: tuple[Path, ...]
    parent: int
    share: float = 1.0


def start(settings: WorkerSettings) -> None:
    """Initializer of the worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    die_with(settings.parent)
    if settings.visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = settings.visible
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(settings.threads)
    os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")  # joblib else leaves a semaphore behind in every worker
    _state["settings"] = settings


def die_with(parent: int) -> None:
    """End this process when its parent ends: by the kernel on Linux, and by a watching thread everywhere."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="assay-parent-watch").start()


def _context() -> Any:
    if "context" not in _state:
        import torch
        from tqdm import tqdm

        from benchmark.registry import include
        from benchmark.schedule.context import Context
        from benchmark.store.folder import Store

        settings: WorkerSettings = _state["settings"]
        torch.set_num_threads(settings.threads)
        tqdm.set_lock(threading.RLock())  # its own lock is a semaphore that outlives a terminated worker
        include(settings.include)
        _state["store"] = Store(settings.folder)
        if settings.device.startswith("cuda") and settings.share < 1:  # a neighbour's memory is not this one's to take
            torch.cuda.set_per_process_memory_fraction(settings.share, settings.device)
        _state["context"] = Context(_state["store"], settings.device, share=settings.share)
    return _state["context"]


def prepare(cell: Any) -> str:
    """Load the cell's model, so that the cell's time limit starts after that; a failure is told by the cell itself.

    Returns:
        the device's name, "" where it cannot be told.
    """
    import contextlib

    from benchmark.schedule.provenance import device_name

    context = _context()
    with contextlib.suppress(Exception, SystemExit):
        context.model(cell)
        context.batch(cell)
    with contextlib.suppress(Exception):
        return device_name(context.device)
    return ""


@dataclass(frozen=True)
class Ended:
    """What the driver of a run is told of a cell whose record is written."""

    status: str
    reason: str
    seconds: float
    batch_size: int


def work(cell: Any, attempt: int, batch_size: int | None = None, ahead: Any = None) -> Ended:
    """Run a cell and write its record; the samples of the cell ``ahead`` are read meanwhile.

    Raises:
        PoisonedError: nothing more can run in this process; no record is written.
        StoreError: the record could not be written (disk full); the run stops.
    """
    from benchmark.schedule.cell import run_cell

    context = _context()
    if ahead is not None:
        context.read_ahead(ahead)
    record = run_cell(cell, context, attempt, batch_size)
    _state["store"].write(record)
    return Ended(record.status, record.reason, record.seconds, record.batch_size)
