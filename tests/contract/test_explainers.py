"""Every registered explainer on every kind of network. Oracle: the contract of ``Explainer`` (properties)."""

import pytest
import torch
from torch import nn

from benchmark.explainers.base import explainers
from benchmark.models.wrap import Model
from benchmark.seeds import Draws


def mlp():
    return Model(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)), input_shape=(1, 8, 8))


def small_cnn():
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 6, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 10),
    )
    return Model(network, input_shape=(1, 8, 8), mean=[0.3], std=[0.4])


def one_logit():
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(54, 1))
    return Model(network, input_shape=(3, 8, 8), mean=[0.5] * 3, std=[0.2] * 3, one_logit=True)


def transformer():
    from torchvision.models import VisionTransformer

    network = VisionTransformer(16, 4, 2, 2, 16, 32, num_classes=10)
    nn.init.normal_(network.heads.head.weight, 0, 0.2)  # torchvision's begins with zeros
    return Model(network.eval(), input_shape=(3, 16, 16), mean=[0.5] * 3, std=[0.2] * 3)


NETWORKS = {
    "mlp": (mlp, (1, 8, 8)), "cnn": (small_cnn, (1, 8, 8)), "one-logit": (one_logit, (1, 16, 16)),
    "transformer": (transformer, (3, 16, 16)),
}  # fmt: skip

CAMS = {"gradcam", "gradcam-plus-plus", "layercam", "hirescam", "guided-gradcam"}
NEED_CONVOLUTIONS = CAMS | {"lrp-epsilon-plus-flat", "lrp-epsilon-alpha2-beta1-flat"}
ATTENTION = {"attention", "attention-rollout", "gradient-rollout"}
RELU = {
    "guided-backprop",
    "deconvolution",
    "beta-smooth",
    "deeplift",
    "deeplift-shap",
    "deep-taylor",
    "excitation-backprop",
}
NOISY = {"smoothgrad", "smoothgrad-squared", "vargrad", "smoothtaylor", "gradient-shap"}
RANDOM = {"random", "shapley", "kernel-shap", "lime"} | NOISY


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", explainers.names())
def test_explainer(name, network):
    torch.manual_seed(0)
    make, shape = NETWORKS[network]
    model, inputs, seeds = make(), torch.rand(5, *shape), [11, 12, 13, 14, 15]
    targets = model(inputs).argmax(1)
    targets[0] = 1 - targets[0].clamp(max=1)  # also a class that is not predicted
    explainer = explainers.make(name)
    reason = explainer.skip(model, None, None)
    if reason:
        other = name in CAMS | RELU or name.startswith("lrp-")  # no map behind attention, no rule for its operations
        expected = {"mlp": name in NEED_CONVOLUTIONS | ATTENTION, "transformer": other}
        assert expected.get(network, name in ATTENTION), reason
        pytest.skip(reason)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    given, state = inputs.clone(), torch.get_rng_state()

    found = explainer.explain(model, inputs, targets, generator=Draws(seeds))

    assert found.shape == inputs.shape
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert bool(found.isfinite().all())
    assert bool((found.flatten(1).abs().amax(1) > 0).any())
    assert torch.equal(inputs, given)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.parameters())
    again = explainer.explain(model, inputs, targets, generator=Draws(seeds))
    assert torch.equal(found, again)
    alone = torch.cat(
        [
            explainer.explain(model, inputs[i : i + 1], targets[i : i + 1], generator=Draws(seeds[i : i + 1]))
            for i in range(len(inputs))
        ]
    )
    torch.testing.assert_close(alone, found, atol=2e-6 * float(found.abs().max() + 1), rtol=1e-4)
    assert found.data_ptr() != inputs.data_ptr()


@pytest.mark.parametrize("name", explainers.names())
def test_declaration(name):
    explainer = explainers.make(name)
    assert explainer.source
    assert explainer.identity()["params"] == {}
    assert explainer.random == (name in RANDOM)
