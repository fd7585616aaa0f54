"""How alike explainers are: Spearman's rank correlation of their attributions, sample by sample."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import NotApplicableError, StoreError
from benchmark.inputs import IMAGE
from benchmark.schedule.context import Context
from benchmark.schedule.parts import Artefacts, Outcome, task_of
from benchmark.spec.cell import Cell
from benchmark.store.record import strings

if TYPE_CHECKING:
    from benchmark.models.wrap import Model

SHOWN = 5  # samples that a picture shows


def similarity_cell(cell: Cell, context: Context, _model: Model, _spec: Any, batch_size: int) -> Outcome:
    """A row a pair of explainers; explain cells that failed or were skipped are left out.

    ``sample`` is ``<a>|<b>``, ``value`` the mean of Spearman's rho over the samples, ``lowest`` and ``highest`` its
    extremes, ``n`` the samples used: those that both explain, for the same class, with attributions that are finite
    and not constant. Without such a sample they are NaN.

    Raises:
        NotApplicableError: fewer than two explainers have attributions.
    """
    targets, attributions = attributions_at_hand(cell, context)
    if len(attributions) < 2:
        raise NotApplicableError("fewer than two explainers have attributions of these samples")
    names, pairs = list(attributions), list(combinations(range(len(attributions)), 2))
    rho = np.full((len(cell.samples), len(names), len(names)), np.nan)
    for i in range(len(cell.samples)):
        here = [k for k, name in enumerate(names) if i < len(attributions[name])]
        rows = np.stack([attributions[names[k]][i].ravel() for k in here])
        classes = np.array([targets[names[k]][i] for k in here])
        same = classes[:, None] == classes[None]
        rho[i][np.ix_(here, here)] = np.where(same, correlations(rows, context.device), np.nan)
    values = np.stack([rho[:, a, b] for a, b in pairs], axis=1)
    used = np.isfinite(values).sum(0)
    some = used > 0
    rows_out: dict[str, NDArray[Any]] = {
        "sample": strings([f"{names[a]}|{names[b]}" for a, b in pairs]),
        "n": used.astype(np.int64),
    }
    for name, reduce in (("value", np.nanmean), ("lowest", np.nanmin), ("highest", np.nanmax)):
        column = np.full(len(pairs), np.nan)
        column[some] = reduce(values[:, some], axis=0)
        rows_out[name] = column
    shown = {}
    if task_of(cell).inputs == IMAGE:  # else there is nothing to be drawn as a picture
        shown["gallery"] = gallery(cell, context, targets, attributions)
    return rows_out, Artefacts(shown), batch_size


def attributions_at_hand(
    cell: Cell, context: Context
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.float32]]]:
    """Explained classes (N,) and attributions (N, ...) of each explainer that has them, in the suite's order."""
    targets, attributions = {}, {}
    for role, need in cell.needs.items():
        if need not in cell.optional:
            continue
        try:
            rows = context.results.rows(need)
        except StoreError:  # it failed, or was skipped
            continue
        name = role.partition(":")[2]
        targets[name] = np.asarray(rows["target"])
        attributions[name] = np.asarray(context.results.artefact(need, "attributions")["attributions"])
    return targets, attributions


def correlations(attributions: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float64]:
    """Spearman's rho between rows (E, D), (E, E): Pearson's of the average ranks, in float64.

    NaN where a row is constant or not finite.
    """
    import torch

    from benchmark.metrics.functional.row_similarity import ranks

    values = torch.as_tensor(attributions, device=device)
    usable = values.isfinite().all(1) & (values.amax(1) > values.amin(1))
    places = ranks(torch.where(usable[:, None], values, torch.zeros_like(values)))
    places = places - places.mean(1, keepdim=True)
    length = places.square().sum(1).sqrt()
    places = places / torch.where(length > 0, length, torch.ones_like(length))[:, None]
    rho = (places @ places.T).clamp(-1, 1)
    rho[~usable] = torch.nan
    rho[:, ~usable] = torch.nan
    return rho.cpu().numpy()


def gallery(
    cell: Cell, context: Context, targets: dict[str, NDArray[Any]], attributions: dict[str, NDArray[np.float32]]
) -> dict[str, NDArray[Any]]:
    """What a picture of the first samples needs: inputs in 8 bits, masks where known, channel sums of attributions."""
    batch, k = context.batch(cell), min(SHOWN, len(cell.samples))
    size = batch.inputs.shape[2:]
    sums, classes = np.full((len(attributions), k, *size), np.nan, dtype=np.float32), np.full((len(targets), k), -1)
    for e, name in enumerate(attributions):
        known = min(k, len(attributions[name]))
        sums[e, :known] = attributions[name][:known].sum(1)
        classes[e, :known] = targets[name][:known]
    kept = {
        "samples": np.asarray(cell.samples[:k], dtype=np.str_),
        "explainers": np.asarray(list(attributions), dtype=np.str_),
        "inputs": np.round(255 * batch.inputs[:k]).astype(np.uint8),
        "labels": np.asarray(batch.labels[:k]),
        "targets": classes,
        "attributions": sums,
    }
    return kept if batch.masks is None else kept | {"masks": np.asarray(batch.masks[:k])}
