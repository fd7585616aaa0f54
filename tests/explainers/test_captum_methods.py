"""Gradient and perturbation explainers. Oracles: closed forms on a linear model, captum on the bare network."""

import pytest
import torch
from captum import attr
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet18

from benchmark.errors import ExplainerError
from benchmark.explainers.base import explainers
from benchmark.explainers.cam.maps import spatial_layer
from benchmark.explainers.captum.gradients import captum_quiet
from benchmark.models.wrap import Model
from benchmark.seeds import Draws


def explain(name, model, inputs, targets, seeds=None, **params):
    draws = Draws(seeds or range(len(inputs)))
    return explainers.make(name, params).explain(model, inputs, targets, generator=draws)


@pytest.fixture
def linear():
    """A linear model behind a normalisation, its slope per input unit, inputs and targets."""
    torch.manual_seed(0)
    layer = nn.Linear(2 * 4 * 4, 3)
    model = Model(nn.Sequential(nn.Flatten(), layer), mean=[0.4, 0.1], std=[0.5, 0.2])
    inputs, targets = torch.rand(5, 2, 4, 4), torch.tensor([0, 1, 2, 1, 0])
    slope = layer.weight.detach()[targets].view(5, 2, 4, 4) / torch.tensor([0.5, 0.2]).view(1, 2, 1, 1)
    return model, slope, inputs, targets


@pytest.fixture
def cnn():
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 6, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 4),
    )
    return network.eval()


@pytest.mark.parametrize(
    ("name", "params", "times_input"),
    [
        ("saliency", {}, False),
        ("smoothgrad", {"samples": 3}, False),
        ("input-x-gradient", {}, True),
        ("integrated-gradients", {"steps": 3}, True),
        ("deeplift", {}, True),
        ("deeplift-shap", {"baselines": [0.0]}, True),
        ("occlusion", {"window": 1, "stride": 1}, None),
    ],
)
def test_linear_model_closed_form(linear, name, params, times_input):
    model, slope, inputs, targets = linear
    wanted = slope * inputs if times_input in (True, None) else slope
    if times_input is None:  # a window covers every channel: their evidence goes together
        wanted = wanted.sum(1, keepdim=True).expand(inputs.shape)
    torch.testing.assert_close(explain(name, model, inputs, targets, **params), wanted, atol=1e-5, rtol=1e-4)


def test_deeplift_shap_of_a_linear_model_is_measured_from_the_mean_reference(linear):
    model, slope, inputs, targets = linear
    found = explain("deeplift-shap", model, inputs, targets, baselines=[0.0, 0.2, 1.0])
    torch.testing.assert_close(found, slope * (inputs - 0.4), atol=1e-5, rtol=1e-4)


def test_deeplift_shap_is_captums_over_the_same_references(cnn):
    inputs, targets = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
    references = torch.stack([torch.full((1, 8, 8), value) for value in (0.0, 0.5, 1.0)])
    with captum_quiet():
        wanted = attr.DeepLiftShap(cnn).attribute(inputs, references, target=targets).detach()
    found = explain("deeplift-shap", Model(cnn), inputs, targets)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-4)


