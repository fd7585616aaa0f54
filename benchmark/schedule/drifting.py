"""Cells of explanations under attack: the attribution of each clean input against that of its perturbed one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import AssayError
from benchmark.inputs import IMAGE
from benchmark.schedule.context import Context
from benchmark.schedule.explaining import attributed, explainer_of
from benchmark.schedule.parts import Artefacts, Outcome, Rows, clean_rows, skip_if_asked, task_of
from benchmark.spec.cell import Cell
from benchmark.store.record import strings

if TYPE_CHECKING:
    from benchmark.models.wrap import Model


def drift_cell(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    """How far an attack moved the attributions, a row a sample.

    The class explained is the clean target in both, and an explainer that draws numbers draws the same for both: what
    moves is the input's doing. Status: ``ok``; ``nan`` where a similarity is undefined (an all-zero attribution);
    ``not_attacked`` where the clean prediction was wrong, so that the input stands as it was; ``not_judged`` where the
    perturbed input is out of budget or not finite. Values are NaN where the status is not ``ok``.

    Raises:
        AssayError: the attack cell kept no perturbed inputs of these samples, or its task predicts no classes.
    """
    explainer = explainer_of(cell)
    skip_if_asked(explainer, cell, context, model, spec)
    n = len(cell.samples)
    attacked = {name: np.asarray(values)[:n] for name, values in context.results.rows(cell.needs["attack"]).items()}
    if "pred" not in attacked:
        raise AssayError(
            f"drift of {cell.probe!r} under {cell.metric!r}: the task {cell.task.use!r} predicts no class that could"
            " have changed; leave `attacked` out"
        )
    correct, judged = np.asarray(clean_rows(cell, context)["correct"], bool), attacked["status"] == "ok"
    status = np.where(correct, np.where(judged, "ok", "not_judged"), "not_attacked").astype(object)
    at = np.flatnonzero(correct & judged)
    rows: Rows = {name: np.full(n, np.nan) for name in ("value", "own_topk", "own_ssim", "own_changed")}
    if len(at):
        for name, values in _similarities(cell, context, model, at, batch_size).items():
            rows[name][at] = values
        rows["own_changed"][at] = (attacked["pred"] != attacked["pred_clean"])[at]
        measured = ("value", "own_topk", "own_ssim") if task_of(cell).inputs == IMAGE else ("value", "own_topk")
        defined = np.isfinite(np.stack([rows[name] for name in measured])).all(0)
        status = np.where((status == "ok") & ~defined, "nan", status)
    return {"sample": strings(cell.samples), **rows, "status": strings(status)}, Artefacts(), batch_size


def _similarities(
    cell: Cell, context: Context, model: Model, at: NDArray[np.intp], batch_size: int
) -> dict[str, NDArray[np.float64]]:
    """Similarities of the attributions of some samples before and after the attack."""
    import torch

    from benchmark.metrics.functional import spearman, structural_similarity, top_k_overlap

    before = context.results.artefact(cell.needs["explain"], "attributions")["attributions"][at]
    targets = np.asarray(context.results.rows(cell.needs["explain"])["target"], np.int64)[at]
    names = tuple(cell.samples[i] for i in at)
    # without the attack the draws are those of the explain cell
    same = cell.model_copy(update={"samples": names, "plugin": None})
    inputs = _perturbed(cell, context, names)
    after = attributed(same, context, model, explainer_of(cell), inputs, targets, batch_size)
    a, b = torch.as_tensor(before), torch.as_tensor(after)
    measured = {"value": spearman(a, b), "own_topk": top_k_overlap(a, b)}
    if task_of(cell).inputs == IMAGE:  # windows of a picture; of other inputs it stays NaN
        measured["own_ssim"] = structural_similarity(a, b)
    return {name: values.numpy() for name, values in measured.items()}


def _perturbed(cell: Cell, context: Context, names: tuple[str, ...]) -> NDArray[Any]:
    """Perturbed inputs of these samples, (len(names), ...)."""
    kept = context.results.artefact(cell.needs["attack"], "perturbed")
    place = {str(name): i for i, name in enumerate(kept["samples"])}
    lost = [name for name in names if name not in place]
    if lost:
        raise AssayError(
            f"drift of {cell.probe!r} under {cell.metric!r}: the attack kept no perturbed input of sample {lost[0]!r}"
            f" ({len(lost)} of {len(names)} are missing); remove that record and run again"
        )
    chosen: NDArray[Any] = kept["inputs"][[place[name] for name in names]]
    return chosen
