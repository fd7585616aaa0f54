"""Axioms against Quantus. Oracle: its classes where they are right; else closed forms and the paper's definition."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.explainers.base import explainers
from benchmark.metrics.functional import completeness_residual, input_invariance, non_sensitivity
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from tests.parity.conftest import QUIET, Case, linear, make_case, network, quantus, theirs
from tests.parity.test_robustness import explained, for_quantus, gradient


def integrated(model, inputs, targets, steps=64):
    method = explainers.make("integrated-gradients", {"steps": steps})
    return method.explain(model, inputs, targets, generator=Draws(range(len(inputs))))


def test_completeness_of_quantus_is_an_exact_equality(rgb):
    """Integrated gradients are complete up to their quadrature: Quantus says False, the residual says 1e-2."""
    case = Case(rgb.model, rgb.inputs, rgb.targets, integrated(rgb.model, rgb.inputs, rgb.targets).double())
    wanted = theirs(quantus.Completeness(abs=False, **QUIET), case)
    found = completeness_residual(case.model, case.inputs, case.targets, case.attributions)
    assert not np.any(wanted)
    assert found.max() < 2e-2


def test_completeness_counts_what_quantus_compares(rgb):
    """The residual is |sum - output change| of Quantus' own quantities over the largest change of a logit.

    Quantus' "black" is the smallest number of the batch; ours is 0.
    """
    seen = {}

    def output(change):
        seen["change"] = change
        return change

    theirs(quantus.Completeness(abs=False, output_func=output, perturb_baseline=0.0, **QUIET), rgb)
    found = completeness_residual(rgb.model, rgb.inputs, rgb.targets, rgb.attributions)
    scale = (rgb.model(rgb.inputs) - rgb.model(torch.zeros_like(rgb.inputs))).abs().amax(1).numpy()
    total = rgb.attributions.flatten(1).sum(1).numpy()
    np.testing.assert_allclose(found, np.abs(total - seen["change"]) / scale, rtol=1e-5)
    half = rgb.single()
    single = completeness_residual(half.model, half.inputs, half.targets, half.attributions)
    np.testing.assert_allclose(single, found, rtol=1e-4)


def half_blind(side=8):
    """A network that sees the upper half of the image only."""
    model = linear(1, side)
    with torch.no_grad():
        model.network[1].weight[:, side * side // 2 :] = 0
    return model


@pytest.mark.parametrize("softmax", [True, False])
def test_non_sensitivity(softmax):
    """One element a step: Quantus counts elements, we give their share. Half of the true zeros are relevant here."""
    case = make_case(half_blind(), 1)
    attributions = case.attributions / case.attributions.flatten(1).abs().amax(1).view(-1, 1, 1, 1)
    attributions[..., :3] = 0
    case = Case(case.model, case.inputs, case.targets, attributions)
    positive = Case(case.model, case.inputs, case.targets, attributions.abs())  # Quantus means magnitudes
    wanted = theirs(quantus.NonSensitivity(abs=True, perturb_baseline=0.0, **QUIET), positive, softmax=softmax)
    found = non_sensitivity(
        case.model, case.inputs, case.targets, case.attributions, features_in_step=1, softmax=softmax
    )
    assert np.min(wanted) > 10
    np.testing.assert_allclose(found * 64, wanted, atol=1e-9)
    half = case.single()
    single = non_sensitivity(
        half.model, half.inputs, half.targets, half.attributions, features_in_step=1, softmax=softmax
    )
    np.testing.assert_allclose(single, found, atol=1 / 64)  # a change of the output about the size of eps


def test_non_sensitivity_of_quantus_crashes_with_several_features_a_step():
    """A row a step, the upper half sensitive: relevance on rows 0 to 3 agrees, on rows 4 to 7 does not."""
    case = make_case(half_blind(), 1)
    with pytest.raises(ValueError, match="broadcast"):
        theirs(quantus.NonSensitivity(abs=True, features_in_step=8, **QUIET), case)
    upper, lower = torch.zeros(2, 6, 1, 8, 8).double()
    upper[:, :, :4], lower[:, :, 4:] = 1, 1
    given = case.model, case.inputs, case.targets
    assert (non_sensitivity(*given, upper, features_in_step=8) == 0).all()
    assert (non_sensitivity(*given, lower, features_in_step=8) == 1).all()
    assert (non_sensitivity(*given, torch.ones_like(upper), features_in_step=8) == 0.5).all()


def flat_network():
    """A flat Sequential that begins with an unpadded convolution: all that Quantus' shift can take."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 4)]
    return nn.Sequential(*layers).double().eval().requires_grad_(False)