def test_integrated_gradients_are_complete(cnn):
    model, inputs = Model(cnn, mean=[0.3], std=[0.4]), torch.rand(3, 1, 8, 8)
    targets = torch.tensor([0, 1, 3])
    found = explain("integrated-gradients", model, inputs, targets, steps=300)
    change = (model(inputs) - model(torch.zeros_like(inputs))).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(found.sum((1, 2, 3)), change, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize(
    "name", ["saliency", "input-x-gradient", "integrated-gradients", "deeplift", "gradcam", "occlusion"]
)
@pytest.mark.filterwarnings("ignore:(?s)Setting forward, backward hooks:UserWarning")
def test_parity_with_captum_on_the_bare_network(cnn, name):
    inputs, targets = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
    x = inputs.clone().requires_grad_()
    if name == "saliency":
        wanted = attr.Saliency(cnn).attribute(x, target=targets, abs=False)
    elif name == "input-x-gradient":
        wanted = attr.InputXGradient(cnn).attribute(x, target=targets)
    elif name == "integrated-gradients":
        wanted = attr.IntegratedGradients(cnn).attribute(x, target=targets, n_steps=32)
    elif name == "deeplift":
        wanted = attr.DeepLift(cnn).attribute(x, target=targets)
    elif name == "gradcam":
        cam = attr.LayerGradCam(cnn, cnn[4]).attribute(x, target=targets, relu_attributions=True)
        wanted = F.interpolate(cam, size=(8, 8), mode="bilinear")
    else:
        wanted = attr.Occlusion(cnn).attribute(x, target=targets, sliding_window_shapes=(1, 2, 2), strides=(1, 1, 1))
    found = explain(name, Model(cnn), inputs, targets)
    torch.testing.assert_close(found, wanted.detach().float(), atol=1e-6, rtol=1e-4)


def test_integrated_gradients_do_not_depend_on_the_memory_bound(cnn, monkeypatch):
    inputs, targets = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
    whole = explain("integrated-gradients", Model(cnn), inputs, targets)
    monkeypatch.setattr("benchmark.explainers.captum.gradients.INPUT_ELEMENTS", 2 * 64)
    torch.testing.assert_close(
        explain("integrated-gradients", Model(cnn), inputs, targets), whole, atol=1e-6, rtol=1e-4
    )


def test_smoothgrad_is_the_mean_gradient_over_its_own_draws(cnn):
    inputs, targets = torch.rand(2, 1, 8, 8), torch.tensor([1, 2])
    draws, total = Draws([5, 6]), torch.zeros_like(inputs)
    for _ in range(4):
        x = (inputs + 0.1 * draws.normal((1, 8, 8))).requires_grad_()
        total += torch.autograd.grad(cnn(x).gather(1, targets[:, None]).sum(), x)[0] / 4
    found = explain("smoothgrad", Model(cnn), inputs, targets, [5, 6], samples=4, noise=0.1)
    torch.testing.assert_close(found, total, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["saliency", "input-x-gradient", "integrated-gradients", "deeplift", "smoothgrad"])
def test_one_logit_models_explain_both_classes(cnn, name):
    one = nn.Sequential(*list(cnn)[:-1], nn.Linear(24, 1))
    model, inputs = Model(one, one_logit=True), torch.rand(1, 1, 8, 8)
    first, second = (explain(name, model, inputs, torch.tensor([target]), [3]) for target in (0, 1))
    assert second.abs().max() > 1e-4
    torch.testing.assert_close(first, -second)  # [-z/2, z/2]


def test_gradcam_takes_the_last_layer_larger_than_one_pixel():
    torch.manual_seed(0)
    model = Model(resnet18(num_classes=10), input_shape=(3, 32, 32), mean=[0.5] * 3, std=[0.25] * 3)
    inputs, targets = torch.rand(2, 1, 8, 8), torch.tensor([3, 4])
    assert spatial_layer(model, inputs, "gradcam").name == "layer3"  # 2x2; layer4 gives 1x1 at 32 pixels
    cam = attr.LayerGradCam(model, model.network.layer3).attribute(inputs.clone().requires_grad_(), target=targets)
    wanted = F.interpolate(cam.relu(), size=(8, 8), mode="bilinear")
    torch.testing.assert_close(explain("gradcam", model, inputs, targets), wanted.detach())


def test_gradcam_uses_the_entrys_layer_and_names_a_missing_one(cnn):
    inputs, targets = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    cam = attr.LayerGradCam(cnn, cnn[0]).attribute(inputs.clone().requires_grad_(), target=targets)
    found = explain("gradcam", Model(cnn, gradcam_layer="0"), inputs, targets, relu=False)
    torch.testing.assert_close(found, cam.detach())
    with pytest.raises(ExplainerError, match=r"no such module.*entry\.toml"):
        explain("gradcam", Model(cnn, gradcam_layer="features.9"), inputs, targets)


def test_gradcam_skips_networks_without_a_spatial_layer():
    model = Model(nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(64, 3)), input_shape=(1, 8, 8))
    assert "none" in explainers.make("gradcam").skip(model, None, None)
    with pytest.raises(ExplainerError, match="gradcam_layer"):
        explain("gradcam", model, torch.rand(1, 1, 8, 8), torch.tensor([0]))


class FunctionalReLU(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 32), nn.Linear(32, 3)

    def forward(self, x):
        return self.second(F.relu(self.first(x.flatten(1))))


def shared_relu():
    relu = nn.ReLU()  # the first one is used once: what captum stores in it must go too
    first = [nn.Flatten(), nn.Linear(64, 32), nn.ReLU()]
    return nn.Sequential(*first, nn.Linear(32, 32), relu, nn.Linear(32, 32), relu, nn.Linear(32, 3))


def max_pooling():
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(54, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [(FunctionalReLU, "completeness fails"), (shared_relu, "refuses"), (max_pooling, "completeness fails")],
)
def test_deeplift_names_the_networks_it_is_wrong_on(make, message):
    torch.manual_seed(0)
    model = Model(make())
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    with pytest.raises(ExplainerError, match=rf"{message}.*nn\.Module"):
        explain("deeplift", model, torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]))
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
