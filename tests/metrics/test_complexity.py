"""Complexity metrics. Oracles: known values, Quantus called directly."""

import numpy as np
import pytest
import quantus
import torch

from benchmark.metrics.base import metrics


@pytest.fixture
def known(linear, explain):
    """A constant, a one-hot and a half-and-half attribution over 36 features."""
    model, inputs, _, _ = linear
    values = np.zeros((3, 36), np.float32)
    values[0], values[1, 7], values[2, :18] = -3.0, -5.0, 0.25
    return explain(model, inputs[:3], values.reshape(3, 1, 6, 6))


def test_sparseness_of_known_attributions(known):
    np.testing.assert_allclose(metrics.make("sparseness").score(known), [0, 35 / 36, 0.5], atol=1e-5)


def test_complexity_of_known_attributions(known):
    np.testing.assert_allclose(metrics.make("complexity").score(known), [np.log(36), 0, np.log(18)], atol=1e-6)


@pytest.mark.parametrize(("name", "method"), [("sparseness", "Sparseness"), ("complexity", "Complexity")])
def test_parity_with_quantus(cnn, explain, name, method):
    batch = explain(cnn, torch.rand(5, 1, 8, 8))
    values = batch.attributions.numpy().astype(float) / np.abs(batch.attributions.numpy()).max((1, 2, 3), keepdims=True)
    direct = getattr(quantus, method)(abs=True, normalise=False, disable_warnings=True)
    wanted = direct(
        model=cnn, x_batch=batch.inputs.numpy(), y_batch=batch.targets.numpy(), a_batch=values, channel_first=True
    )
    np.testing.assert_allclose(metrics.make(name).score(batch), wanted, atol=1e-7)


@pytest.mark.parametrize("name", ["sparseness", "complexity"])
def test_scale_does_not_matter(cnn, explain, name):
    batch = explain(cnn, torch.rand(5, 1, 8, 8))
    before = metrics.make(name).score(batch)
    batch.attributions *= torch.tensor([1e-4, 1, 1e3, 1e6, 7]).reshape(5, 1, 1, 1)
    np.testing.assert_allclose(metrics.make(name).score(batch), before, atol=1e-5)
