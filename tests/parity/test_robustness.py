"""Robustness against Quantus. Oracle: its classes on the same inputs and noise; where they are wrong, the paper.

Quantus' noise is ours: its ``perturb_func`` draws from the same per-sample generators in the same order.
"""

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.metrics.functional import (
    avg_sensitivity,
    continuity,
    local_lipschitz_estimate,
    max_sensitivity,
    relative_input_stability,
    relative_output_stability,
    relative_representation_stability,
)
from benchmark.metrics.functional.common import per_sample_max
from benchmark.seeds import Draws
from tests.parity.conftest import ATOL, FLOAT32, QUIET, Case, make_case, network, quantus, theirs

SEEDS = range(6)


def gradient(model, inputs, targets):
    """Gradient times input, so that attributions are free of ties."""
    x = inputs.clone().requires_grad_()
    chosen = model(x).gather(1, targets.view(-1, 1)).sum()
    return (torch.autograd.grad(chosen, x)[0] * inputs).detach()


def explained(case):
    return Case(case.model, case.inputs, case.targets, gradient(case.model, case.inputs, case.targets))


def for_quantus(model, inputs, targets, **_):
    dtype = next(model.parameters()).dtype
    return gradient(model, torch.as_tensor(inputs, dtype=dtype), torch.as_tensor(targets)).numpy()


def noise(kind, scale):
    """A ``perturb_func`` of Quantus that adds our noise (arrays come flat: (N, C * H * W))."""
    draws = Draws(SEEDS)

    def perturbed(arr, **_):
        moves = (
            draws.uniform((arr.shape[1],), -scale, scale) if kind == "uniform" else scale * draws.normal(arr.shape[1:])
        )
        return arr + moves.numpy().astype(arr.dtype)

    return perturbed


def each_by_its_maximum(a):
    return per_sample_max(torch.as_tensor(a)).numpy()


def ours(function, case, **options):
    return function(gradient, case.model, case.inputs, case.targets, case.attributions, **options).numpy()


@pytest.fixture(params=["rgb", "grey"])
def case(request):
    return explained(request.getfixturevalue(request.param))


SENSITIVITIES = [(max_sensitivity, quantus.MaxSensitivity), (avg_sensitivity, quantus.AvgSensitivity)]


@pytest.mark.parametrize(("function", "theirs_"), SENSITIVITIES)
def test_sensitivity(case, function, theirs_):
    metric = theirs_(nr_samples=5, perturb_func=noise("uniform", 0.2), abs=False, **QUIET)
    wanted = theirs(metric, case, explain=for_quantus, a_batch=case.attributions.numpy())
    found = ours(function, case, generator=Draws(SEEDS), nr_samples=5)
    assert np.ptp(wanted) > 0.01
    np.testing.assert_allclose(found, wanted, atol=ATOL)
    single = ours(function, explained(case.single()), generator=Draws(SEEDS), nr_samples=5)
    np.testing.assert_allclose(single, found, rtol=FLOAT32)


def test_local_lipschitz(case):
    for normalise in (True, False):
        metric = quantus.LocalLipschitzEstimate(
            nr_samples=5,
            perturb_func=noise("gaussian", 0.1),
            **{**QUIET, "normalise": normalise},
            normalise_func=each_by_its_maximum,
        )
        wanted = theirs(metric, case, explain=for_quantus, a_batch=case.attributions.numpy())
        options = {"nr_samples": 5, "normalise": normalise}
        found = ours(local_lipschitz_estimate, case, generator=Draws(SEEDS), **options)
        np.testing.assert_allclose(found, wanted, rtol=ATOL)
        single = ours(local_lipschitz_estimate, explained(case.single()), generator=Draws(SEEDS), **options)
        np.testing.assert_allclose(single, found, rtol=FLOAT32)


def test_local_lipschitz_of_quantus_depends_on_the_batch(case):
    """Normalised by the maximum of the batch, a sample's value moves with what stands beside it; ours does not."""
    rows = case.inputs * torch.linspace(0.1, 1, 6).view(-1, 1, 1, 1).double()
    dim = explained(Case(case.model, rows, case.targets, rows))

    def one(given, n):
        part = Case(given.model, given.inputs[:n], given.targets[:n], given.attributions[:n])
        metric = quantus.LocalLipschitzEstimate(
            nr_samples=2, perturb_func=lambda arr, **_: arr + 0.1, **{**QUIET, "normalise": True}
        )
        return theirs(metric, part, explain=for_quantus, a_batch=part.attributions.numpy())[0]

    assert one(dim, 1) > 1.2 * one(dim, 6)
    alone = Case(dim.model, dim.inputs[:1], dim.targets[:1], dim.attributions[:1])
    whole = ours(local_lipschitz_estimate, dim, generator=Draws(SEEDS))
    np.testing.assert_allclose(ours(local_lipschitz_estimate, alone, generator=Draws([0])), whole[:1], rtol=1e-9)


RELATIVE = [
    (relative_input_stability, quantus.RelativeInputStability),
    (relative_output_stability, quantus.RelativeOutputStability),
]


