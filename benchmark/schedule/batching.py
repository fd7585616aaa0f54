"""Samples a forward: estimated once for a model, probe and device, halved where memory runs out, remembered.

The result of a cell does not depend on it (a third-party attack that draws for a whole batch has its own, hashed).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.registry import digest
from benchmark.spec.cell import Cell
from benchmark.store.atomic import write_atomic
from benchmark.store.folder import Store

if TYPE_CHECKING:
    from benchmark.models.wrap import Model

FILE = "batch_sizes.json"
SAFE = 0.7  # of the free memory: an attack keeps a few copies of its batch beside the network's activations


def batch_key(cell: Cell, device: str) -> str:
    """Model, probe and device (by its name): what a batch size is good for."""
    plugins = [part.hashed() for part in (cell.plugin, cell.explainer) if part is not None]
    return f"{cell.model} {cell.entry[:12]} {cell.kind} {cell.probe} {digest(plugins)[:12]} {device}"


@dataclass
class BatchSizes:
    """Batch sizes found so far, in ``batch_sizes.json`` of the results folder; the driver of a run keeps them."""

    store: Store
    _sizes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            known = json.loads((self.store.folder / FILE).read_text())
            self._sizes = {str(key): int(size) for key, size in known.items()}
        except (OSError, ValueError, AttributeError, TypeError):  # none yet, or a damaged one: they are found again
            self._sizes = {}

    def of(self, cell: Cell, device: str) -> int | None:
        """The batch size of such a cell on a device, or None where it is still to be found."""
        return self._sizes.get(batch_key(cell, device))

    def keep(self, cell: Cell, device: str, size: int) -> None:
        """A cell ran with this batch size in the end; on a CPU the suite's own size needs no remembering."""
        key = batch_key(cell, device)
        asked = size >= cell.batch_size and device.startswith("cpu")
        if size > 0 and not asked and self._sizes.get(key) != size:
            self._sizes[key] = size
            data = json.dumps(self._sizes, indent=1, sort_keys=True) + "\n"
            write_atomic(self.store.folder / FILE, data.encode(), sync=False)


def estimate(
    model: Model, inputs: np.ndarray[Any, Any], most: int, peak: Callable[[Callable[[], None]], int], free: int
) -> int:
    """Samples whose forward and backward fit into the free memory.

    Args:
        model: the cell's.
        inputs: (N, ...) of the cell.
        most: never more than this.
        peak: bytes that a call takes at its peak, above what was taken before.
        free: bytes.

    Returns:
        in [1, most]; ``most`` where the network cannot be measured like this.
    """
    if len(inputs) < 2 or most < 2:
        return most
    try:
        one, two = (peak(lambda n=n: _gradient(model, inputs[:n])) for n in (1, 2))  # type: ignore[misc]
    except Exception:  # a network without a gradient, or one that not even two samples fit: the cell itself will tell
        return most
    if two <= one:
        return most
    return max(1, min(most, int(SAFE * free / (two - one))))


def _gradient(model: Model, inputs: np.ndarray[Any, Any]) -> None:
    import torch

    with torch.enable_grad():
        x = torch.as_tensor(inputs, device=next(model.parameters()).device).requires_grad_(True)
        torch.autograd.grad(model(x).abs().sum(), x)


def cuda_estimate(model: Model, inputs: np.ndarray[Any, Any], most: int, device: str, share: float) -> int:
    """:func:`estimate` with the memory of a CUDA device, of which a share is this worker's."""
    import torch

    def peak(call: Callable[[], None]) -> int:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before

    free, total = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    own = int(share * total) - torch.cuda.memory_allocated(device)
    return estimate(model, inputs, most, peak, min(free + cached, own))
