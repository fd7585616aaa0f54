"""Class activation maps. Oracles: closed forms for a linear classifier on global average pooling, captum."""

import pytest
import torch
from captum import attr
from torch import nn
from torch.nn import functional as F

from benchmark.errors import ExplainerError
from benchmark.explainers.base import explainers
from benchmark.models.wrap import Model
from tests.explainers.networks import explain, pooled, small_cnn

CAMS = ["gradcam", "gradcam-plus-plus", "layercam", "hirescam", "guided-gradcam"]


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam", "gradcam-plus-plus"])
def test_closed_form_on_global_average_pooling(name):
    """CAM (Zhou et al. 2016): sum_k w_k A_k; the gradient is w_k / (h w) everywhere."""
    model, body, head = pooled()
    inputs, targets = torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 2])
    with torch.no_grad():
        activations = body(inputs)
    gradient = (head.weight.detach()[targets] / 64)[:, :, None, None]
    wanted = {
        "gradcam": gradient * activations,
        "hirescam": gradient * activations,
        "layercam": gradient.relu() * activations,
        # alpha = g^2 / (2 g^2 + g^3 sum A) = 1 / (2 + g sum A), the same in all 64 places
        "gradcam-plus-plus": 64
        * gradient.relu()
        / (2 + gradient * activations.sum((2, 3), keepdim=True))
        * activations,
    }[name].sum(1, keepdim=True)
    found = explain(name, model, inputs, targets, relu=False)
    torch.testing.assert_close(found, wanted, atol=1e-7, rtol=1e-4)
    rectified = explain(name, model, inputs, targets, relu=True)
    torch.testing.assert_close(rectified, wanted.relu(), atol=1e-7, rtol=1e-4)
    assert (wanted < 0).any() or name in ("layercam", "gradcam-plus-plus")  # so that relu has something to do


def test_hirescam_sums_to_the_logit_less_the_bias_before_a_linear_head():
    network = small_cnn()
    model, inputs, targets = Model(network, gradcam_layer="4"), torch.rand(3, 1, 8, 8), torch.tensor([0, 3, 1])
    from benchmark.explainers.cam.maps import activations_and_gradients

    activations, gradients = activations_and_gradients(model, inputs, targets, "hirescam")
    wanted = (model(inputs) - network[6].bias).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close((activations * gradients).sum((1, 2, 3)), wanted)


def test_gradcam_differs_from_hirescam_where_the_gradient_varies():
    """Control: the closed form above must not hold by an error that makes all methods one."""
    model, inputs, targets = Model(small_cnn(), gradcam_layer="4"), torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 2])
    found = {name: explain(name, model, inputs, targets) for name in CAMS}
    for i, a in enumerate(CAMS):
        for b in CAMS[i + 1 :]:
            assert (found[a] - found[b]).abs().max() > 1e-3 * found[a].abs().max(), (a, b)


@pytest.mark.filterwarnings("ignore:(?s)Setting (forward, )?backward hooks:UserWarning")
def test_guided_gradcam_is_captums():
    network = small_cnn()
    inputs, targets = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
    wanted = attr.GuidedGradCam(network, network[4]).attribute(
        inputs.clone().requires_grad_(), target=targets, interpolate_mode="bilinear"
    )
    found = explain("guided-gradcam", Model(network), inputs, targets)
    assert found.abs().max() > 1e-5
    torch.testing.assert_close(found, wanted.detach(), atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("name", CAMS)
def test_what_follows_in_place_changes_nothing(name):
    inputs, targets = torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 2])
    plain = explain(name, Model(small_cnn(), gradcam_layer="3"), inputs, targets)
    in_place = Model(small_cnn(lambda: nn.ReLU(inplace=True)), gradcam_layer="3")
    torch.testing.assert_close(explain(name, in_place, inputs, targets), plain)


@pytest.mark.parametrize("name", CAMS)
def test_networks_without_a_spatial_layer_are_skipped_and_named(name):
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)), input_shape=(1, 8, 8))
    assert name in explainers.make(name).skip(model, None, None)
    with pytest.raises(ExplainerError, match=f"{name}.*gradcam_layer"):
        explain(name, model, torch.rand(1, 1, 8, 8), torch.tensor([0]))


@pytest.mark.parametrize("name", ["layercam", "hirescam", "gradcam-plus-plus"])
def test_a_layer_that_is_not_spatial_or_called_twice_is_named(name):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.last = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(64, 3)

        def forward(self, x):
            return self.last(F.relu(self.conv(self.conv(x))).flatten(1))

    inputs, targets = torch.rand(1, 1, 8, 8), torch.tensor([0])
    with pytest.raises(ExplainerError, match="called 2 times"):
        explain(name, Model(Twice(), gradcam_layer="conv"), inputs, targets)
    with pytest.raises(ExplainerError, match=r"shape \(1, 4\)"):
        explain(name, Model(small_cnn(), gradcam_layer="6"), inputs, targets)
