"""The AutoAttack ensembles. Oracles: torchattacks' own class (parity), a closed form on a linear model of two classes,
and properties (who is skipped, the library's version in the hash)."""

from importlib.metadata import version

import numpy as np
import pytest
import torch
import torchattacks as ta

from benchmark.attacks.base import attacks
from benchmark.models.wrap import Model
from benchmark.seeds import Draws, global_seed
from benchmark.spec.entry import EntrySpec


def linear(classes, seed=0):
    torch.manual_seed(seed)
    return Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes)))


def samples(model, n=24):
    x = torch.rand((n, 1, 8, 8), generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    return x, model(x).argmax(1)


@pytest.mark.parametrize(("norm", "name", "eps"), [("linf", "Linf", 0.02), ("l2", "L2", 0.1)])
def test_the_standard_ensemble_is_the_librarys(norm, name, eps):
    model = linear(10)
    x, y = samples(model)
    y[:3] = (y[:3] + 1) % 10  # wrong already
    draws = Draws(range(24))
    with global_seed(3):
        found = attacks.make("autoattack", {"norm": norm, "steps": 10}).run(model, x, y, eps=eps, generator=draws)
    with global_seed(3):
        expected = ta.AutoAttack(model, norm=name, eps=eps, n_classes=10, seed=draws.batch_seed)(x, y)
    assert torch.equal(found.inputs, expected)
    broken = model(found.inputs).argmax(1) != y
    assert 3 < int(broken.sum()) < 24, "some hold, some do not, else this shows nothing"
    assert torch.equal(found.inputs[:3], x[:3])
    assert found.forwards[:3].tolist() == [1, 1, 1], "one prediction, and they leave"


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_binary_ensemble_breaks_exactly_what_can_be_broken(classes, norm):
    """A linear model breaks at margin / dual norm of the weight difference (inputs stay inside the box here)."""
    model = linear(classes)
    x, y = samples(model, 60)
    weights, logits = model.network[1].weight, model(x)
    others = [[k for k in range(classes) if k != int(label)] for label in y]
    order = 1 if norm == "linf" else 2
    distance = torch.tensor(
        [
            min(
                float((row[label] - row[k]) / torch.linalg.vector_norm(weights[label] - weights[k], order))
                for k in wrong
            )
            for row, label, wrong in zip(logits, y, others, strict=True)
        ]
    )
    eps = float(distance.median())
    clear = (distance / eps - 1).abs() > 0.02
    found = attacks.make("autoattack-binary", {"norm": norm, "queries": 50}).run(
        model, x, y, eps=eps, generator=Draws(range(60))
    )
    broken = model(found.inputs).argmax(1) != y
    assert torch.equal(broken[clear], (distance < eps)[clear])
    assert 20 < int(broken.sum()) < 40


def test_each_member_is_tried_on_what_is_left_and_costs_are_counted():
    model = linear(2)
    x, y = samples(model)
    attack = attacks.make("autoattack-binary", {"steps": 5, "queries": 7})
    with model.counter.counting() as used:
        found = attack.run(model, x, y, eps=0.005, generator=Draws(range(24)))
    broken = (model(found.inputs).argmax(1) != y).numpy()
    assert 0 < broken.sum() < 24
    assert torch.equal(found.inputs[~broken], x[~broken]), "what is not broken comes back as it was"
    assert found.forwards[broken].max() < found.forwards[~broken].min()
    np.testing.assert_allclose(found.forwards.sum(), used.forwards)
    np.testing.assert_allclose(found.backwards.sum(), used.backwards)


def entry(classes, output="logits"):
    return EntrySpec(name="m", input_shape=(1, 8, 8), classes=classes, output=output, factory="model:build")


@pytest.mark.parametrize(("classes", "output"), [(1, "logit1"), (2, "logits"), (3, "logits")])
def test_below_four_classes_the_standard_ensemble_names_the_other(classes, output):
    reason = attacks.make("autoattack").skip(None, entry(classes, output), None)
    assert "at least 4 classes" in reason
    assert "autoattack-binary" in reason
    assert attacks.make("autoattack-binary").skip(None, entry(classes, output), None) is None


def test_from_four_classes_on_the_binary_ensemble_is_refused():
    assert "use autoattack," in attacks.make("autoattack-binary").skip(None, entry(4), None)
    assert attacks.make("autoattack").skip(None, entry(4), None) is None


def test_batch_size_and_library_are_in_the_hash():
    attack = attacks.make("autoattack", {"norm": "L2", "batch_size": 50})
    assert attack.fixed_batch_size() == 50
    assert attack.identity() == {
        "use": "autoattack",
        "params": {"norm": "l2", "batch_size": 50},
        "version": f"1+torchattacks=={version('torchattacks')}",
    }
