"""Other rules at the ReLUs. Oracles: captum and zennit on networks whose ReLUs are modules, closed forms."""

import pytest
import torch
from captum import attr
from torch import nn
from zennit import composites
from zennit.attribution import Gradient

from benchmark.errors import ExplainerError
from benchmark.explainers.base import explainers
from benchmark.models.wrap import Model
from tests.explainers.networks import Functional, explain, small_cnn

NAMES = ["guided-backprop", "deconvolution", "beta-smooth"]


@pytest.fixture
def batch():
    torch.manual_seed(3)
    return torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.filterwarnings("ignore:(?s)Setting (forward, )?backward hooks:UserWarning")
def test_parity_with_captum(batch, name):
    network = small_cnn()
    method = {"guided-backprop": attr.GuidedBackprop, "deconvolution": attr.Deconvolution}[name]
    wanted = method(network).attribute(batch[0].clone().requires_grad_(), target=batch[1]).detach()
    torch.testing.assert_close(explain(name, Model(network), *batch), wanted, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "composite"),
    [
        ("guided-backprop", composites.GuidedBackprop),
        ("deconvolution", composites.DeconvNet),
        ("beta-smooth", composites.BetaSmooth),
    ],
)
def test_parity_with_zennit(batch, name, composite):
    network = small_cnn()
    with Gradient(network, composite()) as attributor:
        wanted = attributor(batch[0].clone(), torch.eye(4)[batch[1]])[1].detach()
    torch.testing.assert_close(explain(name, Model(network), *batch), wanted, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["F.relu", "torch.relu", "in place", "method"])
def test_functional_and_in_place_relus_are_seen(batch, name, way):
    """captum's hooks see no function: its result is then the plain gradient (shown by the control below)."""
    wanted = explain(name, Model(small_cnn()), *batch)
    torch.testing.assert_close(explain(name, Model(Functional(way)), *batch), wanted)
    assert (wanted - explain("saliency", Model(Functional(way)), *batch)).abs().max() > 1e-4


@pytest.mark.filterwarnings("ignore:(?s)Setting (forward, )?backward hooks:UserWarning")
def test_captum_is_silently_the_plain_gradient_for_functional_relus(batch):
    found = attr.GuidedBackprop(Functional()).attribute(batch[0].clone().requires_grad_(), target=batch[1])
    torch.testing.assert_close(found.detach(), explain("saliency", Model(Functional()), *batch))


@pytest.mark.parametrize("name", NAMES)
def test_one_relu_used_twice(batch, name):
    shared = nn.ReLU()
    wanted = explain(name, Model(small_cnn()), *batch)
    torch.testing.assert_close(explain(name, Model(small_cnn(lambda: shared)), *batch), wanted)


def test_closed_form_of_one_unit():
    """y = -relu(x - 0.5) + relu(x): plain -1 + 1 = 0 above 0.5; guided 0 + 1; deconvolution 0 + 1 also below."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0], [1.0]]))
        network[1].bias.copy_(torch.tensor([-0.5, 0.0]))
        network[3].weight.copy_(torch.tensor([[-1.0, 1.0], [1.0, 1.0]]))
    model, x = Model(network), torch.tensor([0.2, 0.8]).view(2, 1, 1, 1)
    first, second = torch.tensor([0, 0]), torch.tensor([1, 1])
    assert explain("saliency", model, x, first).flatten().tolist() == [1.0, 0.0]
    assert explain("guided-backprop", model, x, first).flatten().tolist() == [1.0, 1.0]
    assert explain("guided-backprop", model, x, second).flatten().tolist() == [1.0, 2.0]
    assert explain("deconvolution", model, x, second).flatten().tolist() == [2.0, 2.0]
    steep = explain("beta-smooth", model, x, first, beta=1e4).flatten()
    torch.testing.assert_close(steep, torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("name", [*NAMES, "guided-gradcam"])
def test_networks_without_a_relu_are_refused(batch, name):
    without = Model(small_cnn(nn.GELU), input_shape=(1, 8, 8))
    assert "plain gradient" in explainers.make(name).skip(without, None, None)
    assert explainers.make(name).skip(Model(small_cnn(), input_shape=(1, 8, 8)), None, None) is None
    with pytest.raises(ExplainerError, match=f"{name} would be the plain gradient"):
        explain(name, without, *batch)


@pytest.mark.parametrize("name", NAMES)
def test_the_forward_pass_is_what_it_was(batch, name):
    for network in (small_cnn(), Functional("in place"), small_cnn(lambda: nn.ReLU(inplace=True))):
        model = Model(network)
        before = model(batch[0])
        explain(name, model, *batch)
        assert torch.equal(model(batch[0]), before)
