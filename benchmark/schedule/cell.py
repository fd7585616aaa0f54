"""``run_cell``: one cell to one record. Knows no engine; every engine calls it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.attacks.base import Attack, attacks
from benchmark.data.base import Batch
from benchmark.errors import AssayError
from benchmark.explainers.base import explainers
from benchmark.metrics.base import Explained, metrics
from benchmark.schedule.context import Context
from benchmark.schedule.plan import probe_seed
from benchmark.schedule.provenance import peak_memory_mb, provenance, reset_peak_memory
from benchmark.spec.cell import Cell
from benchmark.store.record import Record, strings
from benchmark.tasks.base import Task, tasks

if TYPE_CHECKING:
    import torch

    from benchmark.models.wrap import Model

REASON_LINES = 12


class Skipped(Exception):  # noqa: N818 - not an error: a plugin says that it does not apply
    """A plugin does not apply to this model and dataset."""


def run_cell(cell: Cell, context: Context, attempt: int = 1) -> Record:
    """Compute a cell.

    Every exception becomes a failed record with its last lines; device memory that runs out restarts the cell at
    half the batch size, and the record says so.
    """
    record = Record(hash=cell.hash, spec=public_spec(cell), attempts=attempt, batch_size=cell.batch_size)
    try:
        model, spec = context.model(cell)
        start = time.perf_counter()
        reset_peak_memory(context.device)
        batch_size = cell.batch_size
        while True:
            try:
                record.rows, record.artefacts, record.batch_size = _KINDS[cell.kind](
                    cell, context, model, spec, batch_size
                )
                break
            except Exception as error:
                if not _out_of_memory(error) or batch_size <= 1:
                    raise
                batch_size //= 2
                _free(context.device)
        record.seconds = time.perf_counter() - start
    except Skipped as reason:
        record.status, record.reason = "skipped", str(reason)
    except (Exception, SystemExit) as error:  # code of others may call sys.exit
        record.status, record.reason = "failed", last_lines(error)
    record.peak_memory_mb = peak_memory_mb(context.device)
    record.provenance = provenance(context.device)
    return record


def public_spec(cell: Cell) -> dict[str, Any]:
    """The cell as the record holds it: without paths of this machine."""
    return cell.model_dump(mode="json", exclude={"folder": True, "dataset": {"path"}})


def last_lines(error: BaseException) -> str:
    """What a person needs of an exception: an Assay error's own text, else the last lines of the traceback."""
    if isinstance(error, AssayError):
        return f"{type(error).__name__}: {error}"
    lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
    return "\n".join(lines[-REASON_LINES:])


Rows = dict[str, NDArray[Any]]
Artefacts = dict[str, dict[str, NDArray[Any]]]
Outcome = tuple[Rows, Artefacts, int]


