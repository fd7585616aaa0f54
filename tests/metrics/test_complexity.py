"""Complexity metrics. Oracles: known values, properties. Parity with Quantus is in tests/parity/test_complexity.py."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmark.metrics.base import metrics
from benchmark.metrics.functional import complexity as functions

NAMES = ["sparseness", "complexity", "effective-complexity"]


def score(name, batch, **params):
    return np.asarray(metrics.make(name, params).score(batch))


@pytest.fixture
def known(linear, explain):
    """A constant, a one-hot and a half-and-half attribution over 36 features."""
    model, inputs, _, _ = linear
    values = np.zeros((3, 36), np.float32)
    values[0], values[1, 7], values[2, :18] = -3.0, -5.0, 0.25
    return explain(model, inputs[:3], values.reshape(3, 1, 6, 6))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("sparseness", [0, 35 / 36, 0.5]),
        ("complexity", [np.log(36), 0, np.log(18)]),
        ("effective-complexity", [1, 1 / 36, 0.5]),
    ],
)
def test_known_attributions(known, name, wanted):
    np.testing.assert_allclose(score(name, known), wanted, atol=1e-6)


def test_effective_complexity_takes_its_threshold_from_the_samples_largest(known):
    known.attributions = torch.linspace(-1, 1, 36).view(1, 1, 6, 6) * torch.tensor([1e-3, 1, 1e4]).view(3, 1, 1, 1)
    np.testing.assert_allclose(score("effective-complexity", known, eps=0.5), 18 / 36)


def test_gini_by_its_definition_as_a_mean_difference():
    """G = sum |a_i - a_j| / (2 d^2 mean), of magnitudes."""
    values = torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    flat = values.flatten(1).abs().double()
    wanted = (flat[:, :, None] - flat[:, None]).abs().sum((1, 2)) / (2 * 25**2 * flat.mean(1))
    np.testing.assert_allclose(functions.sparseness(values), wanted, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, (2, 12), elements=st.floats(-1e6, 1e6)), st.permutations(range(12)))
def test_range_scale_sign_and_permutation(values, order):
    a = torch.as_tensor(values)
    zero = (a == 0).all(1)
    for function, low, high in (
        (functions.sparseness, 0, 1),
        (functions.complexity, 0, np.log(12)),
        (functions.effective_complexity, 1 / 12, 1),
    ):
        found = function(a)
        assert torch.equal(found.isnan(), zero)
        fine = found[~zero]
        assert ((fine >= low - 1e-9) & (fine <= high + 1e-9)).all()
        np.testing.assert_allclose(function(-4 * a), found, atol=1e-9)
        np.testing.assert_allclose(function(a[:, list(order)]), found, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_scale_does_not_matter(cnn, explain, name):
    torch.manual_seed(0)
    batch = explain(cnn, torch.rand(5, 1, 8, 8))
    before = score(name, batch)
    batch.attributions = batch.attributions * torch.tensor([1e-4, 1, 1e3, 1e6, 7]).view(5, 1, 1, 1)
    np.testing.assert_allclose(score(name, batch), before, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_direction_spread_noise_is_worse_than_one_spot(known, name):
    known.attributions = torch.rand(known.inputs.shape, generator=torch.Generator().manual_seed(0))
    noise = score(name, known).mean()
    known.attributions[:, :, 2:, :] *= 1e-3
    spot = score(name, known).mean()
    assert (spot > noise) == metrics.make(name).higher_is_better
    assert abs(spot - noise) > 0.1
