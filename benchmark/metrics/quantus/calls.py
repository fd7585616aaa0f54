"""Calls of Quantus metric classes with their faults contained (see :mod:`benchmark.metrics.quantus.metrics`)."""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.errors import AssayError
from benchmark.metrics.quantus import adapter as q
from benchmark.seeds import Draws, derive, global_seed

if TYPE_CHECKING:
    from benchmark.metrics.base import Explained
    from benchmark.metrics.quantus.table import Known

FUNCTIONS = ("similarity_func", "norm_func", "perturb_func", "loss_func", "discretise_func", "complexity_func")
GONE = {"trapz": np.trapezoid, "NaN": np.nan, "Inf": np.inf}  # removed by NumPy 2, used by Quantus 0.6


def score(member: str, known: Known, params: Mapping[str, Any], explained: Explained) -> NDArray[np.float64]:
    """(N,) values of a class, sample by sample (or of all samples at once where it compares them)."""
    cls = getattr(q.quantus, member)
    signature = inspect.signature(cls.__init__).parameters
    normalise = bool(params.get("normalise", signature["normalise"].default))
    given = {key: _function(key, value) for key, value in params.items() if key != "normalise"}
    arrays = q.arrays(explained)
    attributions = arrays.attributions
    rows = q.usable(attributions, constant=False)
    if known.family == "localisation":
        attributions = attributions.sum(1, keepdims=True)
        rows = q.usable(attributions, constant=False)
        masks = arrays.masks
        rows &= np.zeros(len(rows), bool) if masks is None else masks.any(axis=(1, 2, 3))
    call = _Call(member, cls, given, arrays, q.per_sample_max(attributions) if normalise else attributions, normalise)
    call.classes = explained.logits.shape[1]
    try:
        if known.joint:
            return q.score_rows(rows, lambda indices: _values(member, call(indices), len(indices)))
        return q.score_rows(rows, lambda indices: _each(member, known, call, indices))
    finally:
        q.forget()


def _each(member: str, known: Known, call: Any, indices: NDArray[np.intp]) -> list[float]:
    """Sample by sample: one that Quantus cannot do (a constant map of a randomised copy) is NaN, alone.

    Raises:
        AssayError: it can do none; the first one's error.
    """
    values, first = [], None
    for i in range(len(indices)):
        try:
            values.append(reduced(member, known, call(indices[i : i + 1])))
        except AssayError as error:
            first = first or error
            values.append(float("nan"))
    if first is not None and np.isnan(values).all():
        raise first
    return values


def reduced(member: str, known: Known, result: Any) -> float:
    """One number from what a class returned for one sample."""
    if known.shape == "layers":
        layers = [np.ravel(values) for name, values in result.items() if name != "original"]
        return float(np.mean([_values(member, values, 1)[0] for values in layers]))
    if known.shape == "curve":
        curve = np.ravel(list(result.values()) if isinstance(result, Mapping) else result).astype(np.float64)
        return float(np.trapezoid(curve) / (len(curve) - 1)) if len(curve) > 1 else float(curve.mean())
    return float(_values(member, result, 1)[0])


def _values(member: str, result: Any, n: int) -> NDArray[np.float64]:
    values = np.ravel(np.asarray(result, dtype=np.float64))
    if len(values) != n:
        raise AssayError(f"quantus:{member} gave {len(values)} values for {n} samples")
    return values


class _Call:
    """A class with its parameters, called for some of the samples."""

    def __init__(
        self,
        member: str,
        cls: Any,
        params: Mapping[str, Any],
        arrays: q.Arrays,
        attributions: NDArray[Any],
        normalise: bool,
    ) -> None:
        self.member, self.cls, self.params = member, cls, dict(params)
        self.arrays, self.attributions, self.normalise = arrays, attributions, normalise
        self.classes = 0

    def __call__(self, rows: NDArray[np.intp]) -> Any:
        """What the metric object returns for the samples ``rows`` as one batch.

        Raises:
            AssayError: with the error of Quantus.
        """
        arrays = self.arrays
        seed = derive("quantus", self.member, *(arrays.generator.seeds[row] for row in rows))
        explain = self._explainer(rows)
        softmax = inspect.signature(self.cls.__call__).parameters["softmax"].default
        with global_seed(seed & 0x7FFFFFFF), contained(explain):
            try:
                return self._metric(seed)(
                    model=q.predictor(arrays.model, softmax=bool(softmax)),
                    x_batch=arrays.inputs[rows].copy(),
                    y_batch=arrays.targets[rows].copy(),
                    a_batch=self.attributions[rows].copy(),
                    s_batch=None if arrays.masks is None else arrays.masks[rows].copy(),
                    channel_first=True,
                    explain_func=explain,
                    batch_size=len(rows),
                )
            except AssayError:
                raise
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                text = str(error).strip().splitlines()
                raise AssayError(
                    f"quantus:{self.member} failed in Quantus: {type(error).__name__}: {text[0] if text else ''}"
                ) from error

    def _metric(self, seed: int) -> Any:
        own = {}
        if self.member == "RandomLogit":  # its own defaults: 1,000 classes and one seed for every sample
            own = {"num_classes": self.classes, "seed": seed & 0x7FFFFFFF}
        return self.cls(**{**q.QUIET, **own, **self.params})

    def _explainer(self, rows: NDArray[np.intp]) -> Callable[..., NDArray[np.float32]]:
        """The explainer under test as Quantus calls it; each sample's draws go on from call to call."""
        arrays = self.arrays
        draws = Draws([derive("again", arrays.generator.seeds[row]) for row in rows])

        def explain(model: Any, inputs: Any, targets: Any, **_: Any) -> NDArray[np.float32]:
            network = model.get_model() if hasattr(model, "get_model") else model
            like = next(iter(network.parameters()), torch.zeros(1))
            x = torch.as_tensor(np.asarray(inputs), device=arrays.model.device, dtype=like.dtype)
            y = torch.as_tensor(np.asarray(targets), device=arrays.model.device)
            attributions = arrays.explainer.explain(network, x, y, generator=draws).detach().cpu().numpy()
            return q.per_sample_max(attributions).astype(attributions.dtype) if self.normalise else attributions

        return explain


@contextlib.contextmanager
def contained(explain: Callable[..., Any]) -> Iterator[None]:
    """Quantus' surroundings during a call: nothing printed, NumPy's removed names there, no attribution refused."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        for name, value in GONE.items():
            if not hasattr(np, name):
                stack.enter_context(mock.patch.object(np, name, value, create=True))
        helpers = q.quantus.helpers
        stack.enter_context(mock.patch.object(helpers.asserts, "assert_attributions", _anything))
        stack.enter_context(mock.patch.object(helpers.utils, "get_wrapped_model", _wrapped))
        stack.enter_context(mock.patch.object(q.quantus, "explain", explain))
        yield


def _anything(**_: Any) -> None:
    return None


def _wrapped(model: Any, softmax: bool | None = None, **_: Any) -> Any:
    """In place of Quantus' wrapper, which keeps every model it has seen alive; ours may come wrapped already."""
    return model if hasattr(model, "predict") else q.predictor(model, softmax=bool(softmax))


def _function(key: str, value: Any) -> Any:
    """A function of Quantus by its name, where a parameter takes a function."""
    if isinstance(value, str) and (key.endswith("_func") or key.startswith("norm_")):
        for module in FUNCTIONS:
            function = getattr(getattr(q.quantus, module), value, None)
            if callable(function):
                return function
    return value


__all__ = ["contained", "reduced", "score"]
