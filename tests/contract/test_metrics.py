"""Every registered attribution metric. Oracle: the contract of ``Metric`` (properties)."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.explainers.base import explainers
from benchmark.metrics.base import Explained, metrics
from benchmark.models.wrap import Model
from benchmark.seeds import Draws

FAMILIES = {"faithfulness", "robustness", "randomisation", "complexity", "localisation", "axiomatic"}
ORDERED = {
    "pixel-flipping",
    "faithfulness-correlation",
    "faithfulness-estimate",
    "efficient-mprt",
    "relevance-rank-accuracy",
}
# a joint metric sees the suite at once: tests of its own
ALONE = [name for name in metrics.names() if not metrics.lookup(name)[0].joint]


def networks(name):
    if name == "mlp":
        return Model(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)), mean=[0.3], std=[0.5]
        )
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 1)]
    return Model(nn.Sequential(*layers), input_shape=(3, 8, 8), one_logit=True)


def batch(model, rows=slice(None), explainer="smoothgrad"):
    torch.manual_seed(3)
    inputs = torch.rand(6, 1, 8, 8)[rows]
    seeds = [101, 102, 103, 104, 105, 106][rows]
    targets = torch.tensor([0, 1, 0, 1, 1, 0])[rows]
    method = explainers.make(explainer)
    attributions = method.explain(model, inputs, targets, generator=Draws(seeds))
    masks = torch.as_tensor(np.random.default_rng(0).random((6, 1, 8, 8)) > 0.6)[rows]
    arrays = (inputs, targets, targets, attributions)
    return Explained(model, *arrays, masks, method, Draws([seed + 50 for seed in seeds]))


@pytest.mark.parametrize("network", ["mlp", "one-logit"])
@pytest.mark.parametrize("name", ALONE)
def test_metric(name, network, capsys):
    torch.manual_seed(0)
    model, metric = networks(network), metrics.make(name)
    whole = batch(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    arrays = [array.clone() for array in (whole.inputs, whole.targets, whole.attributions, whole.masks)]
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()

    scores = metric.score(whole)

    assert scores.shape == (6,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for array, given in zip((whole.inputs, whole.targets, whole.attributions, whole.masks), arrays, strict=True):
        assert torch.equal(array, given)
    assert capsys.readouterr() == ("", "")
    np.testing.assert_array_equal(metric.score(batch(model)), scores)
    alone = [metric.score(batch(model, slice(row, row + 1)))[0] for row in range(6)]
    np.testing.assert_allclose(alone, scores, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ALONE)
def test_the_memory_bound_does_not_matter(name, monkeypatch):
    torch.manual_seed(0)
    model, metric = networks("mlp"), metrics.make(name)
    scores = metric.score(batch(model))
    monkeypatch.setattr("benchmark.metrics._quantus.INPUT_ELEMENTS", 4 * 64)
    np.testing.assert_allclose(metric.score(batch(model)), scores, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ALONE)
def test_nan_is_contained(name):
    torch.manual_seed(0)
    model, metric = networks("mlp"), metrics.make(name)
    clean = metric.score(batch(model, explainer="input-x-gradient"))
    spoilt = batch(model, explainer="input-x-gradient")
    spoilt.attributions[1], spoilt.attributions[2], spoilt.attributions[4, 0, 0, 0] = 0.0, 0.7, np.nan
    scores = metric.score(spoilt)
    assert np.isnan(scores[[1, 4]]).all()
    assert np.isnan(scores[2]) == (name in ORDERED)  # a constant has no order, but it has an entropy and a stability
    np.testing.assert_allclose(scores[[0, 3, 5]], clean[[0, 3, 5]], atol=1e-5, rtol=1e-4)
    spoilt.attributions[:] = 0.0
    assert np.isnan(metric.score(spoilt)).all()


@pytest.mark.parametrize("name", ALONE)
def test_declaration(name):
    metric = metrics.make(name)
    assert metric.family in FAMILIES
    assert metric.channels in {"abs-sum", "sum", "each"}
    assert metric.higher_is_better in {True, False}
    assert metric.source
    assert "quantus==" in metric.implementation()
    assert metric.identity()["params"] == {}


def test_listing_needs_no_torch():
    code = (
        "import sys; from benchmark.metrics.base import metrics; from benchmark.explainers.base import explainers;"
        "assert metrics.names() and explainers.names();"
        "heavy = {'torch', 'quantus', 'captum', 'zennit', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
