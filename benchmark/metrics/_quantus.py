"""The one door to Quantus: its traps (NumPy's global stream, batch-wide normalisation, assertions, prints) end here.

- ``evaluate_batch`` is called on arrays that we prepared. ``Metric.__call__`` would refuse a whole batch whose
  attributions are all negative, or all one number.
- Attributions are divided by their largest magnitude **per sample** (Quantus divides by that of the batch).
- Samples whose attribution the metric cannot use get NaN and are left out, so that they do not touch the others.
- Code that draws from global state runs for one sample at a time, seeded by the sample; the old state is put back.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmark.explainers.base import Explainer
from benchmark.metrics.base import Explained
from benchmark.models.wrap import Model
from benchmark.seeds import Draws, derive, global_seed

with warnings.catch_warnings(), global_seed(0):  # importing quantus draws from Python's generator
    warnings.simplefilter("ignore")  # optional back ends that are absent announce themselves
    import quantus
    from quantus.helpers.model.pytorch_model import PyTorchModel

INPUT_ELEMENTS = 2**18  # elements of input a forward may hold: 4,096 images of 8x8, 64 of 64x64, 1 of 3x224x224
QUIET: dict[str, Any] = {
    "normalise": False,
    "return_aggregate": False,
    "disable_warnings": True,
    "display_progressbar": False,
}


@dataclass
class Arrays:
    """:class:`Explained` as Quantus takes it: NumPy arrays."""

    model: Model
    inputs: NDArray[np.float32]
    targets: NDArray[np.int64]
    attributions: NDArray[np.float32]
    masks: NDArray[np.bool_] | None
    explainer: Explainer
    generator: Draws


def arrays(explained: Explained) -> Arrays:
    """The batch as NumPy arrays."""
    masks = explained.masks
    return Arrays(
        model=explained.model,
        inputs=explained.inputs.cpu().numpy(),
        targets=explained.targets.cpu().numpy(),
        attributions=explained.attributions.cpu().numpy(),
        masks=None if masks is None else masks.cpu().numpy(),
        explainer=explained.explainer,
        generator=explained.generator,
    )


def parts(array: NDArray[Any]) -> list[NDArray[Any]]:
    """The array in pieces along its first axis, each of at most INPUT_ELEMENTS elements (at least one row)."""
    step = max(1, INPUT_ELEMENTS // max(1, array[0].size))
    return [array[start : start + step] for start in range(0, len(array), step)]


class Predictor(PyTorchModel):  # type: ignore[misc]
    """Quantus' view of our model; ``softmax`` is exactly what was asked.

    The original looks for a softmax module anywhere in the network, replaces it (an attention's too), and keeps every
    model alive in an ``lru_cache``.
    """

    def get_softmax_arg_model(self) -> nn.Module:
        """The model, with a softmax behind it where probabilities are wanted."""
        network: nn.Module = self.model
        return nn.Sequential(network, nn.Softmax(dim=-1)) if self.softmax else network

    def predict(self, x: NDArray[Any], grad: bool = False, **kwargs: Any) -> NDArray[Any]:
        """Outputs (N, classes) of inputs (N, C, H, W), in parts that fit in memory."""
        return np.concatenate([super(Predictor, self).predict(part, grad, **kwargs) for part in parts(x)])


def predictor(model: Model, *, softmax: bool) -> Predictor:
    """Quantus' view of ``model``: logits, or probabilities with ``softmax``."""
    return Predictor(model, channel_first=True, softmax=softmax, device=str(model.device))


@contextmanager
def quiet() -> Iterator[None]:
    """Quantus warns once a step and a sample (an unchanged input, 0/0); what matters of it becomes NaN."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def per_sample_max(attributions: NDArray[Any]) -> NDArray[np.float64]:
    """Attributions divided by their largest magnitude, sample by sample, in float64; an all-zero one stays zero."""
    values = attributions.astype(np.float64)
    largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
    return values / np.where(largest > 0, largest, 1.0)


def usable(attributions: NDArray[Any], *, constant: bool) -> NDArray[np.bool_]:
    """(N,) True where an attribution is finite, not all zero and, unless ``constant`` is allowed, not constant."""
    flat = attributions.reshape(len(attributions), -1)
    with np.errstate(all="ignore"):
        fine = np.isfinite(flat).all(1) & (flat != 0).any(1)
        varied: NDArray[np.bool_] = fine if constant else fine & (flat.max(1) > flat.min(1))
    return varied


def score_rows(rows: NDArray[np.bool_], values: Callable[[NDArray[np.intp]], Any]) -> NDArray[np.float64]:
    """NaN everywhere but in ``rows``, whose values ``values(indices)`` gives; infinities become NaN too."""
    scores = np.full(len(rows), np.nan)
    indices = np.flatnonzero(rows)
    if len(indices):
        with quiet():
            scores[indices] = np.asarray(values(indices), dtype=np.float64)
    return np.where(np.isfinite(scores), scores, np.nan)


def evaluate(
    metric: Any, explained: Arrays, rows: Sequence[int] | NDArray[np.intp], *, softmax: bool, **arrays: Any
) -> Any:
    """``metric.evaluate_batch`` on these samples, with attributions normalised per sample (``arrays`` override)."""
    given: dict[str, Any] = {
        "model": predictor(explained.model, softmax=softmax),
        "x_batch": explained.inputs[rows].copy(),
        "y_batch": explained.targets[rows],
        "a_batch": per_sample_max(explained.attributions[rows]),
        "s_batch": None,
    }
    return metric.evaluate_batch(**{**given, **arrays})


def evaluate_one_by_one(
    metric: Any, explained: Arrays, rows: NDArray[np.intp], *, softmax: bool, label: str
) -> list[float]:
    """:func:`evaluate` sample by sample, each under its own seed: for metrics that draw from NumPy's global stream."""
    scores = []
    for row in rows:
        with global_seed(derive(label, explained.generator.seeds[row]) & 0x7FFFFFFF):
            scores += list(evaluate(metric, explained, [row], softmax=softmax))
    return scores


def explain(explained: Arrays, model: nn.Module, inputs: Any, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Attributions of the explainer under test for (perturbed) inputs or a (randomised) model; draws go on.

    Args:
        model: a :class:`benchmark.models.wrap.Model`, or Quantus' randomised copy of one.
        inputs: (len(rows), C, H, W).
        rows: which samples of the batch these are.
    """
    assert isinstance(model, Model)
    device, pieces = model.device, []
    for part in parts(np.asarray(inputs, dtype=np.float32)):
        here, rows = rows[: len(part)], rows[len(part) :]
        targets = torch.as_tensor(explained.targets[here], device=device)
        draws: Draws = explained.generator.subset([int(row) for row in here])
        attributions = explained.explainer.explain(
            model, torch.as_tensor(part, device=device), targets, generator=draws
        )
        pieces.append(attributions.detach().cpu().numpy())
    return np.concatenate(pieces).astype(np.float32)


def forget(model_wrapper: type[Any] = PyTorchModel) -> None:
    """Empty the caches by which Quantus keeps every model it has seen alive."""
    for name in ("_get_last_softmax_layer_index", "_get_model_with_linear_top"):
        getattr(model_wrapper, name).cache_clear()


__all__ = [
    "QUIET",
    "Arrays",
    "Predictor",
    "arrays",
    "evaluate",
    "evaluate_one_by_one",
    "explain",
    "forget",
    "per_sample_max",
    "predictor",
    "quantus",
    "quiet",
    "score_rows",
    "usable",
]
