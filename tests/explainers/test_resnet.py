"""Every explainer on torchvision's ResNet-18 at 64x64, untrained and seeded. Oracle: the contract, or a named refusal.

ResNet-18 has in-place ReLUs that are used twice, residual sums, batch normalisation, max pooling: the traps in one.
"""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from benchmark.errors import ExplainerError
from benchmark.explainers.base import explainers
from benchmark.models.wrap import Model
from benchmark.seeds import Draws

REFUSED = {"deeplift": "captum refuses", "deeplift-shap": "captum refuses"}
SLOW = {"shapley", "kernel-shap", "lime", "smoothtaylor"}
QUICK = {"integrated-gradients": {"steps": 4}, "gradient-shap": {"samples": 4}, "occlusion": {"stride": 16}} | {
    "feature-ablation": {"grid": 3}
}
REFUSED |= dict.fromkeys(("attention", "attention-rollout", "gradient-rollout"), "runs no attention that can be seen")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = resnet18(num_classes=10)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return Model(network, input_shape=(3, 64, 64), mean=[0.5] * 3, std=[0.25] * 3)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in explainers.names()]
)
def test_resnet18(model, name):
    torch.manual_seed(1)
    inputs, targets = torch.rand(2, 3, 64, 64), torch.tensor([3, 7])
    explainer = explainers.make(name, QUICK.get(name, {}))
    reason = explainer.skip(model, None, None)
    assert (REFUSED[name] in reason) if name in REFUSED else reason is None
    before = model(inputs)
    if name in REFUSED:
        with pytest.raises(ExplainerError, match=REFUSED[name]):
            explainer.explain(model, inputs, targets, generator=Draws([0, 1]))
    else:
        found = explainer.explain(model, inputs, targets, generator=Draws([0, 1]))
        assert found.shape == inputs.shape
        assert bool(found.isfinite().all())
        assert bool((found.flatten(1).abs().amax(1) > 0).all())
        if not explainer.control:
            assert not torch.equal(found[0], found[1])
    assert torch.equal(model(inputs), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