@pytest.mark.parametrize(("function", "theirs_"), RELATIVE)
def test_relative_stability(case, function, theirs_):
    """Quantus takes all copies (``return_nan_when_prediction_changes`` off), on noise that changes no prediction."""
    metric = theirs_(
        nr_samples=5, perturb_func=noise("gaussian", 0.01), return_nan_when_prediction_changes=True, **QUIET
    )
    wanted = np.asarray(theirs(metric, case, explain=for_quantus, a_batch=case.attributions.numpy()))
    found = ours(function, case, generator=Draws(SEEDS), nr_samples=5, std=0.01)
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(found, wanted, rtol=ATOL)
    single = ours(function, explained(case.single()), generator=Draws(SEEDS), nr_samples=5, std=0.01)
    np.testing.assert_allclose(single, found, rtol=50 * FLOAT32)  # small relevances stand in the denominator


@pytest.mark.parametrize(("function", "theirs_"), RELATIVE)
def test_relative_stability_of_quantus_is_nan_as_soon_as_one_copy_changes_the_class(case, function, theirs_):
    """Agarwal et al. 2022, eq. 2: the maximum is over the copies of the same predicted class."""
    metric = theirs_(nr_samples=8, perturb_func=noise("gaussian", 0.8), **QUIET)
    wanted = np.asarray(theirs(metric, case, explain=for_quantus, a_batch=case.attributions.numpy()))
    found = ours(function, case, generator=Draws(SEEDS), nr_samples=8, std=0.8)
    draws, best = Draws(SEEDS), np.full(6, -np.inf)
    for _ in range(8):
        x = case.inputs + 0.8 * draws.normal(case.inputs.shape[1:])
        a = gradient(case.model, x, case.targets)
        above = ((case.attributions - a) / case.attributions).flatten(1).norm(dim=1)
        before, after = case.model(case.inputs), case.model(x)
        below = after - before if function is relative_output_stability else (case.inputs - x) / case.inputs
        value = (above / below.flatten(1).norm(dim=1)).numpy()
        best = np.where((before.argmax(1) == after.argmax(1)).numpy(), np.maximum(best, value), best)
    assert np.isnan(wanted).sum() >= 2
    assert np.isfinite(best).sum() > np.isfinite(wanted).sum()
    np.testing.assert_allclose(found, np.where(np.isfinite(best), best, np.nan), rtol=1e-9)


class Wide(nn.Sequential):
    """Takes the float32 that ``get_hidden_representations`` makes of every input."""

    def forward(self, x):
        return super().forward(x.double())


def test_relative_representation_stability():
    """All layers of a sequential network; its inputs and noise are float32 numbers, which Quantus casts to."""
    network_ = network(1).network.double()
    case = explained(make_case(Wide(*network_).eval(), 1))
    draws = Draws(SEEDS)

    def perturbed(arr, **_):
        return arr + 0.01 * draws.normal((64,)).numpy()

    metric = quantus.RelativeRepresentationStability(nr_samples=5, perturb_func=perturbed, **QUIET)
    wanted = np.asarray(theirs(metric, case, explain=for_quantus, a_batch=case.attributions.numpy()))
    found = ours(relative_representation_stability, case, generator=Draws(SEEDS), nr_samples=5, std=0.01)
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(found, wanted, rtol=5e-5)  # Quantus' float32 input
    half = ours(
        relative_representation_stability, case, generator=Draws(SEEDS), nr_samples=5, std=0.01, layers=["0", "6"]
    )
    metric = quantus.RelativeRepresentationStability(
        nr_samples=5, perturb_func=noise("gaussian", 0.01), layer_indices=[0, 6], **QUIET
    )
    wanted = np.asarray(theirs(metric, case, explain=for_quantus, a_batch=case.attributions.numpy()))
    np.testing.assert_allclose(half, wanted, rtol=5e-5)


def test_the_default_noise_of_quantus_relative_stability_is_one_sided():
    """Its default draws from [0.02, 0.2): every copy is brighter. The paper's noise has mean zero, and so has ours."""
    metric = quantus.RelativeInputStability(**QUIET)
    moved = metric.perturb_func(arr=np.zeros((2, 500)), indices=np.tile(np.arange(500), (2, 1)))
    assert moved.min() >= 0.02
    assert moved.max() < 0.2


def test_continuity_of_quantus_crashes(case):
    """np.NaN is gone from NumPy 2; without it, it runs, but translates to both sides by up to the whole width."""
    metric = quantus.Continuity(nr_steps=2, return_nan_when_prediction_changes=True, **QUIET)
    with pytest.raises(AttributeError, match="NaN"):
        theirs(metric, case, explain=for_quantus, a_batch=case.attributions.numpy())


def test_continuity_by_its_definition(case):
    """Montavon et al. 2018, section 5.2, by a loop; Quantus' distances on the same translation."""
    found = ours(continuity, case, nr_steps=4)
    clean, best = per_sample_max(case.attributions), np.zeros(6)
    for shift in (1, 2, 3, 4):
        x = np.zeros(case.inputs.shape)
        x[..., shift:] = case.inputs.numpy()[..., :-shift]
        a = per_sample_max(gradient(case.model, torch.as_tensor(x), case.targets)).numpy()
        above = quantus.similarity_func.distance_manhattan(clean.flatten(1).numpy(), a.reshape(6, -1))
        below = quantus.similarity_func.distance_euclidean(case.inputs.flatten(1).numpy(), x.reshape(6, -1))
        best = np.maximum(best, above / below)
    np.testing.assert_allclose(found, best, rtol=1e-9)
