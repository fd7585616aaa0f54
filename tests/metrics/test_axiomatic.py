"""Axioms. Oracles: closed forms on linear models, methods that satisfy an axiom by construction, and controls."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.errors import NotApplicableError
from benchmark.metrics.base import metrics
from benchmark.metrics.functional.shift import compensated
from benchmark.models.wrap import Model


def test_gradient_times_input_and_integrated_gradients_of_a_linear_model_are_complete(linear, explain):
    model, inputs, _, _ = linear
    for name in ("input-x-gradient", "integrated-gradients"):
        np.testing.assert_allclose(
            metrics.make("completeness").score(explain(model, inputs, explainer=name)), 0, atol=1e-5
        )


def test_completeness_in_closed_form(linear, explain):
    """Twice the complete attribution is off by the change itself; none at all too."""
    model, inputs, targets, perfect = linear
    change = (model(inputs) - model(torch.zeros_like(inputs))).detach()
    wanted = (change.gather(1, targets.view(-1, 1))[:, 0].abs() / change.abs().amax(1)).numpy()
    metric = metrics.make("completeness")
    for factor in (0, 2):
        np.testing.assert_allclose(metric.score(explain(model, inputs, factor * perfect)), wanted, rtol=1e-4)
    assert metric.score(explain(model, torch.zeros(1, 1, 6, 6), perfect[:1])).isnan().all()  # no logit changes


def test_completeness_direction_and_baseline(cnn, explain):
    inputs = torch.rand(8, 1, 8, 8)
    metric = metrics.make("completeness")
    good, bad = (metric.score(explain(cnn, inputs, explainer=name)) for name in ("integrated-gradients", "random"))
    assert metric.higher_is_better is False
    assert good.max() < 0.05 < bad.median()
    black = explain(cnn, inputs, explainer="integrated-gradients")
    assert metrics.make("completeness", {"baseline": 0.5}).score(black).median() > 0.1  # not the explainer's own


def half_blind():
    """Two logits that see the upper half of an 8x8 image."""
    torch.manual_seed(0)
    layer = nn.Linear(64, 2)
    with torch.no_grad():
        layer.weight[:, 32:] = 0
    return Model(nn.Sequential(nn.Flatten(), layer))


@pytest.mark.parametrize("step", [1, 8, 5, None])
def test_non_sensitivity_of_gradients_is_zero_and_of_controls_the_blind_half(explain, step):
    model, inputs = half_blind(), torch.rand(4, 1, 8, 8) / 2 + 0.5
    metric = metrics.make("non-sensitivity", {"features_in_step": step})
    np.testing.assert_array_equal(metric.score(explain(model, inputs, explainer="saliency")), 0)
    wanted = {1: 0.5, None: 0.5, 8: 0.5, 5: 6 / 13}[step]  # steps of 5: the seventh holds elements of both halves
    for control in ("random", "constant"):
        np.testing.assert_allclose(metric.score(explain(model, inputs, explainer=control)), wanted)


def shifted(name, model, inputs, explain, shift=-1.0):
    return metrics.make("input-invariance", {"shift": shift}).score(explain(model, inputs, explainer=name))


def test_input_invariance_in_closed_form(linear, explain):
    """Gradient: 0. Gradient times input, a = w x: ||w|| / ||w x|| times the shift."""
    model, inputs, targets, perfect = linear
    np.testing.assert_allclose(shifted("saliency", model, inputs, explain), 0, atol=1e-6)
    slope = model.network[1].weight[targets].norm(dim=1)
    wanted = 0.5 * slope / torch.tensor(perfect).flatten(1).norm(dim=1)
    np.testing.assert_allclose(shifted("input-x-gradient", model, inputs, explain, 0.5), wanted, rtol=1e-4)


def test_input_invariance_of_random_explainers_sees_the_shift_alone(cnn, explain):
    """SmoothGrad is the gradient at noisy inputs: invariant, with the same noise on both sides."""
    np.testing.assert_allclose(shifted("smoothgrad", cnn, torch.rand(3, 1, 8, 8), explain), 0, atol=1e-4)


NETWORKS = {
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False)), nn.BatchNorm2d(4))),
    "zero padding": lambda: nn.Conv2d(3, 4, 5, padding=2, stride=2),
    "same": lambda: nn.Conv2d(3, 4, 5, padding="same"),
    "reflected": lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    "groups and dilation": lambda: nn.Conv2d(3, 6, 3, groups=3, dilation=2, padding=2),
    "flat": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4)),
}


@pytest.mark.parametrize("one_logit", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_compensated_network_gives_the_same_outputs(name, one_logit):
    torch.manual_seed(0)
    first = NETWORKS[name]().eval()
    inputs = torch.rand(4, 3, 8, 8)
    width = first(inputs).flatten(1).shape[1]
    network = nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(width, 1 if one_logit else 3))
    model = Model(network, mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4], one_logit=one_logit)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    moved = compensated(model, inputs, -1.0)
    torch.testing.assert_close(moved(inputs - 1), model(inputs), atol=1e-4, rtol=1e-4)
    assert (model(inputs - 1) - model(inputs)).abs().max() > 1e-3
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_compensated_network_behind_luminance_and_resize():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 196, 3))
    model = Model(network, input_shape=(1, 16, 16), mean=[0.4], std=[0.3], grey=True)
    inputs = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(compensated(model, inputs, 0.7)(inputs + 0.7), model(inputs), atol=1e-4, rtol=1e-4)


def test_networks_that_cannot_be_compensated(explain):
    class Squared(nn.Module):
        def forward(self, x):
            return x.square()

    late = Model(nn.Sequential(Squared(), nn.Flatten(), nn.Linear(16, 2)))
    with pytest.raises(NotApplicableError, match="first layer must see the normalised input"):
        shifted("saliency", late, torch.rand(2, 1, 4, 4), explain)
    with pytest.raises(NotApplicableError, match="this network has none"):
        shifted("sobel", Model(nn.Flatten()), torch.rand(2, 1, 4, 4), explain)
