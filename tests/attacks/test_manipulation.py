"""The attack on explanations.

Oracles: captum's attributions (what is differentiated is what the explainers give), closed forms (a linear network's
gradient does not move; softplus against ReLU; a two-layer network's Hessian), the verifier, and the control: noise of
the same norm.
"""

from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmark.attacks.base import attacks
from benchmark.attacks.manipulation.ascent import Objective, explained, softened
from benchmark.attacks.verify import judge
from benchmark.data.base import Batch, Grid, datasets
from benchmark.errors import AttackError, SpecError
from benchmark.explainers.base import explainers
from benchmark.metrics.functional import spearman
from benchmark.models.build import build_model
from benchmark.models.entries import load_entry
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute

NONE = MappingProxyType({})


@pytest.fixture(scope="module")
def digits():
    """The digits network and test samples that it classifies right."""
    model = build_model(load_entry("digits_cnn"), "cpu")
    data = datasets.make("digits")
    batch = data.load("test", data.index("test").ids[:24], Grid(size=None, channels=None))
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    right = model(x).argmax(1) == y
    return model, x[right], y[right]


def smooth(width=12):
    """A small network with ReLU modules, one of them used in a nested block, and inputs."""
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True))
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.ReLU(), block, nn.Linear(width, 3))
    return Model(network), torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def attacked(model, x, y, eps=0.1, **params):
    attack = attacks.make("explanation-manipulation", params)
    return attack, attack.run(model, x, y, eps=eps, generator=Draws(range(len(x))))


@pytest.mark.parametrize("method", ["saliency", "input-x-gradient", "integrated-gradients"])
def test_what_is_moved_is_what_the_explainer_of_that_name_gives(digits, method):
    model, x, y = digits
    params = {"steps": 8} if method == "integrated-gradients" else {}
    theirs = explainers.make(method, params).explain(model, x, y, generator=Draws(range(len(x))))
    ours = explained(model, x, y, method, 8, graph=False).detach()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_copy_is_soft_and_the_network_stays():
    """Oracle: softplus tends to ReLU as beta grows, from above, by at most log(2) / beta a unit."""
    model, x = smooth()
    copied, soft = softened(model, x[:1])
    assert len(soft) == 2
    assert sum(isinstance(module, nn.ReLU) for module in model.modules()) == 2
    assert not any(isinstance(module, nn.ReLU) for module in copied.modules())
    gaps = []
    for beta in (5.0, 50.0, 5000.0):
        for module in soft:
            module.beta = beta
        gaps.append((copied(x) - model(x)).abs().max().item())
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-3


def test_the_copys_second_derivative_is_softplus_own_and_the_networks_is_zero():
    """Closed form: for f(x) = sum_j v_j s(w_j x) the gradient of |grad f|^2 / 2 is H grad f, H = W' diag(v s'') W."""
    torch.manual_seed(1)
    first, last = nn.Linear(4, 6, bias=False), nn.Linear(6, 2, bias=False)
    model = Model(nn.Sequential(nn.Flatten(), first, nn.ReLU(), last))
    x = torch.rand(1, 1, 2, 2)
    copied, (soft,) = softened(model, x)
    soft.beta = 7.0
    leaf = x.clone().requires_grad_()
    found = explained(copied, leaf, torch.tensor([1]), "saliency", 2, graph=True)
    moved = torch.autograd.grad(0.5 * found.square().sum(), leaf)[0].flatten()
    weight, value = first.weight.detach(), last.weight.detach()[1]
    gate = torch.sigmoid(7 * weight @ x.flatten())
    gradient = weight.T @ (value * gate)
    hessian = weight.T @ torch.diag(value * 7 * gate * (1 - gate)) @ weight
    torch.testing.assert_close(moved, hessian @ gradient, atol=1e-5, rtol=1e-4)
    leaf = x.clone().requires_grad_()
    hard = explained(model, leaf, torch.tensor([1]), "saliency", 2, graph=True)
    none = torch.autograd.grad(hard.square().sum(), leaf, allow_unused=True)[0]
    assert none is None or not none.any()


