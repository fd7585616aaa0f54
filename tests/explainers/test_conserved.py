"""LRP checks itself. Oracles: the logit (relevance sums to it where there are no biases), a reason that names the
layer, the same network not compiled, and controls whose relevance is not conserved."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.errors import ExplainerError, NotApplicableError
from benchmark.explainers import _conserved, _lrp
from benchmark.explainers.base import explainers
from benchmark.explainers.zennit_lrp import Lrp
from benchmark.models.wrap import Model
from tests.explainers.networks import explain
from tests.explainers.unusual import FITS, UNFIT, Written, draw, other, plain

SHAPE = (3, 8, 8)
RULES = [name for name, cls in explainers.classes().items() if issubclass(cls, Lrp)]
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:The .grad")


def batch():
    generator = torch.Generator().manual_seed(5)
    return torch.rand(3, *SHAPE, generator=generator), torch.tensor([0, 1, 2])


@pytest.mark.parametrize("name", FITS)
def test_relevance_sums_to_the_logit_where_the_rules_fit(name):
    model, (inputs, targets) = Model(draw(FITS[name]), input_shape=SHAPE), batch()
    assert explainers.make("lrp-epsilon").skip(model, None, None) is None
    wanted = model(inputs).gather(1, targets[:, None])[:, 0]
    found = explain("lrp-epsilon", model, inputs, targets).sum((1, 2, 3))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", UNFIT)
def test_what_the_rules_do_not_fit_is_refused_with_the_layer(name):
    make, names = UNFIT[name]
    model, (inputs, targets) = Model(draw(make), input_shape=SHAPE), batch()
    for use in ("lrp-epsilon", "lrp-epsilon-gamma-box", "excitation-backprop"):
        reason = explainers.make(use).skip(model, None, None)
        assert reason is not None
        assert reason.startswith(f"{use}: ")
    assert explainers.make("lrp-epsilon").skip(model, None, None) is not None
    with pytest.raises(NotApplicableError, match=f"(?i)lrp-epsilon: .*{names}"):
        explain("lrp-epsilon", model, inputs, targets)
    with pytest.raises(ExplainerError):  # without a shape the check is made on the first inputs
        explain("lrp-epsilon", Model(model.network), inputs, targets)


@pytest.mark.parametrize("use", RULES)
def test_every_rule_set_fits_a_network_with_biases_and_norms(use):
    network = draw(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
        )
    )
    assert explainers.make(use).skip(Model(network, input_shape=SHAPE), None, None) is None


def propagated(network, use="lrp-epsilon"):
    """Relevance followed through a network without asking whether the rules fit it."""
    model, (inputs, targets) = Model(draw(lambda: network), input_shape=SHAPE), batch()
    rules = explainers.make(use)._rules()
    done = _lrp.propagate(model.core, inputs, targets, rules.composite(model, inputs), rules, follow=True)
    return _conserved.leak(done.passages, done.start, done.relevance)


@pytest.mark.parametrize(
    ("middle", "names"),
    [
        (lambda _, x: torch.sigmoid(x), "between layer 'head' \\(Linear\\) and layer 'first' \\(Conv2d\\)"),
        (lambda s, x: F.relu(s.other(x) + x), "between layer 'other' \\(Conv2d\\) and layer 'first'|lost or made"),
        (lambda _, x: 3 * F.relu(x), "between layer 'head' \\(Linear\\) and layer 'first' \\(Conv2d\\)"),
        (lambda _, x: torch.cat([x[:, :2], x[:, 2:].detach()], 1), "between layer 'head'"),
    ],
    ids=["sigmoid", "sum", "scaled", "detached"],
)
def test_the_sums_alone_find_what_no_rule_covers(middle, names):
    assert re.search(names, propagated(Written(middle, other=other())) or "")


def test_the_sums_count_the_shares_of_bias_and_stabiliser():
    network = Written(lambda _, x: F.relu(x), bias=True)
    for use in RULES:
        assert propagated(network, use) is None, use
    found = explain("lrp-epsilon", Model(network), *batch(), epsilon=0.25).sum((1, 2, 3))
    logits = Model(network)(batch()[0]).gather(1, batch()[1][:, None])[:, 0]
    assert (found - logits).abs().max() > 1e-2  # so that the shares are something to count


def test_a_layer_that_hands_down_another_sum_is_named(monkeypatch):
    """Control: a rule that is wrong by a tenth in one layer."""
    from zennit import rules

    def wrong(self, module, grad_input, grad_output):
        return tuple(1.1 * part for part in original(self, module, grad_input, grad_output))

    original = rules.Epsilon.backward
    monkeypatch.setattr(rules.Epsilon, "backward", wrong)
    assert "layer 'head' (Linear)" in propagated(Written(lambda _, x: F.relu(x)))


@pytest.mark.parametrize("way", ["whole", "part", "in place"])
@pytest.mark.parametrize("use", ["lrp-epsilon", "lrp-epsilon-gamma-box", "excitation-backprop"])
def test_compiled_networks_are_run_as_they_were_written(use, way):
    inputs, targets = batch()
    wanted = explain(use, Model(draw(plain), input_shape=SHAPE), inputs, targets)
    network = draw(plain)
    if way == "whole":
        network = torch.compile(network, backend="eager")
    elif way == "part":
        network[1] = torch.compile(network[1], backend="eager")
    else:
        network.compile(backend="eager")
    model = Model(network, input_shape=SHAPE)
    explain("saliency", model, inputs, targets)  # the graph is compiled with gradients and without hooks
    assert torch.equal(explain(use, model, inputs, targets), wanted)


def test_the_check_is_made_once_a_model_and_set_of_rules(monkeypatch):
    model, (inputs, targets) = Model(draw(plain), input_shape=SHAPE), batch()
    calls = []
    original = _lrp._check
    monkeypatch.setattr(_lrp, "_check", lambda *given: calls.append(1) or original(*given))
    for _ in range(3):
        explainers.make("lrp-epsilon").skip(model, None, None)
        explain("lrp-epsilon", model, inputs, targets)
        explain("lrp-epsilon", model, inputs, targets, epsilon=0.25)
    assert len(calls) == 2


def test_hooks_that_stop_firing_are_a_failure():
    """A network that bypasses a layer after it was checked."""

    class Turning(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.bypass = plain(), False

        def forward(self, x):
            return self.inner[3](self.inner[2](F.relu(self.inner[0](x)))) if self.bypass else self.inner(x)

    network = draw(Turning)
    model, (inputs, targets) = Model(network, input_shape=SHAPE), batch()
    explain("lrp-epsilon", model, inputs, targets)
    network.bypass = True
    with pytest.raises(NotApplicableError, match="2 hooks of its rules fired, 3 should"):
        explain("lrp-epsilon", model, inputs, targets)


def test_layers_of_a_one_logit_network_have_their_own_names():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 1))
    model = Model(network, input_shape=SHAPE, one_logit=True)
    assert "layer '1' (Tanh)" in explainers.make("lrp-epsilon").skip(model, None, None)