def _clean(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    task, batch = _task(cell), context.batch(cell)
    _skip_if_asked(task, cell, context, model, spec)
    parts = []
    for at in _slices(len(batch), batch_size):
        part = Batch(batch.ids[at], batch.inputs[at], batch.labels[at])
        parts.append(task.clean(model, part, spec))
    rows = {"sample": strings(cell.samples), **_joined(parts)}
    groups = context.dataset(cell).index(cell.dataset.split).groups
    if groups is not None:
        index = context.dataset(cell).index(cell.dataset.split)
        rows["group"] = strings([groups[i] for i in index.positions(cell.samples)])
    return rows, {}, batch_size


def _fit(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    attack = _attack(cell)
    _skip_if_asked(attack, cell, context, model, spec)
    batch = context.batch(cell)
    inputs, labels = _tensors(batch, slice(None), context.device)
    fitted = attack.fit(model, inputs, labels, eps=_eps(cell), generator=_draws(cell, slice(None)))
    return {"sample": strings(cell.samples)}, {"fitted": fitted}, batch_size


def _attack_cell(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    from benchmark.tasks.execute import execute

    attack, task, batch = _attack(cell), _task(cell), context.batch(cell)
    _skip_if_asked(attack, cell, context, model, spec)
    clean = _clean_rows(cell, context)
    fitted = context.results.artefact(cell.needs["fit"], "fitted") if "fit" in cell.needs else None
    batch_size = min(batch_size, attack.fixed_batch_size() or batch_size)
    parts, perturbed = [], []
    for at in _slices(len(batch), batch_size):
        inputs, labels = _tensors(batch, at, context.device)
        rows, outputs = execute(
            task,
            attack,
            model,
            inputs,
            labels,
            {name: values[at] for name, values in clean.items()},
            eps=_eps(cell),
            generator=_draws(cell, at),
            fitted=fitted,
        )
        parts.append(rows)
        perturbed.append(outputs.detach().cpu().numpy())
    rows = {"sample": strings(cell.samples), **_joined(parts)}
    return rows, _kept(cell, rows, np.concatenate(perturbed)), batch_size


def _kept(cell: Cell, rows: Rows, perturbed: NDArray[np.float32]) -> Artefacts:
    keep = {"none": np.zeros(len(perturbed), bool), "all": np.ones(len(perturbed), bool), "broken": rows["success"]}
    where = np.flatnonzero(keep[cell.keep_inputs])
    most = int(cell.keep_inputs_mb * 1e6 // max(1, perturbed[0].nbytes)) if len(perturbed) else 0
    where = where[:most]
    if not len(where):
        return {}
    samples = np.asarray([cell.samples[i] for i in where], dtype=np.str_)
    return {"perturbed": {"samples": samples, "inputs": perturbed[where]}}


def _explain(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    import torch

    assert cell.explainer is not None
    explainer = explainers.make(cell.explainer.use, cell.explainer.params)
    _skip_if_asked(explainer, cell, context, model, spec)
    batch, clean = context.batch(cell), _clean_rows(cell, context)
    targets = np.array(_task(cell).targets(clean) if cell.target == "prediction" else batch.labels, dtype=np.int64)
    parts = []
    for at in _slices(len(batch), batch_size):
        inputs, _ = _tensors(batch, at, context.device)
        chosen = torch.as_tensor(targets[at], device=context.device)
        relevance = explainer.explain(model, inputs, chosen, generator=_draws(cell, at))
        if relevance.shape != inputs.shape:
            raise AssayError(
                f"explainer {explainer.name!r} returned shape {tuple(relevance.shape)},"
                f" expected the input's {tuple(inputs.shape)}"
            )
        parts.append(relevance.detach().float().cpu().numpy())
    attributions = np.concatenate(parts)
    finite = np.isfinite(attributions).reshape(len(attributions), -1).all(1)
    rows = {
        "sample": strings(cell.samples),
        "target": np.asarray(targets),
        "status": strings(np.where(finite, "ok", "nan")),
    }
    return rows, {"attributions": {"attributions": attributions}}, batch_size


def _score(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    assert cell.plugin is not None
    assert cell.explainer is not None
    metric = metrics.make(cell.plugin.use, cell.plugin.params)
    explainer = explainers.make(cell.explainer.use, cell.explainer.params)
    _skip_if_asked(metric, cell, context, model, spec)
    batch = context.batch(cell)
    attributions = context.results.artefact(cell.needs["explain"], "attributions")["attributions"]
    targets = np.asarray(context.results.rows(cell.needs["explain"])["target"], dtype=np.int64)
    values = []
    for at in _slices(len(batch), batch_size):
        explained = Explained(
            model=model,
            inputs=batch.inputs[at],
            labels=batch.labels[at],
            targets=targets[at],
            attributions=attributions[at],
            masks=None if batch.masks is None else batch.masks[at],
            explainer=explainer,
            generator=_draws(cell, at),
        )
        values.append(np.asarray(metric.score(explained), dtype=np.float64))
    value = np.concatenate(values)
    if value.shape != (len(batch),):
        raise AssayError(f"metric {metric.name!r} returned {value.shape[0]} values for {len(batch)} samples")
    status = strings(np.where(np.isfinite(value), "ok", "nan"))
    return {"sample": strings(cell.samples), "value": value, "status": status}, {}, batch_size


_KINDS: dict[str, Callable[[Cell, Context, Any, Any, int], Outcome]] = {
    "clean": _clean,
    "fit": _fit,
    "attack": _attack_cell,
    "explain": _explain,
    "score": _score,
}


def _task(cell: Cell) -> Task:
    return tasks.make(cell.task.use, cell.task.params)


def _attack(cell: Cell) -> Attack:
    assert cell.plugin is not None
    return attacks.make(cell.plugin.use, cell.plugin.params)


def _eps(cell: Cell) -> float | None:
    from benchmark.spec.suite import parse_eps

    return None if cell.eps is None else float(parse_eps(cell.eps))


def _draws(cell: Cell, at: slice) -> Any:
    from benchmark.seeds import Draws

    return Draws([probe_seed(cell, sample) for sample in cell.samples[at]])


def _clean_rows(cell: Cell, context: Context) -> Rows:
    """Rows of the needed clean cell, cut to this cell's samples (a prefix of the clean cell's)."""
    rows = context.results.rows(cell.needs["clean"])
    return {name: values[: len(cell.samples)] for name, values in rows.items()}


def _tensors(batch: Batch, at: slice, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    return torch.as_tensor(batch.inputs[at], device=device), torch.as_tensor(batch.labels[at], device=device)


def _skip_if_asked(plugin: Any, cell: Cell, context: Context, model: Model, spec: Any) -> None:
    reason = plugin.skip(model, spec, context.dataset(cell).index(cell.dataset.split))
    if reason:
        raise Skipped(reason)


def _slices(n: int, size: int) -> list[slice]:
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def _joined(parts: list[dict[str, NDArray[Any]]]) -> Rows:
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def _out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def _free(device: str) -> None:
    import gc

    import torch

    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
