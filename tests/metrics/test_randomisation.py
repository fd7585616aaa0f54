"""Randomisation. Oracles: Quantus called directly, an attribution that ignores the model, a constructed model."""

import copy
import gc
import weakref

import numpy as np
import pytest
import quantus
import torch
from torch import nn

from benchmark.metrics.base import metrics
from benchmark.models.wrap import Model
from benchmark.seeds import Draws, global_seed


@pytest.mark.filterwarnings("ignore")
def test_parity_with_quantus(cnn, explain):
    batch = explain(cnn, torch.rand(5, 1, 8, 8), explainer="input-x-gradient")

    def again(model, inputs, targets, **_):
        given = torch.tensor(inputs), torch.tensor(targets)
        return batch.explainer.explain(model, *given, generator=Draws(range(5))).numpy()

    direct = quantus.EfficientMPRT(disable_warnings=True)
    with global_seed(0):
        wanted = direct(
            model=cnn,
            x_batch=batch.inputs.numpy(),
            y_batch=batch.targets.numpy(),
            a_batch=batch.attributions.numpy(),
            channel_first=True,
            explain_func=again,
        )
    np.testing.assert_allclose(metrics.make("efficient-mprt").score(batch), wanted, atol=1e-9)


def test_an_attribution_that_ignores_the_model_scores_zero(cnn, explain):
    scores = metrics.make("efficient-mprt").score(explain(cnn, torch.rand(4, 1, 8, 8), explainer="sobel"))
    np.testing.assert_array_equal(scores, 0.0)


def test_direction_a_simple_model_becomes_complex(explain):
    torch.manual_seed(0)
    layer = nn.Linear(64, 2)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, :4] = torch.tensor([[1.0, 2, 3, 4], [4, 3, 2, 1]])
    scores = metrics.make("efficient-mprt").score(
        explain(Model(nn.Sequential(nn.Flatten(), layer)), torch.rand(3, 1, 8, 8))
    )
    assert (scores > 1).all()  # entropy of a few values to that of 64 different ones


def test_the_pair_behind_one_logit_is_not_randomised():
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(9, 1)), one_logit=True)
    other = copy.deepcopy(model)
    for module in other.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    inputs = torch.rand(4, 1, 3, 3)
    assert (model(inputs) - other(inputs)).abs().max() > 1e-4
    torch.testing.assert_close(other(inputs).sum(1), torch.zeros(4))


def test_skips_networks_that_cannot_be_randomised():
    metric = metrics.make("efficient-mprt")
    assert "reset_parameters" in metric.skip(Model(nn.Flatten()), None, None)
    assert metric.skip(Model(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))), None, None) is None


def test_quantus_does_not_keep_the_model_alive(explain):
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    batch = explain(model, torch.rand(2, 1, 8, 8), explainer="input-x-gradient")
    metrics.make("efficient-mprt").score(batch)
    metrics.make("pixel-flipping").score(batch)
    gone = weakref.ref(model)
    del model, batch
    gc.collect()
    assert gone() is None
