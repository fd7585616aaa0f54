"""Randomisation. Oracles: attributions that ignore the model or the class, constructed models, definitions.

Quantus is in ``tests/parity/test_randomisation.py``.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.errors import NotApplicableError
from benchmark.explainers.base import Explainer
from benchmark.metrics.base import metrics
from benchmark.metrics.functional import mprt
from benchmark.metrics.functional.layers import randomised
from benchmark.models.wrap import Model

CASCADE = ["mprt", "smooth-mprt"]


@pytest.mark.parametrize("explainer", ["sobel", "constant"])
def test_an_attribution_that_ignores_the_model_does_not_change(cnn, explain, explainer):
    batch = explain(cnn, torch.rand(4, 1, 8, 8), explainer=explainer)
    np.testing.assert_array_equal(metrics.make("efficient-mprt").score(batch), 0.0)
    np.testing.assert_allclose(metrics.make("random-logit").score(batch), 1.0)
    for similarity in ("spearman", "ssim"):
        np.testing.assert_allclose(metrics.make("mprt", {"similarity": similarity}).score(batch), 1.0)
    if explainer == "constant":
        np.testing.assert_allclose(metrics.make("smooth-mprt").score(batch), 1.0)
    else:
        assert (metrics.make("smooth-mprt").score(batch) > 0.999).all()  # the same noise at every stage


@pytest.mark.parametrize("name", [*CASCADE, "random-logit"])
def test_direction_a_gradient_changes_and_random_is_unrelated(cnn, explain, name):
    inputs = torch.rand(8, 1, 8, 8)
    metric = metrics.make(name)
    gradient, noise = (metric.score(explain(cnn, inputs, explainer=kind)).mean() for kind in ("saliency", "random"))
    assert metric.higher_is_better is False
    assert gradient < 0.7
    assert abs(noise) < 0.15


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


def test_layers_are_randomised_one_after_another(cnn):
    before = copy.deepcopy(cnn.state_dict())
    for order, names in (("top_down", ["6", "4", "0"]), ("bottom_up", ["0", "4", "6"])):
        changed = []
        for name, twin in randomised(cnn, seed=1, order=order):
            changed.append(
                {key.split(".")[1] for key, value in twin.state_dict().items() if not torch.equal(value, before[key])}
            )
            assert name == f"network.{names[len(changed) - 1]}"
        assert changed == [set(names[: k + 1]) for k in range(3)]
    assert all(torch.equal(value, before[key]) for key, value in cnn.state_dict().items())


def test_random_weights_are_those_of_the_seed_in_every_dtype(cnn):
    (*_, (_, a)), (*_, (_, b)) = randomised(cnn, seed=1), randomised(copy.deepcopy(cnn).double(), seed=1)
    assert all(torch.equal(value.double(), b.state_dict()[key]) for key, value in a.state_dict().items())
    (*_, (_, c)) = randomised(cnn, seed=2)
    assert not torch.equal(a.network[0].weight, c.network[0].weight)


def test_stages_are_evenly_spaced_and_end_with_the_random_model(cnn, explain):
    batch = explain(cnn, torch.rand(3, 1, 8, 8))
    call = batch.explainer.explain

    def again(model, x, y):
        return call(model, x, y, generator=batch.generator)

    given = again, cnn, batch.inputs, batch.targets, batch.attributions
    every = mprt(*given, per_layer=True)
    assert every.shape == (3, 3)
    torch.testing.assert_close(mprt(*given, per_layer=True, stages=1), every[2:])
    torch.testing.assert_close(mprt(*given, per_layer=True, stages=2), every[[1, 2]])
    torch.testing.assert_close(mprt(*given), every.mean(0))


class Vanishing(Explainer):
    """The image; all zero once the last layer is no longer the given one."""

    weight: object

    def explain(self, model, inputs, targets, *, generator):
        return inputs * float(torch.equal(model.network[4].weight, self.weight))


def test_a_stage_where_the_attribution_vanishes_is_left_out(cnn, explain):
    """Of three stages only the first has a similarity, 1; without any, NaN."""
    batch = explain(cnn, torch.rand(2, 1, 8, 8))
    batch.attributions = batch.inputs.clone()
    batch.explainer = Vanishing(weight=cnn.network[4].weight.clone())
    np.testing.assert_allclose(metrics.make("mprt").score(batch), 1)
    assert metrics.make("mprt", {"stages": 1}).score(batch).isnan().all()


def test_the_pair_behind_one_logit_is_not_a_layer():
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(9, 1)), one_logit=True)
    names = [name for name, _ in randomised(model, seed=0)]
    assert names == ["network.1"]
    (*_, (_, other)) = randomised(model, seed=0)
    inputs = torch.rand(4, 1, 3, 3)
    assert (model(inputs) - other(inputs)).abs().max() > 1e-4
    torch.testing.assert_close(other(inputs).sum(1), torch.zeros(4))


def test_attention_is_randomised_too():
    attention = nn.MultiheadAttention(8, 2)
    (*_, (_, twin)) = randomised(nn.Sequential(attention), seed=0)
    assert not torch.equal(twin[0].in_proj_weight, attention.in_proj_weight)


@pytest.mark.parametrize("name", [*CASCADE, "efficient-mprt"])
def test_skips_networks_that_cannot_be_randomised(explain, name):
    metric, plain = metrics.make(name), Model(nn.Flatten())
    assert "reset_parameters" in metric.skip(plain, None, None)
    assert metric.skip(Model(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))), None, None) is None
    with pytest.raises(NotApplicableError, match="re-initialised"):
        metric.score(explain(plain, torch.rand(2, 1, 2, 2)))


def test_random_logit_of_two_classes_is_the_exact_opposite(explain):
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(9, 1)), one_logit=True)
    scores = metrics.make("random-logit").score(explain(model, torch.rand(4, 1, 3, 3)))
    np.testing.assert_allclose(scores, -1)


class Chosen(Explainer):
    """Remembers the classes that it was asked for."""

    asked: list

    def explain(self, model, inputs, targets, *, generator):
        self.asked.extend(targets.tolist())
        return inputs


def test_random_logit_asks_for_every_other_class_and_never_for_the_target(cnn, explain):
    batch = explain(cnn, torch.rand(60, 1, 8, 8), targets=np.arange(60) % 4)
    batch.explainer = Chosen(asked=[])
    metrics.make("random-logit").score(batch)
    asked = torch.tensor(batch.explainer.asked)
    assert (asked != batch.targets).all()
    for target in range(4):
        assert set(asked[batch.targets == target].tolist()) == set(range(4)) - {target}
