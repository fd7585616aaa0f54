"""Cells of attacks: what is fitted, what is perturbed under each view, what is made from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.attacks.base import Attack
from benchmark.data.base import Batch, Dataset, Grid, Samples
from benchmark.errors import DataError, NotApplicableError
from benchmark.schedule.context import Context
from benchmark.schedule.parts import (
    Artefacts,
    Outcome,
    Rows,
    attack_of,
    budget_of,
    clean_rows,
    draws,
    joined,
    png,
    skip_if_asked,
    slices,
    task_of,
    tensors,
)
from benchmark.schedule.plan import probe_seed
from benchmark.seeds import Draws, derive
from benchmark.spec.cell import Cell
from benchmark.store.record import strings

if TYPE_CHECKING:
    from benchmark.models.wrap import Model

TRIED = 20  # samples that are opened, one after the other, to learn the shape of all


def fit(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    """Compute an attack's artefact on training samples; where it asks for that, judge it on them."""
    attack = attack_of(cell)
    skip_if_asked(attack, cell, context, model, spec)
    batch = context.batch(cell)
    inputs, labels = tensors(batch, slice(None), context.device)
    with model.counter.counting() as used:
        fitted = attack.fit(model, inputs, labels, eps=budget_of(cell), generator=draws(cell, slice(None)))
    artefacts = Artefacts({"fitted": fitted}, {name: png(picture) for name, picture in attack.pictures(fitted).items()})
    n, views = len(batch), attack.views() if attack.judges_fit else 1
    rows = {
        "sample": strings(list(cell.samples) * views),
        "fit_forwards": np.full(n * views, used.forwards / max(1, n)),
        "fit_backwards": np.full(n * views, used.backwards / max(1, n)),
    }
    if attack.judges_fit:
        task, parts = task_of(cell), []
        for at in slices(n, batch_size):
            parts.append(task.clean(model, Batch(batch.ids[at], batch.inputs[at], batch.labels[at]), spec))
        clean = joined(parts)
        judged, _ = _attacked(cell, context, model, attack, clean, fitted, batch_size, keep="none")
        rows |= {"correct": np.tile(np.asarray(clean["correct"]), views), **judged}
    return rows, artefacts, batch_size


