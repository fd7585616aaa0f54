"""LRP. Oracles: zennit on the bare network, conservation (closed form), controls that must differ or fail."""

from importlib.metadata import version as version_of

import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from zennit import composites
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.rules import Epsilon, ZBox, ZPlus
from zennit.torchvision import ResNetCanonizer
from zennit.types import Linear

from benchmark.errors import ExplainerError, SpecError
from benchmark.explainers import _lrp, zennit_lrp
from benchmark.explainers.base import explainers
from benchmark.models.wrap import Geometry, Model, Normalise
from benchmark.seeds import Draws

MEAN, STD = [0.3, 0.5, 0.4], [0.2, 0.3, 0.25]
RULES = [
    "lrp-epsilon",
    "lrp-epsilon-plus",
    "lrp-epsilon-plus-flat",
    "lrp-epsilon-alpha2-beta1",
    "lrp-epsilon-alpha2-beta1-flat",
    "lrp-epsilon-gamma-box",
    "deep-taylor",
    "excitation-backprop",
]
FLAT = ["lrp-epsilon-plus-flat", "lrp-epsilon-alpha2-beta1-flat"]


@pytest.mark.parametrize("row", zennit_lrp.COMPOSITES, ids=lambda row: row.name)
def test_a_row_is_the_plugin_that_records_name(row):
    version = f"1+zennit=={version_of('zennit')}"
    assert explainers.make(row.name).identity() == {"use": row.name, "params": {}, "version": version}
    given = {"epsilon": 0.25, "gamma": 0.5} if row.gamma else {"epsilon": 0.25}
    assert explainers.make(row.name, given).identity() == {"use": row.name, "params": given, "version": version}
    with pytest.raises(SpecError, match="unknown key"):
        explainers.make(row.name, {"gamma" if not row.gamma else "alpha": 1.0})
    with pytest.raises(SpecError, match="greater than 0"):
        explainers.make(row.name, {"epsilon": 0.0})


def explain(name, model, inputs, targets, **params):
    return explainers.make(name, params).explain(model, inputs, targets, generator=Draws(range(len(inputs))))


def bare(network, name, normalised, targets, canonizer, low=None, high=None):
    """zennit alone: relevance of the chosen logit at the normalised input."""
    if low is None:
        shape = (1, 3, *normalised.shape[2:])
        low, high = (Normalise(MEAN, STD)(torch.full(shape, bound)) for bound in (0.0, 1.0))
    composite = {
        "lrp-epsilon": lambda: composites.LayerMapComposite(
            [*composites.layer_map_base(), (Linear, Epsilon())], canonizers=[canonizer]
        ),
        "lrp-epsilon-plus-flat": lambda: composites.EpsilonPlusFlat(canonizers=[canonizer]),
        "lrp-epsilon-alpha2-beta1": lambda: composites.EpsilonAlpha2Beta1(canonizers=[canonizer]),
        "lrp-epsilon-gamma-box": lambda: composites.EpsilonGammaBox(low, high, canonizers=[canonizer]),
        "lrp-epsilon-plus": lambda: composites.EpsilonPlus(canonizers=[canonizer]),
        "lrp-epsilon-alpha2-beta1-flat": lambda: composites.EpsilonAlpha2Beta1Flat(canonizers=[canonizer]),
        "deep-taylor": lambda: composites.SpecialFirstLayerMapComposite(
            layer_map=[*composites.layer_map_base(), (Linear, ZPlus())],
            first_map=[(Linear, ZBox(low, high))],
            canonizers=[canonizer],
        ),
        "excitation-backprop": lambda: composites.ExcitationBackprop(canonizers=[canonizer]),
    }[name]()
    start = torch.ones_like if name == "excitation-backprop" else torch.Tensor.clone
    with Gradient(network, composite) as attributor:
        return attributor(normalised.clone(), lambda z: start(z) * torch.eye(z.shape[1])[targets])[1].detach()


def randomise_norms(network):
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture
def cnn():
    torch.manual_seed(0)
    return randomise_norms(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4),
        )
    )  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_relevance_equals_the_bare_networks_on_normalised_input(cnn, name):
    inputs, targets = torch.rand(3, 3, 8, 8), torch.tensor([0, 2, 3])
    found = explain(name, Model(cnn, input_shape=(3, 8, 8), mean=MEAN, std=STD), inputs, targets)
    wanted = bare(cnn, name, Normalise(MEAN, STD)(inputs), targets, SequentialMergeBatchNorm())
    torch.testing.assert_close(found, wanted, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", RULES)
def test_resnet18_equals_zennit_with_its_canonizer(name):
    torch.manual_seed(0)
    network = randomise_norms(resnet18(num_classes=10))
    model = Model(network, input_shape=(3, 32, 32), mean=MEAN, std=STD)
    inputs, targets = torch.rand(1, 3, 32, 32), torch.tensor([4])
    wanted = bare(network, name, Normalise(MEAN, STD)(inputs), targets, ResNetCanonizer())
    found = explain(name, model, inputs, targets)
    torch.testing.assert_close(found, wanted, atol=1e-6 * float(wanted.abs().max()), rtol=1e-4)


def test_box_bounds_are_normalised(cnn):
    inputs, targets = torch.rand(2, 3, 8, 8), torch.tensor([0, 2])
    normalised = Normalise(MEAN, STD)(inputs)
    found = explain("lrp-epsilon-gamma-box", Model(cnn, mean=MEAN, std=STD), inputs, targets)
    raw = (torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8))
    wrong = bare(cnn, "lrp-epsilon-gamma-box", normalised, targets, SequentialMergeBatchNorm(), *raw)
    assert (found - wrong).abs().max() > 0.1 * wrong.abs().max()


