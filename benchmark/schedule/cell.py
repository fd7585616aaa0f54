"""``run_cell``: one cell to one record. Knows no engine; every engine calls it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.attacks.base import attacks
from benchmark.data.base import Batch
from benchmark.errors import AssayError, NotApplicableError, PoisonedError, UsageError
from benchmark.explainers.base import explainers
from benchmark.metrics.base import metrics
from benchmark.registry import Registry
from benchmark.schedule.attacking import attack_cell, fit, generate_cell
from benchmark.schedule.batching import cuda_estimate
from benchmark.schedule.context import Context, model_key
from benchmark.schedule.drifting import drift_cell
from benchmark.schedule.explaining import explain_cell, score_cell
from benchmark.schedule.faults import out_of_memory, poisons
from benchmark.schedule.numerics import default_numerics
from benchmark.schedule.parts import (
    Artefacts,
    Outcome,
    attack_of,
    joined,
    skip_if_asked,
    slices,
    task_of,
    tensors,
)
from benchmark.schedule.provenance import peak_memory_mb, provenance, reset_peak_memory
from benchmark.schedule.similarity import similarity_cell
from benchmark.spec.cell import KINDS, Cell, CellKind, PluginRef
from benchmark.store.record import Record, strings
from benchmark.tasks.base import tasks

if TYPE_CHECKING:
    from benchmark.models.wrap import Model

REASON_LINES = 12


def run_cell(cell: Cell, context: Context, attempt: int = 1, batch_size: int | None = None) -> Record:
    """Compute a cell.

    Every exception becomes a failed record with its last lines. Memory that runs out drops the models that wait, then
    restarts the cell at half the batch size, and the record says so.

    Args:
        cell: what to compute.
        context: what the worker keeps between cells.
        attempt: for the record.
        batch_size: samples a forward, as an earlier cell found it; None: the suite's, and on a CUDA device at most
            what an estimate says fits.

    Raises:
        PoisonedError: the process' CUDA context is lost; nothing more can run in it.
    """
    record = Record(hash=cell.hash, spec=public_spec(cell), attempts=attempt, batch_size=cell.batch_size)
    try:
        check_code(cell)
        with default_numerics():
            model, spec = context.model(cell)
        start = time.perf_counter()
        size = batch_size or _estimated(cell, context, model)
        reset_peak_memory(context.device)
        while True:
            try:
                with default_numerics():
                    record.rows, left, record.batch_size = _COMPUTED_BY[cell.kind](cell, context, model, spec, size)
                record.artefacts, record.files = left.arrays, left.files
                break
            except Exception as error:
                if not out_of_memory(error):
                    raise
                others = len(context.loaded()) > 1
                if size <= 1 and not others:
                    raise
            context.keep([model_key(cell)])
            size = size if others else max(1, min(size, len(cell.samples)) // 2)
            _free(context.device)
        record.seconds = time.perf_counter() - start
        record.notes = tuple(getattr(model, "notes", ()))
    except NotApplicableError as reason:
        record.status, record.reason = "skipped", str(reason)
    except (Exception, SystemExit) as error:  # code of others may call sys.exit
        if poisons(error):
            raise PoisonedError(last_lines(error)) from None
        record.status, record.reason = "failed", last_lines(error)
    record.peak_memory_mb = peak_memory_mb(context.device)
    record.provenance = provenance(context.device)
    return record


def check_code(cell: Cell) -> None:
    """Refuse to compute with a plugin that is not the one that the cell was planned for.

    Raises:
        UsageError: its file, or its library's version, is another one here.
    """
    refs: list[tuple[Registry[Any], PluginRef | None]] = [(tasks, cell.task), (explainers, cell.explainer)]
    if plugin := KINDS[cell.kind].plugin:
        refs.append((metrics if plugin == "metric" else attacks, cell.plugin))
    for registry, ref in refs:
        here = registry.make(ref.use, ref.arguments()).implementation() if ref is not None else ""
        if ref is not None and here != ref.version:
            raise UsageError(
                f"{registry.kind} {ref.use!r}: planned as version {ref.version}, here it is {here}: its code or its"
                " library changed since; run the same command again"
            )


def _estimated(cell: Cell, context: Context, model: Model) -> int:
    """The suite's batch size; on a CUDA device at most what an estimate says fits."""
    kind = KINDS[cell.kind]
    fixed = attack_of(cell).fixed_batch_size() if kind.plugin == "attack" and kind.runs else None
    if not context.device.startswith("cuda") or fixed is not None:
        return cell.batch_size
    return cuda_estimate(model, context.batch(cell).inputs, cell.batch_size, context.device, context.share)


def public_spec(cell: Cell) -> dict[str, Any]:
    """The cell as the record holds it: without paths of this machine."""
    return cell.model_dump(mode="json", exclude={"folder": True, "dataset": {"path": True}, "plugin": {"local"}})


def last_lines(error: BaseException) -> str:
    """What a person needs of an exception: an Assay error's own text, else the last lines of the traceback."""
    if isinstance(error, AssayError):
        return f"{type(error).__name__}: {error}"
    lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
    return "\n".join(lines[-REASON_LINES:])


def _clean(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    task, batch = task_of(cell), context.batch(cell)
    skip_if_asked(task, cell, context, model, spec)
    parts, kept = [], []
    room = int(cell.keep_inputs_mb * 1e6 // max(1, batch.inputs[0].nbytes))
    with task.side_information(model, None, None):
        for at in slices(len(batch), batch_size):
            part = Batch(batch.ids[at], batch.inputs[at], batch.labels[at])
            parts.append(task.clean(model, part, spec))
            inputs, labels = tensors(batch, slice(at.start, min(at.stop, room)), context.device)
            if cell.keep_inputs != "none" and len(inputs):
                kept.append(task.keeps(model, inputs, labels))
    rows = {"sample": strings(cell.samples), **joined(parts)}
    groups = context.dataset(cell).index(cell.dataset.split).groups
    if groups is not None:
        index = context.dataset(cell).index(cell.dataset.split)
        rows["group"] = strings([groups[i] for i in index.positions(cell.samples)])
    left = joined(kept)
    names = np.asarray(batch.ids[:room], dtype=np.str_)
    return rows, Artefacts({"clean": {"samples": names, **left}} if left else {}), batch_size


_COMPUTED_BY: dict[CellKind, Callable[[Cell, Context, Any, Any, int], Outcome]] = {
    "clean": _clean,
    "fit": fit,
    "attack": attack_cell,
    "generate": generate_cell,
    "explain": explain_cell,
    "score": score_cell,
    "similarity": similarity_cell,
    "drift": drift_cell,
}


def _free(device: str) -> None:
    import gc

    import torch

    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
