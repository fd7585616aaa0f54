"""Metrics that look into a network. Oracles: the same network not compiled; a reason where hooks cannot fire."""

import pytest
import torch
from torch import nn

from benchmark.errors import NotApplicableError
from benchmark.metrics.functional.layers import Representations, randomised
from benchmark.metrics.functional.shift import compensated
from benchmark.models.wrap import Model

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:The .grad")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)).eval()


def compiled(model, inputs):
    """Compiled with gradients and without hooks, so that the graph that is kept has none."""
    model(inputs.clone().requires_grad_()).sum().backward()
    return model


def change(model, inputs, layers=()):
    with Representations(model, layers, 1e-6) as hidden:
        hidden.keep(inputs)
        return hidden.compare(inputs + 0.01)[1]


def test_representations_of_a_compiled_network_are_those_of_the_plain_one():
    inputs = torch.rand(3, 1, 8, 8)
    wanted = change(Model(network()), inputs)
    model = Model(torch.compile(network(), backend="eager"))
    compiled(model, inputs)
    torch.testing.assert_close(change(model, inputs), wanted)


def test_a_layer_that_is_never_called_is_named():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.unused = network(), nn.Linear(3, 3)

        def forward(self, x):
            return self.inner(x)

    with pytest.raises(NotApplicableError, match=r"layer 'network\.unused' gave its hook no tensor"):
        change(Model(Unused()), torch.rand(2, 1, 8, 8), ["network.inner.0", "network.unused"])


def test_scripted_parts_are_refused_where_their_layers_would_stay_as_they_are():
    model = Model(nn.Sequential(torch.jit.script(network()), nn.Linear(4, 4)))
    with pytest.raises(NotApplicableError, match="representations of hidden layers: its module '0' is scripted"):
        change(model, torch.rand(2, 1, 8, 8))
    with pytest.raises(NotApplicableError, match=r"randomised layers: its module 'network\.0' is scripted"):
        next(randomised(model, seed=1))


def test_a_compiled_network_is_randomised_and_the_original_is_not():
    inputs = torch.rand(2, 1, 8, 8)
    plain, model = Model(network()), Model(torch.compile(network(), backend="eager"))
    compiled(model, inputs)
    before = model(inputs)
    for (_, wanted), (_, found) in zip(randomised(plain, seed=3), randomised(model, seed=3), strict=True):
        assert found(inputs).shape == wanted(inputs).shape
        assert not torch.equal(found(inputs), before)
    assert torch.equal(model(inputs), before)


def test_the_first_layer_of_a_compiled_network_is_found():
    inputs = torch.rand(2, 1, 8, 8)
    model = Model(torch.compile(network(), backend="eager"))
    compiled(model, inputs)
    torch.testing.assert_close(compensated(model, inputs, 0.3)(inputs + 0.3), model(inputs), atol=1e-5, rtol=1e-4)