def plain_gradient(model, inputs, targets):
    x = inputs.clone().requires_grad_()
    return torch.autograd.grad(model(x).gather(1, targets.view(-1, 1)).sum(), x)[0].detach()


class Narrow:
    """Quantus makes a float32 shift and asks a float32 layer: its network is float32, and its explanations too."""

    def __init__(self, function):
        self.function = function

    def __call__(self, model, inputs, targets, **_):
        return self.function(model, torch.as_tensor(inputs, dtype=torch.float32), torch.as_tensor(targets)).numpy()


def shift_all(arr, input_shift, **_):
    return arr + input_shift


@pytest.mark.parametrize(("function", "invariant"), [(plain_gradient, True), (gradient, False)])
def test_input_invariance(function, invariant):
    """Quantus answers yes or no (equal within 1e-4); yes where our residual is 0, no where it is not.

    It is given a shift of every element: its own leaves the first one out (below).
    """
    case = make_case(flat_network()).single()
    model = case.model
    attributions = function(model, case.inputs, case.targets)
    case = Case(model, case.inputs, case.targets, attributions)
    metric = quantus.InputInvariance(abs=False, perturb_func=shift_all, **QUIET)
    wanted = theirs(metric, case, explain=Narrow(function), a_batch=attributions.numpy())
    found = input_invariance(function, model, case.inputs, case.targets, attributions)
    assert np.all(wanted) == invariant
    assert np.any(wanted) == invariant
    assert (found.max() < 1e-5) if invariant else (found.min() > 0.1)


def test_input_invariance_of_quantus_does_not_shift_the_first_element():
    """Its compensated network then sees another image: the gradient, invariant by definition, is called variant."""
    case, seen = make_case(flat_network()).single(), []

    def watching(model, inputs, targets):
        seen.append(inputs)
        return plain_gradient(model, inputs, targets)

    attributions = plain_gradient(case.model, case.inputs, case.targets)
    metric = quantus.InputInvariance(abs=False, **QUIET)
    wanted = theirs(metric, case, explain=Narrow(watching), a_batch=attributions.numpy())
    moved = (seen[0] - case.inputs).flatten(1)
    torch.testing.assert_close(moved[:, 1:], torch.full_like(moved[:, 1:], -1))
    assert (moved[:, 0] == 0).all()
    assert not np.all(wanted)
    found = input_invariance(plain_gradient, case.model, case.inputs, case.targets, attributions)
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_input_invariance_of_gradient_times_input_in_closed_form():
    """a = g x, and with the same gates a' = g (x - 1): the residual is ||g|| / ||g x||."""
    model = flat_network()
    case = make_case(model)
    attributions = gradient(model, case.inputs, case.targets)
    found = input_invariance(gradient, model, case.inputs, case.targets, attributions)
    slope = plain_gradient(model, case.inputs, case.targets).flatten(1)
    np.testing.assert_allclose(found, slope.norm(dim=1) / attributions.flatten(1).norm(dim=1), rtol=1e-9)


def test_input_invariance_of_quantus_breaks_on_nested_networks(rgb):
    """It takes the second module it finds for the first layer; a container has no bias. Padding it does not see."""
    case = explained(rgb)
    with pytest.raises(Exception, match=r"out_channels|subscriptable|bias|dtype"):
        theirs(quantus.InputInvariance(abs=False, **QUIET), case, explain=for_quantus)
    nested = Model(nn.Sequential(nn.Sequential(rgb.model.network[0], nn.ReLU()), *list(rgb.model.network)[2:]))
    for model in (rgb.model, nested.double(), network(1)):
        x = case.inputs[:, : model.network[0][0].in_channels if model is nested else model.network[0].in_channels]
        x = x.contiguous()
        clean = plain_gradient(model, x, case.targets)
        found = input_invariance(plain_gradient, model, x, case.targets, clean)
        np.testing.assert_allclose(found, 0, atol=1e-9)
