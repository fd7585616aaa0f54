"""DeepFool. Oracles: the closed form on a linear classifier; parity with foolbox on digits_cnn; exact call counts."""

import numpy as np
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.data.base import Grid, datasets
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from benchmark.seeds import Draws


def run(attack, model, x, y):
    return attack.run(model, x, y, eps=None, generator=Draws([0] * len(x)))


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_on_a_linear_classifier_it_is_the_closed_form_times_the_overshoot(classes):
    torch.manual_seed(classes)
    layer = torch.nn.Linear(64, classes)
    model = Model(torch.nn.Sequential(torch.nn.Flatten(), layer))
    x = torch.rand(200, 1, 8, 8) * 0.4 + 0.3  # far from 0 and 1: nothing is clipped
    with torch.no_grad():
        layer.bias.copy_(-(layer.weight @ x.flatten(1).mean(0)))  # all classes occur
        layer.weight.mul_(10)  # steps are short, so nothing reaches the range's ends
        layer.bias.mul_(10)
        logits = model(x)
    y = logits.argmax(1)
    found = run(attacks.make("deepfool"), model, x, y)
    assert bool((model(found.inputs).argmax(1) != y).all())
    weight, z = layer.weight.detach().double(), logits.double()
    gap = (z.gather(1, y[:, None]) - z).masked_fill(torch.nn.functional.one_hot(y, classes).bool(), torch.inf)
    slope = (weight[y][:, None] - weight[None]).norm(dim=2)
    closed = (gap / slope).amin(1).numpy()
    norm = (found.inputs - x).double().flatten(1).norm(dim=1).numpy()
    far = closed > 0.02  # the fixed 1e-4 on each step is below 1 % of these
    assert far.mean() > 0.5
    np.testing.assert_allclose(norm[far], 1.02 * closed[far], rtol=0.01)
    np.testing.assert_allclose(norm, 1.02 * (closed + 1e-4), rtol=0.01)
    assert (found.forwards == 2).all()
    assert (found.backwards == classes - 1).all()


@pytest.fixture(scope="module")
def digits():
    model = build_model(load_entry("digits_cnn"))
    dataset = datasets.make("digits")
    batch = dataset.load("test", dataset.index("test").ids[:150], Grid())
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    right = model(x).argmax(1) == y
    return model, x[right], y[right]


@pytest.mark.parametrize("overshoot", [0.02, 0.5])
def test_success_and_norms_are_foolboxs(digits, overshoot):
    model, x, y = digits
    ours = run(attacks.make("deepfool", {"overshoot": overshoot}), model, x, y).inputs
    theirs = run(attacks.make("foolbox:L2DeepFoolAttack", {"overshoot": overshoot}), model, x, y).inputs
    won, won_too = model(ours).argmax(1) != y, model(theirs).argmax(1) != y
    assert torch.equal(won, won_too)
    a, b = ((z - x).flatten(1).norm(dim=1)[won] for z in (ours, theirs))
    assert abs(a.median() / b.median() - 1) < 0.005
    assert abs(a.mean() / b.mean() - 1) < 0.005


def test_few_steps_are_foolboxs_too(digits):
    model, x, y = digits
    ours = run(attacks.make("deepfool", {"steps": 2, "candidates": 3}), model, x, y).inputs
    theirs = run(attacks.make("foolbox:L2DeepFoolAttack", {"steps": 2, "candidates": 3}), model, x, y).inputs
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_calls_are_counted_a_sample(digits):
    """The wrapper's counter agrees in sum, and a sample's counts do not depend on the batch it is in."""
    model, x, y = digits
    with model.counter.counting() as used:
        found = run(attacks.make("deepfool"), model, x, y)
    assert used.forwards == found.forwards.sum()
    assert used.backwards == found.backwards.sum()
    assert (found.backwards % 9 == 0).all()
    np.testing.assert_array_equal(found.forwards, 2 * found.backwards // 9)  # a step: one look, one graph
    alone = [run(attacks.make("deepfool"), model, x[i : i + 1], y[i : i + 1]) for i in range(10)]
    assert [int(a.backwards[0]) for a in alone] == found.backwards[:10].tolist()
    assert [int(a.forwards[0]) for a in alone] == found.forwards[:10].tolist()


def test_a_sample_that_is_wrong_already_does_not_move(digits):
    model, x, y = digits
    found = run(attacks.make("deepfool"), model, x, (y + 1) % 10)
    assert torch.equal(found.inputs, x)
    assert (found.forwards == 1).all()
    assert not found.backwards.any()


def test_a_flat_model_ends_where_it_began():
    """Zero gradients: no division by zero, no NaN."""
    model = Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)))
    with torch.no_grad():
        model.network[1].weight.zero_()
        model.network[1].bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    x = torch.rand(5, 1, 2, 2)
    found = run(attacks.make("deepfool"), model, x, torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(found.inputs, x)