def test_box_rule_goes_to_a_fully_connected_first_layer():
    torch.manual_seed(0)
    layer = nn.Linear(12, 1, bias=False)
    model = Model(nn.Sequential(nn.Flatten(), layer), mean=[0.5] * 3, std=[0.5] * 3, one_logit=True)
    inputs = torch.rand(2, 3, 2, 2)
    x, w = (inputs - 0.5) / 0.5, layer.weight.detach().view(1, 3, 2, 2)
    parts = x * w + w.clamp(min=0) - w.clamp(max=0)  # z-box with low = -1, high = 1 (Montavon et al. 2017, eq. 17)
    wanted = parts / parts.sum((1, 2, 3), keepdim=True) * (x * w).sum((1, 2, 3), keepdim=True) / 2
    found = explain("lrp-epsilon-gamma-box", model, inputs, torch.tensor([1, 1]))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_epsilon_conserves_the_logit_without_biases(cnn):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 4, bias=False)
    )
    model, inputs = Model(network, mean=MEAN, std=STD), torch.rand(4, 3, 8, 8)
    targets = torch.tensor([0, 1, 2, 3])
    wanted = model(inputs).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(
        explain("lrp-epsilon", model, inputs, targets).sum((1, 2, 3)), wanted, atol=1e-5, rtol=1e-3
    )


@pytest.mark.parametrize(
    ("shape", "geometry"),
    [
        ((3, 6, 6), Geometry((3, 9, 9), grey=False)),
        ((3, 9, 9), Geometry((1, 5, 5), grey=True)),
        ((1, 8, 8), Geometry((3, 16, 16), grey=False)),
        ((1, 8, 8), Geometry((3, 8, 8), grey=False)),
    ],
)
def test_geometry_conserves_relevance_also_of_black_pixels(shape, geometry):
    torch.manual_seed(0)
    inputs = torch.rand(4, *shape).round(decimals=1) * (torch.rand(4, *shape) > 0.5)
    inputs[0] = 0
    relevance = torch.randn_like(geometry(inputs))
    found = _lrp.through_geometry(geometry, inputs, relevance)
    assert found.shape == inputs.shape
    torch.testing.assert_close(found.sum((1, 2, 3)), relevance.sum((1, 2, 3)), atol=1e-4, rtol=1e-4)


def test_geometry_of_repeated_channels_sums_them():
    relevance = torch.randn(2, 3, 4, 4)
    found = _lrp.through_geometry(Geometry((3, 4, 4), grey=False), torch.rand(2, 1, 4, 4), relevance)
    torch.testing.assert_close(found, relevance.sum(1, keepdim=True), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", RULES)
def test_one_logit_models_explain_both_classes(cnn, name):
    one = nn.Sequential(*list(cnn)[:-1], nn.Linear(16, 1))
    model, inputs = Model(one, mean=MEAN, std=STD, one_logit=True), torch.rand(1, 3, 8, 8)
    first, second = (explain(name, model, inputs, torch.tensor([target])) for target in (0, 1))
    assert first.abs().max() > 1e-5
    if name in ("excitation-backprop", "deep-taylor"):  # oracle: the same network written with a logit for each class
        two = nn.Linear(16, 2)
        with torch.no_grad():
            two.weight.copy_(torch.tensor([[-0.5], [0.5]]) @ one[-1].weight)
            two.bias.copy_(torch.tensor([-0.5, 0.5]) * one[-1].bias)
        twin = Model(nn.Sequential(*list(one)[:-1], two), mean=MEAN, std=STD)
        for target, found in enumerate((first, second)):
            torch.testing.assert_close(found, explain(name, twin, inputs, torch.tensor([target])))
    else:
        torch.testing.assert_close(first, -second)


class Negated(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(12, 1)

    def forward(self, x):
        return -(self.last(x.flatten(1)).sum(1, keepdim=True) ** 2)


@pytest.mark.parametrize("name", ["excitation-backprop", "deep-taylor"])
def test_one_logit_that_no_layer_makes_is_refused(name):
    with pytest.raises(ExplainerError, match=rf"{name}.*torch.nn.Linear"):
        explain(name, Model(Negated(), one_logit=True), torch.rand(2, 3, 2, 2), torch.tensor([0, 1]))


@pytest.mark.parametrize("name", FLAT)
def test_the_flat_rule_is_refused_where_it_gives_a_constant(name):
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3)), mean=MEAN, std=STD)
    flat = explainers.make(name)
    assert "same relevance" in flat.skip(model, None, None)
    inputs = torch.rand(2, 3, 2, 2)
    constant = bare(model.network, name, inputs, torch.tensor([0, 1]), SequentialMergeBatchNorm())
    torch.testing.assert_close(constant, constant[:, :1, :1, :1].expand_as(constant))  # what zennit alone returns
    with pytest.raises(ExplainerError, match="same relevance"):
        explain(name, model, inputs, torch.tensor([0, 1]))


