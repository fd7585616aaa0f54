"""``run_cell``: one cell to one record. Knows no engine; every engine calls it."""

from __future__ import annotations

import io
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.attacks.base import Attack, attacks
from benchmark.data.base import Batch, Grid
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
                record.rows, left, record.batch_size = _KINDS[cell.kind](cell, context, model, spec, batch_size)
                record.artefacts, record.files = left.arrays, left.files
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
    return cell.model_dump(mode="json", exclude={"folder": True, "dataset": {"path": True}, "plugin": {"local"}})


def last_lines(error: BaseException) -> str:
    """What a person needs of an exception: an Assay error's own text, else the last lines of the traceback."""
    if isinstance(error, AssayError):
        return f"{type(error).__name__}: {error}"
    lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
    return "\n".join(lines[-REASON_LINES:])


Rows = dict[str, NDArray[Any]]
Outcome = tuple[Rows, "Artefacts", int]


@dataclass
class Artefacts:
    """What a cell leaves beside its rows: named arrays, and files such as pictures by name."""

    arrays: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


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
    return rows, Artefacts(), batch_size


def _fit(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    attack = _attack(cell)
    _skip_if_asked(attack, cell, context, model, spec)
    batch = context.batch(cell)
    inputs, labels = _tensors(batch, slice(None), context.device)
    with model.counter.counting() as used:
        fitted = attack.fit(model, inputs, labels, eps=_eps(cell), generator=_draws(cell, slice(None)))
    artefacts = Artefacts({"fitted": fitted}, {name: png(picture) for name, picture in attack.pictures(fitted).items()})
    n, views = len(batch), attack.views() if attack.judges_fit else 1
    rows = {
        "sample": strings(list(cell.samples) * views),
        "fit_forwards": np.full(n * views, used.forwards / max(1, n)),
        "fit_backwards": np.full(n * views, used.backwards / max(1, n)),
    }
    if attack.judges_fit:
        task, parts = _task(cell), []
        for at in _slices(n, batch_size):
            parts.append(task.clean(model, Batch(batch.ids[at], batch.inputs[at], batch.labels[at]), spec))
        clean = _joined(parts)
        judged, _ = _attacked(cell, context, model, attack, clean, fitted, batch_size, keep="none")
        rows |= {"correct": np.tile(np.asarray(clean["correct"]), views), **judged}
    return rows, artefacts, batch_size


def _generate(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    import torch

    from benchmark.tasks.execute import generate

    attack, task, dataset = _attack(cell), _task(cell), context.dataset(cell)
    _skip_if_asked(attack, cell, context, model, spec)
    index = dataset.index(cell.dataset.split)
    grid = Grid(size=cell.dataset.size, channels=cell.dataset.channels)
    shape = dataset.load(cell.dataset.split, index.ids[:1], grid).inputs.shape[1:]
    targets = torch.as_tensor([int(name.rpartition("-")[2]) for name in cell.samples], device=context.device)
    parts, made = [], []
    for at in _slices(len(targets), batch_size):
        rows, outputs = generate(task, attack, model, targets[at], shape, generator=_draws(cell, at))
        parts.append(rows)
        made.append(outputs.detach().cpu().numpy())
    inputs = np.concatenate(made)
    most = max(1, int(cell.keep_inputs_mb * 1e6 // max(1, inputs[0].nbytes)))
    samples = np.asarray(cell.samples[:most], dtype=np.str_)
    rows = {"sample": strings(cell.samples), **_joined(parts)}
    return rows, Artefacts({"generated": {"samples": samples, "inputs": inputs[:most]}}), batch_size


def _attack_cell(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    attack = _attack(cell)
    _skip_if_asked(attack, cell, context, model, spec)
    clean = _clean_rows(cell, context)
    fitted = context.results.artefact(cell.needs["fit"], "fitted") if "fit" in cell.needs else None
    batch_size = min(batch_size, attack.fixed_batch_size() or batch_size)
    rows, kept = _attacked(cell, context, model, attack, clean, fitted, batch_size, keep=cell.keep_inputs)
    samples = strings(list(cell.samples) * attack.views())
    return {"sample": samples, **rows}, Artefacts({"perturbed": kept} if kept else {}), batch_size


def _attacked(
    cell: Cell,
    context: Context,
    model: Model,
    attack: Attack,
    clean: Rows,
    fitted: Any,
    batch_size: int,
    *,
    keep: str,
) -> tuple[Rows, dict[str, NDArray[Any]]]:
    """Rows of every view of every sample (view by view, samples in order), and the inputs to keep."""
    from benchmark.tasks.execute import execute

    task, batch = _task(cell), context.batch(cell)
    parts, kept = [], []
    ids: list[str] = []
    views: list[int] = []
    room = int(cell.keep_inputs_mb * 1e6 // max(1, batch.inputs[0].nbytes)) if len(batch) else 0
    for view in range(attack.views()):
        full = room * (view + 1) // attack.views()  # the views share the room, so that all are to be seen
        for at in _slices(len(batch), batch_size):
            inputs, labels = _tensors(batch, at, context.device)
            rows, outputs = execute(
                task,
                attack.at_view(view),
                model,
                inputs,
                labels,
                {name: values[at] for name, values in clean.items()},
                eps=_eps(cell),
                generator=_draws(cell, at, view),
                fitted=fitted,
            )
            if attack.views() > 1:
                rows = _lean(rows, attack) | {"view": np.full(len(inputs), view, dtype=np.int64)}
            parts.append(rows)
            chosen = np.flatnonzero(rows["success"] if keep == "broken" else np.full(len(inputs), keep == "all"))
            chosen = chosen[: full - len(ids)]
            kept.append(outputs.detach().cpu().numpy()[chosen])
            ids += [cell.samples[at][i] for i in chosen]
            views += [view] * len(chosen)
    if not ids:
        return _joined(parts), {}
    found = {"samples": np.asarray(ids, dtype=np.str_), "inputs": np.concatenate(kept)}
    return _joined(parts), found | ({"views": np.asarray(views)} if attack.views() > 1 else {})


def _lean(rows: Rows, attack: Attack) -> Rows:
    """Of many views verdict and parameters are kept: norms that judge nothing are most of a record's bytes."""
    if attack.threat.norm != "none":
        return rows
    kept = {name: values for name, values in rows.items() if not name.startswith("norm_")}
    return kept | {"margin": np.asarray(kept["margin"], dtype=np.float32)}


def _explain(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    import torch

    assert cell.explainer is not None
    explainer = explainers.make(cell.explainer.use, cell.explainer.arguments())
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
    return rows, Artefacts({"attributions": {"attributions": attributions}}), batch_size


def _score(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    assert cell.plugin is not None
    assert cell.explainer is not None
    metric = metrics.make(cell.plugin.use, cell.plugin.arguments())
    explainer = explainers.make(cell.explainer.use, cell.explainer.arguments())
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
    return {"sample": strings(cell.samples), "value": value, "status": status}, Artefacts(), batch_size


_KINDS: dict[str, Callable[[Cell, Context, Any, Any, int], Outcome]] = {
    "clean": _clean,
    "fit": _fit,
    "attack": _attack_cell,
    "generate": _generate,
    "explain": _explain,
    "score": _score,
}


def _task(cell: Cell) -> Task:
    return tasks.make(cell.task.use, cell.task.arguments())


def _attack(cell: Cell) -> Attack:
    assert cell.plugin is not None
    return attacks.make(cell.plugin.use, cell.plugin.arguments())


def _eps(cell: Cell) -> float | None:
    from benchmark.spec.suite import parse_eps

    return None if cell.eps is None else float(parse_eps(cell.eps))


def _draws(cell: Cell, at: slice, view: int = 0) -> Any:
    from benchmark.seeds import Draws, derive

    seeds = [probe_seed(cell, sample) for sample in cell.samples[at]]
    return Draws([derive(seed, "view", view) for seed in seeds] if view else seeds)


def png(picture: NDArray[np.uint8]) -> bytes:
    """A PNG file of (H, W) or (H, W, 3)."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


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


def _joined(parts: Sequence[Rows]) -> Rows:
    """Columns of all parts; a part that lacks one (none of its samples was attacked) has NaN, 0 or "" there."""
    found: Rows = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        like = next(np.asarray(part[name]) for part in parts if name in part)
        missing = np.nan if like.dtype.kind == "f" else "" if like.dtype.kind in "OU" else 0
        lengths = [len(next(iter(part.values()))) for part in parts]
        found[name] = np.concatenate(
            [
                np.asarray(part[name]) if name in part else np.full(n, missing, dtype=like.dtype)
                for part, n in zip(parts, lengths, strict=True)
            ]
        )
    return found


def _out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def _free(device: str) -> None:
    import gc

    import torch

    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
