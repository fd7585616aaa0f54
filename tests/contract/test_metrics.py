"""Every registered attribution metric. Oracle: the contract of ``Metric`` (properties).

``quantus:<Class>`` has its own table in ``tests/metrics/test_quantus.py``; here it is one of the declarations.
"""

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
from benchmark.registry import Family
from benchmark.seeds import Draws

FAMILIES = {"faithfulness", "robustness", "randomisation", "complexity", "localisation", "axiomatic"}
FAMILY = [name for name, cls in metrics.classes().items() if issubclass(cls, Family)]
# a joint metric sees the suite at once: tests of its own
NAMES = [n for n in metrics.names() if n.partition(":")[0] not in FAMILY and not metrics.lookup(n)[0].joint]
# a constant has no order (NaN), but it has an entropy and a stability; what else is defined for it stands here
CONSTANT = {
    "sparseness",
    "complexity",
    "effective-complexity",
    "infidelity",
    "relevance-mass-accuracy",
    "artefact-relevance-mass",
    "localisation-auc",
    "mask-share",
    "max-sensitivity",
    "avg-sensitivity",
    "local-lipschitz",
    "relative-input-stability",
    "relative-output-stability",
    "relative-representation-stability",
    "continuity",
    "completeness",
    "non-sensitivity",
    "input-invariance",
    "smooth-mprt",  # it explains the untouched model again
}
ZERO = {"completeness", "non-sensitivity"}  # all-zero attributions have a residual
# a small attribution in the denominator, or a nearly equal pair of ranks or bins, magnifies a rounding of float32
LOOSE = {
    "relative-input-stability": 0.05,
    "relative-output-stability": 0.05,
    "relative-representation-stability": 0.05,
    "efficient-mprt": 0.02,
}


def networks(name):
    if name == "mlp":
        return Model(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)), mean=[0.3], std=[0.5]
        )
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 1)]
    return Model(nn.Sequential(*layers), input_shape=(3, 8, 8), one_logit=True)


def batch(model, rows=slice(None), explainer="smoothgrad", dtype=torch.float32):
    torch.manual_seed(3)
    inputs = torch.rand(6, 1, 8, 8)[rows].to(dtype)
    seeds = [101, 102, 103, 104, 105, 106][rows]
    targets = torch.tensor([0, 1, 0, 1, 1, 0])[rows]
    method = explainers.make(explainer)
    attributions = method.explain(model, inputs, targets, generator=Draws(seeds))
    masks = torch.as_tensor(np.random.default_rng(0).random((6, 1, 8, 8)) > 0.6)
    masks[:, :, 3:5, 3:5] = True
    arrays = (inputs, targets, targets, attributions)
    return Explained(model, *arrays, masks[rows], method, Draws([seed + 50 for seed in seeds]), masks[rows])


def value(found):
    """The metric's own number, as NumPy."""
    found = found["value"] if isinstance(found, dict) else found
    return found.numpy() if isinstance(found, torch.Tensor) else found


@pytest.mark.parametrize("network", ["mlp", "one-logit"])
@pytest.mark.parametrize("name", NAMES)
def test_metric(name, network, capsys):
    torch.manual_seed(0)
    model, metric = networks(network), metrics.make(name)
    whole = batch(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    arrays = [array.clone() for array in (whole.inputs, whole.targets, whole.attributions, whole.masks)]
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()

    scores = value(metric.score(whole))

    assert scores.shape == (6,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    for array, given in zip((whole.inputs, whole.targets, whole.attributions, whole.masks), arrays, strict=True):
        assert torch.equal(array, given)
    assert capsys.readouterr() == ("", "")
    np.testing.assert_array_equal(value(metric.score(batch(model))), scores)
    if not metric.joint:
        alone = [value(metric.score(batch(model, slice(row, row + 1))))[0] for row in range(6)]
        np.testing.assert_allclose(alone, scores, atol=1e-5, rtol=LOOSE.get(name, 1e-4))


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_bound_does_not_matter(name, monkeypatch):
    torch.manual_seed(0)
    model, metric = networks("mlp"), metrics.make(name)
    scores = value(metric.score(batch(model)))
    monkeypatch.setattr("benchmark.metrics.quantus.adapter.INPUT_ELEMENTS", 4 * 64)
    monkeypatch.setattr("benchmark.metrics.functional.common.INPUT_ELEMENTS", {"cpu": 4 * 64})
    found = value(metric.score(batch(model)))
    np.testing.assert_allclose(found, scores, atol=1e-5, rtol=LOOSE.get(name, 1e-4))


@pytest.mark.parametrize("name", NAMES)
def test_float64_is_taken_as_it_is(name):
    """The same numbers in float64: what float32 gives is not an artefact of its rounding."""
    torch.manual_seed(0)
    model, metric = networks("mlp"), metrics.make(name)
    if metric.library:
        pytest.skip("a library's metric computes in float32")
    single = value(metric.score(batch(model, explainer="input-x-gradient")))
    double = value(metric.score(batch(model.double(), explainer="input-x-gradient", dtype=torch.float64)))
    np.testing.assert_allclose(single, double, atol=1e-3, rtol=LOOSE.get(name, 1e-2))


@pytest.mark.parametrize("name", NAMES)
def test_nan_is_contained(name):
    torch.manual_seed(0)
    model, metric = networks("mlp"), metrics.make(name)
    clean = value(metric.score(batch(model, explainer="input-x-gradient")))
    spoilt = batch(model, explainer="input-x-gradient")
    spoilt.attributions[1], spoilt.attributions[2], spoilt.attributions[4, 0, 0, 0] = 0.0, 0.7, np.nan
    scores = value(metric.score(spoilt))
    assert np.isnan(scores[4])
    assert np.isnan(scores[1]) == (name not in ZERO)
    assert np.isnan(scores[2]) == (name not in CONSTANT)
    if not metric.joint:
        np.testing.assert_allclose(scores[[0, 3, 5]], clean[[0, 3, 5]], atol=1e-5, rtol=LOOSE.get(name, 1e-4))
    spoilt.attributions[:] = 0.0
    assert np.isnan(value(metric.score(spoilt))).all() == (name not in ZERO)


@pytest.mark.parametrize("name", NAMES)
def test_declaration(name):
    metric = metrics.make(name)
    assert metric.family in FAMILIES
    assert metric.channels in {"abs-sum", "sum", "each"}
    assert metric.higher_is_better in {True, False, None}
    assert metric.source
    assert metric.identity()["params"] == {}
    if metric.library:
        assert f"{metric.library}==" in metric.implementation()
    else:
        assert metric.range


def test_listing_needs_no_torch():
    code = (
        "import sys; from benchmark.metrics.base import metrics; from benchmark.explainers.base import explainers;"
        "assert metrics.names() and explainers.names();"
        "assert metrics.make('quantus:Selectivity', {'patch_size': 4}).higher_is_better is False;"
        "heavy = {'torch', 'quantus', 'captum', 'zennit', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