@pytest.mark.parametrize("name", RULES)
def test_the_model_is_left_as_it_was(name):
    torch.manual_seed(0)
    model = Model(randomise_norms(resnet18(num_classes=3)), input_shape=(3, 32, 32), mean=MEAN, std=STD)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    attributes = [sorted(vars(module)) for module in model.modules()]
    explain(name, model, torch.rand(1, 3, 32, 32), torch.tensor([1]))
    after = model.state_dict()
    assert [sorted(vars(module)) for module in model.modules()] == attributes
    assert list(after) == list(before)
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert all("forward" not in vars(module) for module in model.modules())


class WrongOrder(nn.Module):
    """Batch normalisation is registered after a convolution that is called after it."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Linear(108, 2)

    def forward(self, x):
        return self.last(self.first(self.norm(x)).flatten(1))


def test_a_merge_that_changes_the_logits_is_an_error():
    torch.manual_seed(0)
    model = Model(randomise_norms(WrongOrder()))
    with pytest.raises(ExplainerError, match="another order"):
        explain("lrp-epsilon", model, torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))


class Block(nn.Module):
    """A convolution with batch normalisation, nested as many networks nest them."""

    def __init__(self, channels, out):
        super().__init__()
        self.steps = nn.ModuleDict({"conv": nn.Conv2d(channels, out, 3, padding=1, bias=False), "norm": norm(out)})
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.steps["norm"](self.steps["conv"](x)))


def norm(channels):
    return nn.BatchNorm2d(channels)


def nested():
    return nn.Sequential(
        nn.Sequential(Block(3, 6), nn.Sequential(Block(6, 6), nn.MaxPool2d(2))),
        nn.Flatten(), nn.Sequential(nn.Linear(96, 8), nn.BatchNorm1d(8), nn.ReLU()), nn.Linear(8, 4),
    )  # fmt: skip


def merged(network):
    """The same function without batch normalisation, by torch's own fusion; a stranger to zennit."""
    from copy import deepcopy

    from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

    network = deepcopy(network).eval()
    for block in [module for module in network.modules() if isinstance(module, Block)]:
        block.steps["conv"] = fuse_conv_bn_eval(block.steps["conv"], block.steps["norm"])
        block.steps["norm"] = nn.Identity()
    network[2][0], network[2][1] = fuse_linear_bn_eval(network[2][0], network[2][1]), nn.Identity()
    return network


@pytest.mark.parametrize("name", RULES)
def test_nested_batch_norms_are_merged_as_torch_merges_them(name):
    torch.manual_seed(3)
    network = nested()
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    network.eval()
    inputs, targets = torch.rand(3, 3, 8, 8), torch.tensor([0, 2, 3])
    given = {"input_shape": (3, 8, 8), "mean": MEAN, "std": STD}
    wanted = explain(name, Model(merged(network), **given), inputs, targets)
    found = explain(name, Model(network, **given), inputs, targets)
    torch.testing.assert_close(found, wanted, atol=2e-5 * float(wanted.abs().max()), rtol=1e-3)


@pytest.mark.parametrize("name", ["deep-taylor", "excitation-backprop"])
def test_z_plus_conserves_what_it_starts_with(name):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 4, bias=False)
    )
    model, inputs = Model(network, mean=MEAN, std=STD), torch.rand(8, 3, 8, 8)
    targets = torch.arange(8) % 4
    logits = model(inputs).gather(1, targets[:, None])[:, 0]
    wanted = torch.ones(8) if name == "excitation-backprop" else logits
    found = explain(name, model, inputs, targets)
    torch.testing.assert_close(found.sum((1, 2, 3)), wanted, atol=1e-4, rtol=1e-3)
    sign = 1 if name == "excitation-backprop" else logits.sign()[:, None, None, None]
    assert bool((found * sign >= -1e-6).all())  # of one sign: nothing argues against


def test_deep_taylor_puts_the_box_on_a_fully_connected_first_layer():
    torch.manual_seed(0)
    layer = nn.Linear(12, 2, bias=False)
    model, inputs = Model(nn.Sequential(nn.Flatten(), layer), mean=[0.5] * 3, std=[0.5] * 3), torch.rand(2, 3, 2, 2)
    targets = torch.tensor([0, 1])
    x, w = (inputs - 0.5) / 0.5, layer.weight.detach()[targets].view(2, 3, 2, 2)
    parts = x * w + w.clamp(min=0) - w.clamp(max=0)  # z-box with low = -1, high = 1 (Montavon et al. 2017, eq. 17)
    wanted = parts / parts.sum((1, 2, 3), keepdim=True) * (x * w).sum((1, 2, 3), keepdim=True)
    torch.testing.assert_close(explain("deep-taylor", model, inputs, targets), wanted, atol=1e-5, rtol=1e-4)
