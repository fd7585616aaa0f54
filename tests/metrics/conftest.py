"""Networks and explained batches that the metric tests share."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.explainers.base import explainers
from benchmark.metrics.base import Explained
from benchmark.models.wrap import Model
from benchmark.seeds import Draws


def explained(model, inputs, attributions=None, *, explainer="saliency", targets=None, masks=None, seed=0):
    """A batch explained by a registered explainer, or with the attributions given."""
    x = torch.as_tensor(inputs, dtype=torch.float32)
    targets = model(x).argmax(1) if targets is None else torch.as_tensor(targets)
    seeds = [1000 * seed + i for i in range(len(x))]
    method = explainers.make(explainer)
    if attributions is None:
        attributions = method.explain(model, x, targets, generator=Draws(seeds)).numpy()
    return Explained(
        model=model,
        inputs=x,
        labels=targets,
        targets=targets,
        attributions=torch.as_tensor(np.asarray(attributions, dtype=np.float32)),
        masks=None if masks is None else torch.as_tensor(masks),
        explainer=method,
        generator=Draws(seeds),
    )


@pytest.fixture
def explain():
    return explained


@pytest.fixture
def linear():
    """A linear model, inputs, their predictions, and the perfect attribution w * x."""
    torch.manual_seed(0)
    layer = nn.Linear(36, 3)
    inputs = torch.rand(20, 1, 6, 6)
    model = Model(nn.Sequential(nn.Flatten(), layer))
    targets = model(inputs).argmax(1)
    perfect = layer.weight.detach()[targets].view(-1, 1, 6, 6) * inputs
    return model, inputs, targets, perfect.numpy()


@pytest.fixture
def cnn():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 16),
        nn.ReLU(),
        nn.Linear(16, 4),
    )
    return Model(network, mean=[0.2], std=[0.5])
