"""Robustness of explanations. Oracles: closed forms and definitions; Quantus is in ``tests/parity``."""

import numpy as np
import pytest
import torch

from benchmark.errors import AssayError
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


@pytest.mark.parametrize("normalise", [True, False])
def test_lipschitz_of_linear_models_in_closed_form(linear, explain, normalise):
    """The gradient does not move; gradient times input moves by slope * noise."""
    model, inputs, targets, _ = linear
    metric = metrics.make("local-lipschitz", {"nr_samples": 4, "normalise": normalise})
    np.testing.assert_allclose(metric.score(explain(model, inputs)), 0, atol=1e-5)
    if not normalise:
        batch = explain(model, inputs, explainer="input-x-gradient")
        draws, slope = Draws(batch.generator.seeds), model.network[1].weight[targets]
        noise = torch.stack([0.1 * draws.normal((36,)) for _ in range(4)])
        wanted = ((noise * slope).norm(dim=2) / noise.norm(dim=2)).amax(0)
        np.testing.assert_allclose(metric.score(batch), wanted, rtol=1e-3)


def test_avg_is_below_max_sensitivity(cnn, explain):
    batch = lambda: explain(cnn, torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)))  # noqa: E731
    mean, largest = (metrics.make(f"{kind}-sensitivity").score(batch()) for kind in ("avg", "max"))
    assert (mean < largest).all()
    assert (mean > largest / 10).all()


RELATIVE = ["relative-input-stability", "relative-output-stability", "relative-representation-stability"]


@pytest.mark.parametrize("name", RELATIVE)
def test_relative_stability_of_a_constant_and_of_one_that_changes_every_class(linear, explain, name):
    """Oracle: definitions. A constant does not move: 0. Where every copy changes the predicted class: NaN, alone."""
    model, inputs, _, _ = linear
    inputs[1:] *= 100  # far from the boundary, in units of the noise
    batch = explain(model, inputs, explainer="constant")
    np.testing.assert_array_equal(metrics.make(name).score(batch), 0)
    inputs[0] = 0.0
    model.network[1].bias.zero_()  # all logits equal: class 0, and noise makes it another one in two of three
    scores = metrics.make(name, {"nr_samples": 1}).score(explain(model, inputs, explainer="constant"))
    other = model(0.05 * Draws([0]).normal((1, 6, 6))).argmax(1) != 0
    assert bool(scores[0].isnan()) == bool(other)
    assert other
    assert (scores[1:] == 0).all()


def test_relative_representation_stability_by_the_layer_asked_for(cnn, explain):
    """The last layer's outputs are the logits: the relative change of them, by hand."""
    inputs = torch.rand(5, 1, 8, 8) + 1
    batch = explain(cnn, inputs, explainer="input-x-gradient")
    metric = metrics.make("relative-representation-stability", {"layers": ["6"], "nr_samples": 1, "std": 0.01})
    draws = Draws(batch.generator.seeds)
    x = inputs + 0.01 * draws.normal((1, 8, 8))
    a = batch.explainer.explain(cnn, x, batch.targets, generator=Draws(range(5)))
    above = (batch.attributions - a) / batch.attributions.where(batch.attributions != 0, torch.tensor(1e-6))
    below = ((cnn(inputs) - cnn(x)) / cnn(inputs)).norm(dim=1)
    np.testing.assert_allclose(metric.score(batch), above.flatten(1).norm(dim=1) / below, rtol=1e-3)
    with pytest.raises(AssayError, match=r"no layer 'network.nope'; it has .*network.0"):
        metrics.make("relative-representation-stability", {"layers": ["nope"]}).score(batch)


def test_continuity_of_an_attribution_that_stays(cnn, explain):
    """0 for a constant; a sample that no translation changes has none."""
    inputs = torch.rand(3, 1, 8, 8)
    inputs[1] = 0
    scores = metrics.make("continuity").score(explain(cnn, inputs, explainer="constant"))
    assert scores[[0, 2]].tolist() == [0, 0]
    assert scores[1].isnan()
    assert (metrics.make("continuity").score(explain(cnn, inputs[:1], explainer="input-x-gradient")) > 1).all()


def test_passes_are_those_of_the_copies(cnn, explain):
    """10 copies of 6 samples: 60 gradients in one batch, and one more forward of each where predictions matter."""
    batch = explain(cnn, torch.rand(6, 1, 8, 8))
    batch.logits  # noqa: B018 - they are computed once for all metrics
    for name, forwards in (("max-sensitivity", 60), ("relative-input-stability", 120)):
        with cnn.counter.counting() as used:
            metrics.make(name).score(batch)
        assert (used.forwards, used.backwards) == (forwards, 60)


class Vanishing(Explainer):
    """All zero; not a number where the first pixel is bright and the second is beyond all others."""

    def explain(self, model, inputs, targets, *, generator):
        bright = (inputs[:, 0, 0, 0] > 0.5) & (inputs[:, 0, 0, 1] > 5)
        return torch.zeros_like(inputs).masked_fill(bright.view(-1, 1, 1, 1), torch.nan)


def test_an_explanation_that_vanishes_has_moved_by_its_whole_norm(linear, explain):
    model, inputs, _, perfect = linear
    inputs[-1, 0, 0, :2] = torch.tensor([0.5, 9.0])  # bright in about half of the draws
    batch = explain(model, inputs, perfect)
    batch.explainer = Vanishing()
    scores = metrics.make("max-sensitivity").score(batch)
    np.testing.assert_allclose(scores[:-1], 1.0)
    assert scores[-1].isnan()