def generate_cell(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    """Make one input a class, from nothing."""
    import torch

    from benchmark.tasks.execute import generate

    attack, task, dataset = attack_of(cell), task_of(cell), context.dataset(cell)
    skip_if_asked(attack, cell, context, model, spec)
    grid = Grid.of(cell.dataset)
    shape = shape_of(dataset, cell.dataset.split, grid)
    targets = torch.as_tensor([int(name.rpartition("-")[2]) for name in cell.samples], device=context.device)
    parts, made = [], []
    for at in slices(len(targets), batch_size):
        rows, outputs = generate(task, attack, model, targets[at], shape, generator=draws(cell, at))
        parts.append(rows)
        made.append(outputs.detach().cpu().numpy())
    inputs = np.concatenate(made)
    most = max(1, int(cell.keep_inputs_mb * 1e6 // max(1, inputs[0].nbytes)))
    samples = np.asarray(cell.samples[:most], dtype=np.str_)
    rows = {"sample": strings(cell.samples), **joined(parts)}
    return rows, Artefacts({"generated": {"samples": samples, "inputs": inputs[:most]}}), batch_size


def shape_of(dataset: Dataset, split: str, grid: Grid) -> tuple[int, ...]:
    """(C, H, W) of a split's inputs on the grid: of its first sample that can be read.

    Raises:
        DataError: none of the first can.
    """
    ids = dataset.index(split).ids[:TRIED]
    for name in ids[:-1]:
        try:
            return dataset.load(split, [name], grid).inputs.shape[1:]
        except DataError:
            continue
    return dataset.load(split, ids[-1:], grid).inputs.shape[1:]


def attack_cell(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    """Attack the cell's samples, each under every view."""
    attack = informed(attack_of(cell), cell, context)
    skip_if_asked(attack, cell, context, model, spec)
    clean = clean_rows(cell, context)
    fitted = context.results.artefact(cell.needs["fit"], "fitted") if "fit" in cell.needs else None
    others = {
        role: context.results.artefact(need, "perturbed")["inputs"][: len(cell.samples)]
        for role, need in cell.needs.items()
        if role not in ("clean", "fit")
    }
    batch_size = min(batch_size, attack.fixed_batch_size() or batch_size)
    rows, kept = _attacked(
        cell, context, model, attack, clean, fitted, batch_size, keep=cell.keep_inputs, others=others
    )
    if set(cell.needs) == {"clean"}:
        rows |= more_steps(cell, context, model, attack, clean, rows, batch_size)
    samples = strings(list(cell.samples) * attack.views())
    return {"sample": samples, **rows}, Artefacts({"perturbed": kept} if kept else {}), batch_size


MORE, SHARE = 10, 0.05  # steps, and of the samples that an attack did not break


def more_steps(
    cell: Cell, context: Context, model: Model, attack: Attack, clean: Rows, rows: Rows, batch_size: int
) -> Rows:
    """Whether ten more steps break a sample of what the attack left: a column, or none.

    ``more_steps`` is 1 or 0 for 5 % of the samples that were right and stayed unbroken (at least one), drawn by their
    seeds, and NaN for all others. The verdicts of the attack itself are not touched.
    """
    from benchmark.tasks.execute import execute

    longer = attack.longer(MORE) if attack.views() == 1 else None
    if longer is None or "correct" not in clean:
        return {}
    left = (
        np.asarray(clean["correct"], dtype=bool) & ~np.asarray(rows["success"], dtype=bool) & (rows["status"] == "ok")
    )
    where = np.flatnonzero(left)
    if not len(where):
        return {}
    order = np.argsort([derive(probe_seed(cell, cell.samples[i]), "more steps") for i in where], kind="stable")
    chosen = np.sort(where[order[: max(1, -(-len(where) // round(1 / SHARE)))]])
    batch, gains = context.batch(cell), np.full(len(cell.samples), np.nan)
    for at in slices(len(chosen), batch_size):
        part = chosen[at]
        inputs, labels = tensors(batch, part, context.device)
        given = {name: values[part] for name, values in clean.items()}
        seeds = Draws([probe_seed(cell, cell.samples[i]) for i in part])
        with model.counter.paused():
            judged, _ = execute(
                task_of(cell), longer, model, inputs, labels, given, eps=budget_of(cell), generator=seeds
            )
        gains[part] = np.asarray(judged["success"], dtype=np.float64)
    return {"more_steps": gains}


def informed(attack: Attack, cell: Cell, context: Context) -> Attack:
    """The attack, told of the dataset's structures where it needs them."""
    if not attack.needs_structures:
        return attack
    grid = Grid.of(cell.dataset)
    structures = context.dataset(cell).structures(cell.dataset.split, grid)
    if structures is None:
        raise NotApplicableError(
            f"{attack.name!r} needs a split whose true and false structures are known, such as split 'test' of dataset"
            f" 'stripes'; split {cell.dataset.split!r} of {cell.dataset.name!r} is none"
        )
    return attack.with_structures(structures)


def of_samples(attack: Attack, cell: Cell, context: Context, ids: Sequence[str]) -> Attack:
    """The attack, told which samples it is given where it needs that."""
    if not attack.needs_samples:
        return attack
    dataset, grid = context.dataset(cell), Grid.of(cell.dataset)
    return attack.with_samples(Samples(dataset, cell.dataset.split, tuple(ids), grid))


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
    others: Rows | None = None,
) -> tuple[Rows, dict[str, NDArray[Any]]]:
    """Rows of every view of every sample (view by view, samples in order), and the inputs to keep."""
    import torch

    from benchmark.tasks.execute import execute

    task, batch = task_of(cell), context.batch(cell)
    parts, kept, beside = [], [], []
    ids: list[str] = []
    views: list[int] = []
    room = int(cell.keep_inputs_mb * 1e6 // max(1, batch.inputs[0].nbytes)) if len(batch) else 0
    for view in range(attack.views()):
        full = room * (view + 1) // attack.views()  # the views share the room, so that all are to be seen
        for at in slices(len(batch), batch_size):
            inputs, labels = tensors(batch, at, context.device)
            rows, outputs = execute(
                task,
                of_samples(attack.at_view(view), cell, context, cell.samples[at]),
                model,
                inputs,
                labels,
                {name: values[at] for name, values in clean.items()},
                eps=budget_of(cell),
                generator=draws(cell, at, view),
                fitted=fitted,
                others={role: values[at] for role, values in (others or {}).items()},
            )
            if attack.views() > 1:
                rows = _lean(rows, attack) | {"view": np.full(len(inputs), view, dtype=np.int64)}
            parts.append(rows)
            chosen = np.flatnonzero(rows["success"] if keep == "broken" else np.full(len(inputs), keep == "all"))
            chosen = chosen[: full - len(ids)]
            kept.append(outputs.detach().cpu().numpy()[chosen])
            if len(chosen):
                which = torch.as_tensor(chosen, device=inputs.device)
                with task.side_information(model, attack.at_view(view), budget_of(cell)):
                    beside.append(task.keeps(model, outputs[which], labels[which]))
            ids += [cell.samples[at][i] for i in chosen]
            views += [view] * len(chosen)
    if not ids:
        return joined(parts), {}
    left = {"samples": np.asarray(ids, dtype=np.str_), "inputs": np.concatenate(kept), **joined(beside)}
    return joined(parts), left | ({"views": np.asarray(views)} if attack.views() > 1 else {})


def _lean(rows: Rows, attack: Attack) -> Rows:
    """Of many views verdict and parameters are kept: norms that judge nothing are most of a record's bytes."""
    rows = {name: values for name, values in rows.items() if name != "confidence_perturbed"}
    if attack.threat.norm != "none":
        return rows
    kept = {name: values for name, values in rows.items() if not name.startswith("norm_")}
    return kept | {name: values.astype(np.float32) for name, values in kept.items() if name == "margin"}
