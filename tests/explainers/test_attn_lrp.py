"""LRP at torch's functions. Oracles: lrp-epsilon where there is no attention, closed forms of the rules, conservation
where nothing has a bias, and central differences in which the rules' constants are held."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.errors import RefusedError
from benchmark.explainers.base import explainers
from benchmark.explainers.lrp.operations import Ruled, modified_gradient
from benchmark.meta import networks
from benchmark.meta.relations import case, examined, small
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from tests.conftest import data_folder
from tests.explainers.networks import explain, small_cnn
from tests.explainers.test_attention import TRANSFORMERS, Block, Mean, Transposed

USES = ("attn-lrp", "cp-lrp")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("use", USES)
def test_without_attention_it_is_lrp_epsilon(use):
    """On the digits' network, and on one with batch norms and residual sums; float64, where no ReLU is at its edge.

    Both are input times gradient there, exactly; zennit stabilises its residual sums besides.
    """
    for model, inputs, apart in (
        (build_model(load_entry("digits_cnn")), torch.rand(4, 1, 8, 8), 1e-6),
        (networks.reference("resnet18"), torch.rand(2, 3, 32, 32), 1e-2),
    ):
        double, given, targets = copy.deepcopy(model).double(), inputs.double(), torch.arange(len(inputs)) % 5
        got = explain(use, double, given, targets)
        wanted = explain("lrp-epsilon", double, given, targets, epsilon=1e-12)
        assert float((got - wanted).norm() / wanted.norm()) < apart
        x = double.prepared(given).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(double.core(x).gather(1, targets[:, None]).sum(), x)
        torch.testing.assert_close(got, (x * gradient).detach(), rtol=1e-9, atol=1e-12)


def ruled(function, *given, softmax="taylor", **more):
    """Relevance of each factor for the sum of a function's result, by its rule."""
    given = [part.clone().requires_grad_() for part in given]
    with Ruled(softmax) as rules:
        result = function(*given, **more)
    assert not rules.unknown
    return result, [x * g for x, g in zip(given, torch.autograd.grad(result.sum(), given), strict=True)]


@pytest.mark.parametrize("function", [F.gelu, F.silu, F.relu, F.hardswish, torch.tanh, F.leaky_relu])
def test_an_activation_passes_all_on(function):
    x = torch.randn(3, 7, dtype=torch.float64)
    result, (relevance,) = ruled(function, x)
    torch.testing.assert_close(result.detach(), function(x))
    torch.testing.assert_close(relevance, function(x))


def test_a_product_is_shared_and_a_gate_takes_nothing():
    a, b = torch.randn(2, 3, 5, dtype=torch.float64)
    result, (of_a, of_b) = ruled(lambda a, b: a * b, a, b)
    torch.testing.assert_close(of_a, a * b / 2)
    torch.testing.assert_close(of_b, a * b / 2)
    result, (of_x,) = ruled(lambda x: x * torch.sigmoid(x.mean()), a)
    torch.testing.assert_close(of_x, result.detach())


