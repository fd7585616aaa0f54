"""What the parity tests share: networks in float64, inputs, attributions without ties, Quantus called on the same.

Quantus casts every input to float32 before the model sees it; :func:`theirs` keeps float64, so that a difference is one
of definition and not of rounding. It seeds NumPy's, Python's and torch's global generators before the call; a test
that replays a random stream seeds them alike and draws in Quantus' order (``get_baseline_dict`` draws an unused
``uniform(size=batch)`` on every call that names its baseline by a word, even ``"black"``).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.models.wrap import Model
from benchmark.seeds import global_seed

with warnings.catch_warnings(), global_seed(0):
    warnings.simplefilter("ignore")
    import quantus
    from quantus.helpers.model.pytorch_model import PyTorchModel

QUIET: dict[str, Any] = {
    "normalise": False,
    "return_aggregate": False,
    "disable_warnings": True,
    "display_progressbar": False,
}
ATOL = 1e-5  # the bound, in float64
FLOAT32 = 2e-4  # of float32 against float64: sums over some hundred elements and a correlation of small differences


def network(channels: int = 3, side: int = 8, classes: int = 4, dtype: torch.dtype = torch.float64) -> Model:
    """A small convolutional network of seeded weights on (channels, side, side), in eval mode, with preprocessing."""
    half = side // 2
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [
            nn.Conv2d(channels, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(6 * half * half, 16),
            nn.ReLU(),
            nn.Linear(16, classes),
        ]
    with torch.no_grad():
        layers[-1].weight.mul_(4)  # logits that move by about 1
    return Model(nn.Sequential(*layers), mean=[0.4] * channels, std=[0.5] * channels).to(dtype)


def linear(channels: int = 3, side: int = 8, classes: int = 4, dtype: torch.dtype = torch.float64) -> Model:
    """A linear model: its weights are ``model.network[1].weight``."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layer = nn.Linear(channels * side * side, classes)
    return Model(nn.Sequential(nn.Flatten(), layer)).to(dtype)


def tie_free(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Signed attributions (N, ...), float64: no two magnitudes of a sample are equal or closer than 1e-4, none is 0."""
    rng, features = np.random.default_rng(seed), int(np.prod(shape[1:]))
    values = [rng.permutation(features) + 1 + 0.5 * rng.random() for _ in range(shape[0])]
    signs = rng.choice([-1, 1], (shape[0], features))
    return torch.as_tensor((np.stack(values) / features * signs).reshape(shape))


@dataclass
class Case:
    """A network and what is explained of it, contiguous; float64 unless made by :meth:`single`."""

    model: Model
    inputs: torch.Tensor
    targets: torch.Tensor
    attributions: torch.Tensor

    def single(self) -> Case:
        """The same in float32 (the inputs are float32 numbers already)."""
        import copy

        return Case(copy.deepcopy(self.model).float(), self.inputs.float(), self.targets, self.attributions.float())


def make_case(model: Model, channels: int = 3, side: int = 8, n: int = 6, seed: int = 0) -> Case:
    """Uniform inputs, the model's predictions as targets, tie-free attributions."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand((n, channels, side, side), generator=generator).double()
    with torch.no_grad():
        targets = model(inputs).argmax(1)
    return Case(model, inputs, targets, tie_free(tuple(inputs.shape), seed))


@pytest.fixture
def rgb() -> Case:
    """Six colour images of 8x8 and the convolutional network."""
    return make_case(network())


@pytest.fixture
def grey() -> Case:
    """Six grey images of 8x8 and the convolutional network."""
    return make_case(network(1), 1)


def _predictions(self: Any, x: Any, model_predict_kwargs: dict[str, Any]) -> torch.Tensor:
    """In place of Quantus' ``_obtain_predictions``, which casts to float32."""
    dtype = next(self.model.parameters()).dtype
    output: torch.Tensor = self.get_softmax_arg_model()(torch.as_tensor(np.asarray(x), dtype=dtype))
    return output


def theirs(
    metric: Any,
    case: Case,
    *,
    softmax: bool = False,
    masks: torch.Tensor | None = None,
    seed: int = 0,
    explain: Any = None,
    **options: Any,
) -> Any:
    """What a Quantus metric object returns for all samples of ``case`` as one batch (copies are handed over).

    Args:
        metric: such as ``quantus.FaithfulnessEstimate(**QUIET)``.
        softmax: probabilities rather than logits.
        masks: bool (N, 1, H, W), Quantus' ``s_batch``.
        seed: of all global generators before the call; their state is put back.
        explain: Quantus' ``explain_func(model, inputs, targets, **kwargs)``, where the metric explains again; the
            given attributions are then left out unless ``a_batch`` is among the options.
        **options: other arguments of the metric's ``__call__``.
    """
    given: dict[str, Any] = {
        "model": case.model,
        "x_batch": case.inputs.numpy().copy(),
        "y_batch": case.targets.numpy().copy(),
        "a_batch": None if explain is not None else case.attributions.numpy().copy(),
        "s_batch": None if masks is None else masks.numpy().copy(),
        "channel_first": True,
        "softmax": softmax,
        "device": "cpu",
        "batch_size": len(case.inputs),
        "explain_func": explain,
    }
    with warnings.catch_warnings(), np.errstate(all="ignore"), global_seed(seed):
        warnings.simplefilter("ignore")
        with mock.patch.object(PyTorchModel, "_obtain_predictions", _predictions):
            try:
                return metric(**{**given, **options})
            finally:
                for name in ("_get_last_softmax_layer_index", "_get_model_with_linear_top"):
                    getattr(PyTorchModel, name).cache_clear()


__all__ = ["ATOL", "FLOAT32", "QUIET", "Case", "linear", "make_case", "network", "quantus", "theirs", "tie_free"]
