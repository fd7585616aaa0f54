"""Other rules at the ReLUs. Oracles: captum and zennit on networks whose ReLUs are modules, closed forms."""

import pytest
import torch
from captum import attr
from torch import nn
from zennit import composites
from zennit.attribution import Gradient

from benchmark.errors import ExplainerError, NotApplicableError
from benchmark.explainers.base import explainers
from benchmark.models.wrap import Model
from tests.explainers.networks import Functional, explain, small_cnn

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:The .grad")
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


class Own(torch.autograd.Function):
    """A ReLU with a backward of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.relu(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] > 0)


class Rectified(nn.Module):
    """:func:`small_cnn`, whose second rectifier is a function."""

    def __init__(self, second):
        super().__init__()
        self.body, self.second = small_cnn(), second

    def forward(self, x):
        return self.body[5:](self.second(self.body[:4](x)))


@pytest.mark.parametrize("name", [*NAMES, "guided-gradcam"])
@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (lambda x: x.clamp(min=0), "'clamp', for which its rule"),
        (torch.sigmoid, "'sigmoid', for which its rule"),
        (nn.Hardswish(), "layer 'second' runs 'hardswish', for which its rule"),
        (nn.ReLU6(), "'hardtanh', for which its rule"),
        (Own.apply, "reaches 1 of the 2 ReLUs"),
        ("script", "scripted"),
    ],
    ids=["clamp", "sigmoid", "hardswish", "relu6", "own backward", "scripted"],
)
def test_rectifiers_that_the_rule_does_not_reach_are_refused(batch, name, second, reason):
    second = torch.jit.script(nn.Sequential(nn.ReLU())) if second == "script" else second
    model = Model(Rectified(second), input_shape=(1, 8, 8))
    assert reason in explainers.make(name).skip(model, None, None)
    with pytest.raises(NotApplicableError, match=f"{name}: .*{reason}"):
        explain(name, model, *batch)


@pytest.mark.parametrize("name", [*NAMES, "guided-gradcam", "deeplift", "gradcam", "hirescam"])
def test_compiled_networks_are_run_as_they_were_written(batch, name):
    wanted = explain(name, Model(small_cnn()), *batch)
    compiled = Model(torch.compile(small_cnn(), backend="eager"))
    explain("saliency", compiled, *batch)
    torch.testing.assert_close(explain(name, compiled, *batch), wanted, atol=1e-7, rtol=1e-5)