def test_layer_norm_is_centring():
    """With its deviation held, (x - mean) / deviation: relevance is conserved row by row."""
    x, weight = torch.randn(4, 6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    result, (relevance,) = ruled(lambda x: F.layer_norm(x, (6,), weight), x)
    torch.testing.assert_close(result.detach(), F.layer_norm(x, (6,), weight))
    torch.testing.assert_close(relevance.sum(1), result.detach().sum(1))


def test_the_softmax_of_achtibat_et_al():
    """R_i = x_i (R_s,i - s_i sum_j R_s,j), where R_s are the relevances of the probabilities; cp-lrp has none."""
    x, v = torch.randn(3, 5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    s = x.softmax(-1)
    above = s * v  # of the linear layer that reads s
    _, (relevance,) = ruled(lambda x: F.softmax(x, -1) @ v, x)
    torch.testing.assert_close(relevance, x * (above - s * above.sum(1, keepdim=True)))
    x = x.requires_grad_()
    with Ruled("constant"):
        assert not (F.softmax(x, -1) @ v).requires_grad


def test_attention_is_its_parts():
    """One head by hand: half to the probabilities, half to the values; and half of that to query and key."""
    q, k, v = torch.randn(3, 1, 1, 4, 6, dtype=torch.float64)
    result, (of_q, of_k, of_v) = ruled(F.scaled_dot_product_attention, q, k, v)
    scores = q @ k.mT / 6**0.5
    s = scores.softmax(-1)
    torch.testing.assert_close(result.detach(), s @ v)
    torch.testing.assert_close(of_v.sum(), (s @ v).sum() / 2)
    above = s * (torch.ones_like(result) @ v.mT) / 2
    of_scores = scores * (above - s * above.sum(-1, keepdim=True))
    torch.testing.assert_close(of_q.sum(), of_scores.sum() / 2)
    torch.testing.assert_close(of_k.sum(), of_scores.sum() / 2)
    _, (of_v,) = ruled(lambda v: F.scaled_dot_product_attention(q, k, v), v, softmax="constant")
    torch.testing.assert_close(of_v.sum(), (s @ v).sum())


def test_a_query_that_does_not_see_the_input_takes_nothing():
    """All of the scores' relevance is the key's, as of any product with one factor that depends on the input."""
    q, k = torch.randn(2, 1, 1, 4, 6, dtype=torch.float64)
    v = torch.randn(1, 1, 4, 6, dtype=torch.float64)
    scores = q @ k.mT / 6**0.5
    s = scores.softmax(-1)
    above = s * (torch.ones_like(q) @ v.mT)
    _, (of_k,) = ruled(lambda k: F.scaled_dot_product_attention(q, k, v), k)
    torch.testing.assert_close(of_k.sum(), (scores * (above - s * above.sum(-1, keepdim=True))).sum())


def no_bias(network):
    for module in network.modules():
        for name in ("bias", "in_proj_bias"):
            if isinstance(getattr(module, name, None), torch.Tensor):
                nn.init.zeros_(getattr(module, name))
    return network.eval().requires_grad_(False)


def test_relevance_is_conserved_where_nothing_has_a_bias():
    """A convolutional network, and cp-lrp through attention: the map sums to the logit."""
    torch.manual_seed(0)
    inputs = torch.rand(2, 1, 8, 8)
    convolutions = Model(no_bias(small_cnn(nn.GELU)), input_shape=(1, 8, 8))
    attention = nn.Sequential(
        nn.Conv2d(1, 8, 2, 2), nn.Flatten(2), Transposed(), Block("module"), Mean(), nn.Linear(8, 4)
    )
    for model, uses in ((convolutions, USES), (Model(no_bias(attention), input_shape=(1, 8, 8)), ("cp-lrp",))):
        for use in uses:
            got = explain(use, model, inputs, torch.tensor([1, 3]))
            logits = model(inputs).gather(1, torch.tensor([[1], [3]]))[:, 0]
            torch.testing.assert_close(got.flatten(1).sum(1), logits, rtol=1e-4, atol=1e-6)


MODERN = [
    pytest.param(name, marks=() if name == "mobilenet_v3_small" else pytest.mark.long)
    for name in ("swin_t", "convnext_tiny", "efficientnet_b0", "mobilenet_v3_small")
]


@pytest.mark.parametrize("name", [*MODERN, *TRANSFORMERS])
def test_other_peoples_networks_hold_the_relation_and_are_left_as_they_were(name):
    torch.manual_seed(0)
    if name in networks.NETWORKS:
        model = networks.reference(name)
    else:
        model = Model(
            TRANSFORMERS[name]().eval().requires_grad_(False), input_shape=(3, 32, 32), mean=[0.5] * 3, std=[0.25] * 3
        )
    before, functions = copy.deepcopy(model.network.state_dict()), F.scaled_dot_product_attention
    of = case(model)
    for use in USES:
        finding = examined(small(use), of)
        assert finding.status == "right", finding
        assert (explain(use, model, of.inputs, of.targets).flatten(1).std(1) > 0).all()
    assert F.scaled_dot_product_attention is functions
    assert all(torch.equal(value, before[key]) for key, value in model.network.state_dict().items())


def test_the_relation_fails_for_the_plain_gradient(monkeypatch):
    """Control: input times gradient in its place."""
    of, explainer = case(networks.reference("vit (patch 8, depth 2)")), small("attn-lrp")
    assert examined(explainer, of).status == "right"
    plain = of.gradient(of.inputs) * (of.inputs - 0.5)
    monkeypatch.setattr(type(explainer), "explain", lambda *_given, **_more: plain)
    assert examined(explainer, of).status == "wrong"


class Odd(nn.Module):
    def __init__(self, operation):
        super().__init__()
        self.operation, self.head = operation, nn.Linear(64, 3)

    def forward(self, x):
        return self.head(self.operation(x.flatten(1)))


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda x: x.exp(), "exp"),
        (F.normalize, "normalize"),
        (lambda x: x / x.norm(dim=1, keepdim=True), "norm"),
        (lambda x: x * x.sqrt(), "sqrt"),
        (lambda x: torch.einsum("ni,ni->ni", x, x), "einsum"),
    ],
)
def test_an_operation_without_a_rule_is_named(operation, name):
    model = Model(Odd(operation).eval().requires_grad_(False), input_shape=(1, 8, 8))
    for use in USES:
        assert f"no rule for the operation {name!r}" in explainers.make(use, {}).skip(model, None, None)
        with pytest.raises(RefusedError, match=f"no rule for the operation '{name}'"):
            explain(use, model, torch.rand(1, 1, 8, 8), torch.tensor([0]))


def test_a_network_that_reads_no_input_is_refused():
    model = Model(Odd(torch.sigmoid).eval().requires_grad_(False), input_shape=(1, 8, 8))
    assert "no relevance reaches the input" in explainers.make("attn-lrp", {}).skip(model, None, None)


def test_the_constants_are_used_in_their_order():
    """Held again at the same point they change nothing."""
    model = networks.reference("vit (patch 8, depth 2)")
    x = torch.rand(1, 3, 32, 32)
    _, rules, logits = modified_gradient(model.core, x, torch.tensor([0]), "taylor")
    with Ruled("taylor", rules.held):
        again = model.core(x.clone().requires_grad_())
    torch.testing.assert_close(again.detach(), logits, rtol=1e-5, atol=1e-6)


def test_the_robust_transformer_of_the_development_data():
    """A graph of somebody else's: right by the relation."""
    pytest.importorskip("onnx")
    from tests.models import checkpoints

    model = checkpoints.robust_vit(data_folder("cifar10_robust"))
    of = case(model)
    for use in USES:
        assert examined(small(use), of).status == "right"
