"""What the kinds of cells share: plugins, batches and random numbers of a cell, and columns put together."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.attacks.base import Attack, attacks
from benchmark.data.base import Batch
from benchmark.errors import NotApplicableError
from benchmark.schedule.context import Context
from benchmark.schedule.plan import probe_seed
from benchmark.spec.cell import Cell
from benchmark.tasks.base import Task, tasks

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model

Rows = dict[str, NDArray[Any]]
Outcome = tuple[Rows, "Artefacts", int]


@dataclass
class Artefacts:
    """What a cell leaves beside its rows: named arrays, and files such as pictures by name."""

    arrays: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def task_of(cell: Cell) -> Task:
    """The cell's task."""
    return tasks.make(cell.task.use, cell.task.arguments())


def attack_of(cell: Cell) -> Attack:
    """The cell's attack."""
    assert cell.plugin is not None
    return attacks.make(cell.plugin.use, cell.plugin.arguments())


def budget_of(cell: Cell) -> float | None:
    """The cell's budget."""

    return None if cell.eps is None else cell.eps.value


def draws(cell: Cell, at: slice, view: int = 0) -> Any:
    """Random numbers of some of the samples, under a view."""
    from benchmark.seeds import Draws, derive

    seeds = [probe_seed(cell, sample) for sample in cell.samples[at]]
    return Draws([derive(seed, "view", view) for seed in seeds] if view else seeds)


def png(picture: NDArray[np.uint8]) -> bytes:
    """A PNG file of (H, W) or (H, W, 3)."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def clean_rows(cell: Cell, context: Context) -> Rows:
    """Rows of the needed clean cell, cut to this cell's samples (a prefix of the clean cell's)."""
    rows = context.rows(cell.needs["clean"])
    return {name: values[: len(cell.samples)] for name, values in rows.items()}


def tensors(batch: Batch, at: slice | NDArray[np.intp], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of some of the samples, on the device."""
    import torch

    return torch.as_tensor(batch.inputs[at], device=device), torch.as_tensor(batch.labels[at], device=device)


def skip_if_asked(plugin: Any, cell: Cell, context: Context, model: Model, spec: Any) -> None:
    """Raise NotApplicableError where the plugin says that it does not apply, or the network has no gradient for it."""
    reason = without_gradient(plugin, model) or plugin.skip(
        model, spec, context.dataset(cell).index(cell.dataset.split)
    )
    if reason:
        raise NotApplicableError(reason)


def without_gradient(plugin: Any, model: Model) -> str:
    """Why a plugin that differentiates the network cannot; empty where it does not, or there is a gradient."""
    threat = getattr(plugin, "threat", None)
    descends = getattr(threat, "knowledge", "") == "white-box" and not plugin.control
    if not (descends or getattr(plugin, "needs_gradient", False)) or not (blocked := getattr(model, "blocked", ())):
        return ""
    return f"needs the network's gradient, which {', '.join(blocked[:3])} does not have"


def slices(n: int, size: int) -> list[slice]:
    """Consecutive slices of at most ``size``."""
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def joined(parts: Sequence[Rows]) -> Rows:
    """Columns of all parts; a part that lacks one (none of its samples was attacked) has NaN, 0 or "" there."""
    columns: Rows = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        like = next(np.asarray(part[name]) for part in parts if name in part)
        missing = np.nan if like.dtype.kind == "f" else "" if like.dtype.kind in "OU" else 0
        lengths = [len(next(iter(part.values()))) for part in parts]
        columns[name] = np.concatenate(
            [
                np.asarray(part[name]) if name in part else np.full(n, missing, dtype=like.dtype)
                for part, n in zip(parts, lengths, strict=True)
            ]
        )
    return columns
