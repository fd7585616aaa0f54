"""Robustness of explanations. Oracles: closed forms, Quantus called directly with the same noise."""

import numpy as np
import pytest
import quantus
import torch

from benchmark.explainers.base import Explainer
from benchmark.metrics.base import metrics
from benchmark.seeds import Draws


def test_the_gradient_of_a_linear_model_does_not_move(linear, explain):
    model, inputs, _, _ = linear
    np.testing.assert_allclose(metrics.make("max-sensitivity").score(explain(model, inputs)), 0, atol=1e-6)


def test_direction_random_is_worse_than_the_gradient_of_a_network(cnn, explain):
    inputs = torch.rand(8, 1, 8, 8)
    metric = metrics.make("max-sensitivity")
    good, bad = (metric.score(explain(cnn, inputs, explainer=name)).mean() for name in ("saliency", "random"))
    assert metric.higher_is_better is False
    assert good < bad
    assert bad == pytest.approx(1.5, abs=0.3)  # two independent draws differ by sqrt(2) norms; the largest of ten more


def test_input_x_gradient_of_a_linear_model_moves_by_its_noise(linear, explain):
    model, inputs, targets, perfect = linear
    batch = explain(model, inputs, explainer="input-x-gradient")
    draws = Draws(batch.generator.seeds)
    slope = model.network[1].weight[targets]
    moves = [(draws.uniform((36,), -0.1, 0.1) * slope).norm(dim=1) for _ in range(4)]
    wanted = torch.stack(moves).amax(0) / torch.tensor(perfect).flatten(1).norm(dim=1)
    found = metrics.make("max-sensitivity", {"nr_samples": 4, "radius": 0.1}).score(batch)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_parity_with_quantus_on_the_same_noise(cnn, explain):
    batch = explain(cnn, torch.rand(5, 1, 8, 8), explainer="integrated-gradients")
    draws = Draws(batch.generator.seeds)

    def noisy(arr, **_):
        return arr + draws.uniform(arr.shape[1:], -0.2, 0.2).numpy()

    def again(model, inputs, targets, **_):
        given = torch.tensor(inputs), torch.tensor(targets)
        return batch.explainer.explain(cnn, *given, generator=Draws(range(5))).numpy()

    direct = quantus.MaxSensitivity(nr_samples=10, perturb_func=noisy, disable_warnings=True)
    wanted = direct(
        model=cnn,
        x_batch=batch.inputs.numpy(),
        y_batch=batch.targets.numpy(),
        a_batch=batch.attributions.numpy(),
        channel_first=True,
        explain_func=again,
    )
    np.testing.assert_allclose(metrics.make("max-sensitivity").score(batch), wanted, atol=1e-6)


class Vanishing(Explainer):
    """All zero; not a number where the last sample's first pixel is bright."""

    def explain(self, model, inputs, targets, *, generator):
        found = torch.zeros_like(inputs)
        found[-1] = torch.nan if inputs[-1, 0, 0, 0] > 0.5 else 0.0
        return found


def test_an_explanation_that_vanishes_has_moved_by_its_whole_norm(linear, explain):
    model, inputs, _, perfect = linear
    inputs[-1, 0, 0, 0] = 0.5  # bright in about half of the draws
    batch = explain(model, inputs, perfect)
    batch.explainer = Vanishing()
    scores = metrics.make("max-sensitivity").score(batch)
    np.testing.assert_allclose(scores[:-1], 1.0)
    assert np.isnan(scores[-1])
