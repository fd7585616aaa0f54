"""Our PGD. Oracles: the closed form of linear networks, torchattacks' PGD on digits, and the calls that it may make."""

import numpy as np
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.attacks.core.projections import norms
from benchmark.data.base import Grid, datasets
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from benchmark.seeds import Draws

DUAL = {"linf": 1, "l2": 2, "l1": float("inf")}


def linear(classes=2, side=4):
    torch.manual_seed(0)
    return Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(side * side, classes)))


@pytest.mark.parametrize("norm", DUAL)
def test_of_a_linear_network_exactly_those_within_reach_are_broken(norm):
    """Closed form: the distance to the boundary is margin / dual norm of the weights; inputs stay clear of the box."""
    model = linear()
    x = 0.3 + 0.4 * torch.rand((200, 1, 4, 4), generator=torch.Generator().manual_seed(1))
    layer = model.core[1]
    weights = layer.weight
    with torch.no_grad():  # a boundary through the middle of the inputs
        layer.bias[0] -= (model(x)[:, 0] - model(x)[:, 1]).mean()
    logits = model(x)
    distance = (logits[:, 0] - logits[:, 1]).abs() / torch.linalg.vector_norm(weights[0] - weights[1], ord=DUAL[norm])
    eps = distance.median().item()
    attack = attacks.make("pgd", {"norm": norm, "steps": 40, "restarts": 2})
    left = attack.run(model, x, logits.argmax(1), eps=eps, generator=Draws(range(200)))
    broken = model(left.inputs).argmax(1) != logits.argmax(1)
    clear = (distance - eps).abs() > 0.05 * eps
    assert torch.equal(broken[clear], (distance < eps)[clear])
    assert (distance < eps)[clear].any()
    assert (distance > eps)[clear].any()
    assert norms((left.inputs - x).double(), norm).max() <= eps * (1 + 1e-6) + 1e-6


@pytest.fixture(scope="module")
def digits():
    model = build_model(load_entry("digits_cnn_adv"))
    data = datasets.make("digits")
    batch = data.load("test", data.index("test").ids[:60], Grid())
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    right = model(x).argmax(1) == y
    return model, x[right], y[right]


def test_as_torchattacks_on_digits(digits):
    """Parity: as many broken, give or take one restart's luck, at the same steps."""
    model, x, y = digits
    ours = attacks.make("pgd", {"steps": 20, "step": 0.1}).run(model, x, y, eps=0.15, generator=Draws(range(len(x))))
    theirs = attacks.make("torchattacks:PGD", {"steps": 20, "alpha": 0.015})
    other = theirs.run(model, x, y, eps=0.15, generator=Draws(range(len(x))))
    found = [(model(each.inputs).argmax(1) != y).float().mean().item() for each in (ours, other)]
    assert 0.1 < found[1] < 0.95
    assert abs(found[0] - found[1]) <= 2 / len(x)


def test_a_broken_sample_costs_nothing_more_and_restarts_are_for_the_rest(digits):
    model, x, y = digits
    attack = attacks.make("pgd", {"steps": 20, "restarts": 3})
    left = attack.run(model, x, y, eps=0.15, generator=Draws(range(len(x))))
    broken = (model(left.inputs).argmax(1) != y).numpy()
    assert (left.forwards[~broken] == 1 + 3 * 21).all()
    assert (left.backwards[~broken] == 3 * 20).all()
    assert left.forwards[broken].mean() < 25
    assert torch.equal(left.inputs[torch.as_tensor(~broken)], x[torch.as_tensor(~broken)])
    one = attacks.make("pgd", {"steps": 20}).run(model, x, y, eps=0.15, generator=Draws(range(len(x))))
    assert broken.sum() >= (model(one.inputs).argmax(1) != y).sum().item()


def test_its_reach_and_what_is_longer():
    attack = attacks.make("pgd", {"steps": 50})
    assert attack.reach(0.1) == pytest.approx(2.5)
    assert attack.longer(10).share() == attack.share()
    assert attack.longer(10).steps == 60
    assert attack.effortless() == attacks.make("pgd", {"steps": 10}).effortless()
    assert np.isclose(attacks.make("pgd", {"step": 0.01, "steps": 50}).reach(0.1), 0.5)
