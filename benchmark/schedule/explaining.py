"""Cells of explanations: attributions, and metrics of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import AssayError
from benchmark.explainers.base import explainers
from benchmark.metrics.base import Explained, metrics
from benchmark.schedule.context import Context, model_key
from benchmark.schedule.parts import (
    Artefacts,
    Outcome,
    clean_rows,
    draws,
    joined,
    skip_if_asked,
    slices,
    task_of,
    tensors,
)
from benchmark.seeds import derive
from benchmark.spec.cell import Cell
from benchmark.store.record import strings

if TYPE_CHECKING:
    import torch

    from benchmark.explainers.base import Explainer
    from benchmark.models.wrap import Model


def explain_cell(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    """Attributions of the cell's samples."""
    explainer = explainer_of(cell)
    skip_if_asked(explainer, cell, context, model, spec)
    batch, clean = context.batch(cell), clean_rows(cell, context)
    targets = np.array(task_of(cell).targets(clean) if cell.target == "prediction" else batch.labels, dtype=np.int64)
    attributions = attributed(cell, context, model, explainer, batch.inputs, targets, batch_size)
    finite = np.isfinite(attributions).reshape(len(attributions), -1).all(1)
    rows = {
        "sample": strings(cell.samples),
        "target": targets,
        "status": strings(np.where(finite, "ok", "nan")),
    }
    return rows, Artefacts({"attributions": {"attributions": attributions}}), batch_size


def explainer_of(cell: Cell) -> Explainer:
    """The cell's explainer."""
    assert cell.explainer is not None
    return explainers.make(cell.explainer.use, cell.explainer.arguments())


def attributed(
    cell: Cell,
    context: Context,
    model: Model,
    explainer: Explainer,
    inputs: NDArray[Any],
    targets: NDArray[np.int64],
    batch_size: int,
) -> NDArray[np.float32]:
    """Attributions of the cell's samples at these inputs, float32 (N, ...) of their shape; draws are the cell's.

    Raises:
        AssayError: the explainer returned another shape.
    """
    import torch

    parts = []
    for at in slices(len(inputs), batch_size):
        x = torch.as_tensor(inputs[at], device=context.device)
        chosen = torch.as_tensor(targets[at], device=context.device)
        relevance = explainer.explain(model, x, chosen, generator=draws(cell, at))
        if relevance.shape != x.shape:
            raise AssayError(
                f"explainer {explainer.name!r} returned shape {tuple(relevance.shape)},"
                f" expected the input's {tuple(x.shape)}"
            )
        parts.append(relevance.detach().float().cpu().numpy())
    return np.concatenate(parts)


def score_cell(cell: Cell, context: Context, model: Model, spec: Any, batch_size: int) -> Outcome:
    """One metric of attributions that explain cells left."""
    assert cell.plugin is not None
    metric = metrics.make(cell.plugin.use, cell.plugin.arguments())
    skip_if_asked(metric, cell, context, model, spec)
    n = len(cell.samples)
    parts = []
    for at in slices(n, n if metric.joint else batch_size):
        scores = metric.score(evidence(cell, context, model, at))
        columns = scores if isinstance(scores, Mapping) else {"value": scores}
        parts.append({name: _column(values) for name, values in columns.items()})
        for name, values in parts[-1].items():
            if values.shape != (at.stop - at.start,):
                raise AssayError(
                    f"metric {metric.name!r} returned {name} of shape {values.shape} for {at.stop - at.start} samples"
                )
    rows = joined(parts)
    value = rows.pop("value").astype(np.float64)
    own = {f"own_{name}": values for name, values in rows.items()}
    status = strings(np.where(np.isfinite(value), "ok", "nan"))
    return {"sample": strings(cell.samples), "value": value, "status": status, **own}, Artefacts(), batch_size


def evidence(cell: Cell, context: Context, model: Model, at: slice) -> Explained:
    """What a score cell's metric looks at; tensors and clean outputs are kept for the next metric of these samples."""
    import torch

    needed = [hash_ for role, hash_ in cell.needs.items() if role.startswith("explain")]
    key = (cell.entry, *needed, at.start, at.stop)
    if key not in context.evidence:
        batch = context.batch(cell)
        rows = joined([dict(context.rows(hash_)) for hash_ in needed])
        attributions = joined([dict(context.results.artefact(hash_, "attributions")) for hash_ in needed])
        inputs, labels = tensors(batch, at, context.device)

        def mask(values: NDArray[np.bool_] | None) -> torch.Tensor | None:
            return None if values is None else torch.as_tensor(values[at], device=context.device)

        context.evidence[key] = Explained(
            model=model,
            inputs=inputs,
            labels=labels,
            targets=torch.as_tensor(np.asarray(rows["target"], dtype=np.int64)[at], device=context.device),
            attributions=torch.as_tensor(attributions["attributions"][at], device=context.device),
            masks=mask(batch.masks),
            artefacts=mask(batch.artefacts),
            explainer=explainer_of(cell),
            generator=draws(cell, at),
            shared=[derive("shared", cell.seed, sample) for sample in cell.samples[at]],
            _known=_outputs(cell, context, at),
        )
        while len(context.evidence) > 4:
            context.evidence.popitem(last=False)
    known = context.evidence[key]
    return Explained(**{**vars(known), "generator": draws(cell, at)})


def _outputs(cell: Cell, context: Context, at: slice) -> dict[str, Any]:
    """Where clean outputs of these samples are kept: explainers of one model share them."""
    key = (model_key(cell), str(cell.dataset.hashed()), cell.samples[at])
    if key not in context.outputs:
        context.outputs[key] = {}
        while len(context.outputs) > 8:
            context.outputs.popitem(last=False)
    return context.outputs[key]


def _column(values: Any) -> NDArray[Any]:
    return np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)