@pytest.mark.parametrize("objective", ["ranks", "target", "topk"])
@pytest.mark.parametrize("method", ["saliency", "input-x-gradient"])
def test_explanations_move_farther_than_under_noise_while_the_prediction_stays(digits, method, objective):
    """Control: noise of the same norm, on the same samples; the prediction is judged by the task."""
    model, x, y = digits
    task = tasks.make("classification")
    clean_rows = task.clean(model, Batch(tuple(map(str, range(len(x)))), x.numpy(), y.numpy()))
    clean = explained(model, x, y, method, 2, graph=False).detach()
    before = model(x).softmax(1).gather(1, y.view(-1, 1))[:, 0]
    alike, values = {}, {}
    for use, params in (
        ("explanation-manipulation", {"method": method, "objective": objective, "steps": 60}),
        ("noise-linf", {}),
    ):
        attack = attacks.make(use, params)
        rows, out = execute(task, attack, model, x, y, clean_rows, eps=0.1, generator=Draws(range(len(x))))
        assert (rows["status"] == "ok").all()
        maps = explained(model, out, y, method, 2, graph=False).detach()
        alike[use] = spearman(clean, maps).mean().item()
        values[use] = Objective.of(attacks.make("explanation-manipulation", {"objective": objective}), clean)(maps)
        if use == "noise-linf":
            continue
        after = model(out).softmax(1).gather(1, y.view(-1, 1))[:, 0]
        assert (rows["pred"] == rows["pred_clean"]).all()
        assert (after - before).abs().max() <= 0.05 + 1e-6
        np.testing.assert_allclose(rows["param_change"], (after - before).abs().detach(), atol=1e-6)
        np.testing.assert_allclose(rows["param_after"], values[use], atol=1e-5)
        column = next(column for column in attack.columns() if column.name == "manipulated")
        assert np.nanmean(column.values(pd.DataFrame(rows))) > 0.9
    assert values["explanation-manipulation"].mean() < values["noise-linf"].mean() - 0.02
    if objective == "ranks":
        assert alike["explanation-manipulation"] < alike["noise-linf"] - 0.08


def test_a_linear_networks_gradient_cannot_be_moved_and_that_is_said():
    """Closed form: the gradient is the weight everywhere."""
    torch.manual_seed(0)
    model = Model(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))
    x = torch.rand(4, 1, 4, 4)
    with pytest.raises(AttackError, match="zero or not finite for 4 of 4 samples"):
        attacked(model, x, model(x).argmax(1))
    attack, found = attacked(model, x, model(x).argmax(1), method="input-x-gradient")
    assert (found.params["after"] < found.params["before"]).all()  # x times the weight does move
    assert (judge(attack, x, found, 0.1)[0] == "ok").all()


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(torch.relu(self.first(x.flatten(1))))


def test_a_functional_relu_is_refused():
    x = torch.rand(2, 1, 4, 4)
    with pytest.raises(AttackError, match="still computes Relu"):
        attacked(Model(Functional()), x, torch.zeros(2, dtype=torch.int64))


def test_labels_that_are_no_classes_are_refused():
    model, x = smooth()
    with pytest.raises(AttackError, match="no classes"):
        attacked(model, x, torch.rand(5))


@pytest.mark.parametrize("params", [{"beta": [50.0, 5.0]}, {"beta": [0.0, 5.0]}, {"keep": 2.0}, {"method": "lrp"}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(SpecError):
        attacks.make("explanation-manipulation", params)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.05), ("l2", 0.4)])
def test_the_budget_holds_and_is_used(digits, norm, eps):
    model, x, y = digits
    attack, found = attacked(model, x, y, eps=eps, norm=norm, steps=30)
    status, norms = judge(attack, x, found, eps)
    assert (status == "ok").all()
    assert np.median(norms[norm]) > 0.8 * eps


def test_with_nothing_allowed_to_change_the_input_stays():
    """keep = 0: every step changes the probability a little, so no iterate is admissible."""
    model, x = smooth()
    _, found = attacked(model, x, model(x).argmax(1), keep=0.0, steps=10)
    untouched = found.params["change"] == 0
    assert untouched.all()
    assert (found.params["after"][untouched] <= found.params["before"][untouched]).all()


def test_it_is_no_part_of_a_robust_accuracy():
    threat = attacks.make("explanation-manipulation").threat
    assert (threat.norm, threat.domain, threat.kind) == ("linf", "explanation", "fixed")
    assert attacks.make("explanation-manipulation", {"norm": "l2"}).threat.norm == "l2"
