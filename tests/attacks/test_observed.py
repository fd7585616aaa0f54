"""Attacks measured by their best observed point.

Oracles: a spy on the network that writes down every input asked about; a linear model, whose distances have a closed
form; brute force over assignments; the inner model's own counter.
"""

from itertools import combinations
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import Field

from benchmark.attacks.base import Attack, Perturbed, Threat, attacks
from benchmark.attacks.observed.bisection import narrowed
from benchmark.attacks.observed.model import ObservedModel, Spent
from benchmark.attacks.observed.observed import START, BestObserved
from benchmark.attacks.observed.rows import attribution, in_order
from benchmark.attacks.observed.tables import library_of
from benchmark.data.base import Batch
from benchmark.errors import SpecError, UnknownNameError
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute


class Recorder(torch.nn.Module):
    """A network that keeps all inputs that it was asked about, in order."""

    def __init__(self, network):
        super().__init__()
        self.network, self.seen = network, []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return self.network(x)


def linear(classes=4, seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, classes))


def samples(model, n=6):
    x = torch.rand((n, 1, 4, 4), generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    with torch.no_grad():
        return x, model(x).argmax(1)


def judged(attack, model, x, y):
    task = tasks.make("classification")
    clean = task.clean(model, Batch(tuple(map(str, range(len(x)))), x.numpy(), y.numpy()))
    return execute(task, attack, model, x, y, clean, eps=None, generator=Draws(range(len(x))))


@attacks.register("scatter-toy")
class Scatter(Attack):
    """Random points around all samples, some of them out of the range; returns the clean inputs."""

    cost: ClassVar[str] = "10 forwards"
    random: ClassVar[bool] = True
    draws: int = 10

    @property
    def threat(self):
        return Threat(norm="l2", kind="minimal")

    def run(self, model, inputs, labels, *, eps, generator, fitted=None):
        for k in range(self.draws):
            model(inputs + generator.normal(inputs.shape[1:]) * 0.05 * (1 + k))
        return Perturbed(inputs)


@attacks.register("threshold-toy")
class Threshold(Attack):
    """Moves every pixel by the budget, in one forward, and notes the budgets that it got."""

    cost: ClassVar[str] = "1 forward"
    budgets: ClassVar[list] = []
    apart: bool = Field(default=False)

    @property
    def threat(self):
        return Threat(norm="linf", kind="fixed")

    def takes_budgets(self):
        return self.apart

    def run(self, model, inputs, labels, *, eps, generator, fitted=None):
        self.budgets.append(eps)
        size = eps.view(-1, 1, 1, 1) if isinstance(eps, torch.Tensor) else eps
        moved = (inputs + size).clamp(0, 1)
        model(moved)
        return Perturbed(moved)


@attacks.register("alone-toy")
class Alone(Attack):
    """One sample after another, and forwards without end for each that it has not moved out of its class."""

    cost: ClassVar[str] = "without end"

    @property
    def threat(self):
        return Threat(norm="l2", kind="minimal")

    def run(self, model, inputs, labels, *, eps, generator, fitted=None):
        for i in range(len(inputs)):
            for k in range(40):
                model(inputs[i : i + 1] + 0.01 * k)
        return Perturbed(inputs)


def test_the_best_observed_point_is_the_nearest_of_all_that_a_spy_saw():
    spy = Recorder(linear())
    model = Model(spy)
    x, y = samples(model)
    attack = attacks.make("best-observed", {"attack": "scatter-toy", "queries": 7})
    spy.seen.clear()
    attack.run(model, x, y, eps=None, generator=Draws(range(6)))
    asked = torch.stack(spy.seen[:-1])  # the last is the check of what is returned
    assert len(asked) == 7, "ten were wanted"
    rows, out = judged(attack, model, x, y)
    with torch.no_grad():
        wrong = torch.stack([spy.network(s).argmax(1) != y for s in asked])
    inside = ((asked >= 0) & (asked <= 1)).flatten(2).all(2)
    norms = (asked.double() - x.double()).flatten(2).norm(dim=2).masked_fill(~(wrong & inside), torch.inf)
    best, at = norms.min(0)
    won = np.isfinite(best.numpy())
    assert won.any()
    assert not won.all()
    assert bool((wrong & ~inside).any()), "some of the nearest are out of the range"
    assert rows["success"].tolist() == won.tolist()
    np.testing.assert_allclose(rows["norm_l2"][won], best.numpy()[won], rtol=1e-12)
    np.testing.assert_allclose(rows["param_found_at"][won], at.numpy()[won] + 1)
    assert np.isnan(rows["param_found_at"][~won]).all()
    assert torch.equal(out[~torch.as_tensor(won)], x[~torch.as_tensor(won)])
    assert (rows["forwards"] == 7).all()
    assert (rows["param_queries"] == 7).all()


def test_on_a_linear_model_ddn_finds_the_closed_form():
    model = Model(linear(classes=2))
    x, y = samples(model)
    attack = attacks.make("best-observed", {"attack": "foolbox:DDNAttack", "parameters": {"steps": 500}})
    rows, _ = judged(attack, model, x, y)
    weight, bias = model.network[1].weight.detach().double(), model.network[1].bias.detach().double()
    gap = ((x.double().flatten(1) @ (weight[0] - weight[1])) + bias[0] - bias[1]).abs()
    exact = (gap / (weight[0] - weight[1]).norm()).numpy()
    assert rows["success"].all()
    assert (rows["norm_l2"] >= exact - 1e-6).all()
    np.testing.assert_allclose(rows["norm_l2"], exact, rtol=0.02)


@pytest.mark.parametrize(
    ("use", "norm", "parameters"),
    [
        ("deepfool", "l2", {"keep": 0}),
        ("foolbox:DDNAttack", "l2", {"steps": 100}),
        ("foolbox:L0FMNAttack", "l0", {"steps": 100}),
        ("torchattacks:APGD", "linf", {"steps": 20}),
        ("torchattacks:FAB", "l2", {"steps": 20}),
        ("torchattacks:DeepFool", "l2", {"steps": 20}),
        ("foolbox:LinfPGD", "linf", {"steps": 10}),
    ],
)
@pytest.mark.parametrize("queries", [1, 2, 15, 60])
def test_no_sample_has_more_queries_than_its_budget(use, norm, parameters, queries):
    model = Model(linear())
    x, y = samples(model)
    attack = attacks.make("best-observed", {"attack": use, "norm": norm, "parameters": parameters, "queries": queries})
    with model.counter.counting() as used:
        found = attack.run(model, x, y, eps=None, generator=Draws(range(len(x))))
    made = found.forwards + found.backwards
    assert (made == found.params["queries"]).all()
    assert made.max() <= queries
    assert made.max() > 0
    assert used.forwards == found.forwards.sum()  # the model behind was asked no more than that
    if use.partition(":")[0] in ("deepfool", "foolbox"):  # every sample in every call, or those that go on
        assert used.backwards == found.backwards.sum()


def test_attacks_that_drop_samples_pay_for_those_that_go_on():
    """DeepFool knows its own calls of each sample."""
    torch.manual_seed(3)
    layers = torch.nn.Flatten(), torch.nn.Linear(64, 30), torch.nn.ReLU(), torch.nn.Linear(30, 10)
    model = Model(torch.nn.Sequential(*layers))
    x = torch.rand((20, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    direct = attacks.make("deepfool").run(model, x, y, eps=None, generator=Draws(range(20)))
    found = attacks.make("best-observed").run(model, x, y, eps=None, generator=Draws(range(20)))
    assert len(set(direct.forwards)) > 1
    assert found.forwards.tolist() == direct.forwards.tolist()
    # samples that are done ride along in the products of their last step: the attack does not count those
    assert (found.backwards >= direct.backwards).all()
    norms = (direct.inputs - x).double().flatten(1).norm(dim=1)
    assert torch.allclose((found.inputs - x).double().flatten(1).norm(dim=1), norms, atol=1e-6)


def test_the_inner_attack_sees_what_it_asked_about():
    model = Model(linear())
    x, y = samples(model)
    observed = ObservedModel(model, x, y, norm="l2", queries=10)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    assert torch.equal(observed(a), model(b))
    (own,) = torch.autograd.grad(observed(a).square().sum(), a)
    (direct,) = torch.autograd.grad(model(b).square().sum(), b)
    assert torch.equal(own, direct)
    assert observed.forwards.tolist() == [2] * 6
    assert observed.backwards.tolist() == [1] * 6
    assert observed.device == model.device
    assert not any(p.requires_grad for p in observed.parameters())


def test_what_is_spent_has_no_logits_and_no_gradient_and_the_end_is_an_exception():
    model = Model(linear())
    x, y = samples(model)
    observed = ObservedModel(model, x, y, norm="l2", queries=3)
    for _ in range(2):
        observed(x[:3])
    leaf = x.clone().requires_grad_()
    logits = observed(leaf)  # the first three now have none left for the backward
    (gradient,) = torch.autograd.grad(logits.sum(), leaf)
    assert (gradient[:3] == 0).all()
    assert (gradient[3:] != 0).any()
    assert observed.spent.tolist() == [3, 3, 3, 2, 2, 2]
    logits = observed(leaf)
    assert (logits[:3] == 0).all()
    assert (logits[3:] != 0).any()
    assert observed.spent.tolist() == [3] * 6
    with pytest.raises(Spent):
        torch.autograd.grad(logits.sum(), leaf)
    with pytest.raises(Spent):
        observed(x)
    assert observed.spent.tolist() == [3] * 6


def test_a_sample_asked_about_twice_in_a_batch_pays_twice():
    model = Model(linear())
    x, y = samples(model)
    observed = ObservedModel(model, x, y, norm="l2", queries=4)
    logits = observed(x[[0, 0, 0, 1, 0, 0]])
    assert observed.forwards.tolist() == [4, 1, 0, 0, 0, 0]
    assert (logits[5] == 0).all()
    assert (logits[:5] != 0).all()


def test_calls_that_are_not_the_attacks_are_neither_counted_nor_observed():
    model = Model(linear())
    x, y = samples(model)
    observed = ObservedModel(model, x, (y + 1) % 4, norm="l2", queries=4)
    with model.counter.counting() as used, observed.counter.paused():
        observed(x)
    assert used.forwards == 0
    assert observed.spent.sum() == 0
    assert np.isinf(observed.norms).all()


def test_samples_one_by_one_do_not_end_at_the_first_that_is_spent():
    model = Model(linear())
    x, y = samples(model)
    rows, _ = judged(attacks.make("best-observed", {"attack": "alone-toy", "queries": 5}), model, x, y)
    assert (rows["param_queries"] == 5).all()


def test_a_success_that_rounding_takes_back_gives_way_to_a_sure_one():
    class Fickle(torch.nn.Module):
        """Says class 1 by a hair of the smaller of two perturbations, as long as it is asked about one input."""

        def forward(self, x):
            moved = x.flatten(1).sum(1)
            margin = torch.where(moved > 0.5, moved, torch.where(moved > 0.1, 1e-6 if len(x) == 1 else -1e-6, -1.0))
            return torch.stack([-margin, margin], dim=1)

    x, y = torch.zeros((2, 1, 1, 1)), torch.zeros(2, dtype=torch.int64)
    observed = ObservedModel(Model(Fickle()), x, y, norm="linf", queries=10)
    for size in (0.9, 0.6, 0.2):
        with observed.attending(np.array([0])):
            observed(torch.full((1, 1, 1, 1), size))
    assert observed.norms[0] == pytest.approx(0.2)
    assert observed.best().flatten().tolist() == pytest.approx([0.6, 0.0])
    assert observed.norms[0] == pytest.approx(0.6)
    assert observed.found_at[0] == 2


# -- whose row is it ------------------------------------------------------------------------------------------------


def test_rows_in_order_are_the_least_summed_cost():
    rng = np.random.default_rng(0)
    for m, n in [(1, 5), (2, 5), (4, 6), (5, 5)]:
        costs = rng.uniform(size=(m, n))
        sums = {c: sum(costs[i, j] for i, j in enumerate(c)) for c in combinations(range(n), m)}
        best = min(sums, key=sums.__getitem__)
        found, total = in_order(costs)
        assert found.tolist() == list(best)
        assert total == pytest.approx(sums[best])


def test_rows_of_a_part_repeated_and_far_are_attributed():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((8, 1, 5, 5), generator=generator)
    near = x + 0.05 * torch.randn(x.shape, generator=generator)
    assert attribution(near, x).tolist() == list(range(8))
    assert attribution(near[[1, 4, 7]], x).tolist() == [1, 4, 7]
    assert attribution(near[[5]], x).tolist() == [5]
    assert attribution(near.repeat(2, 1, 1, 1), x).tolist() == [*range(8), *range(8)]
    assert attribution(near[[2, 2, 2, 6, 6, 6]], x).tolist() == [2, 2, 2, 6, 6, 6]
    far = x.clone()
    far[3] = x[4] * 0.7 + x[3] * 0.3  # now nearer to its neighbour
    assert attribution(far, x).tolist() == list(range(8))
    assert attribution(far[[0, 3, 5]], x).tolist() == [0, 3, 5] or attribution(far[[0, 3, 5]], x).tolist() == [0, 4, 5]
    broken = x.clone()
    broken[2] = torch.nan
    assert attribution(broken, x).tolist() == list(range(8))


# -- bisection ------------------------------------------------------------------------------------------------------


class Steps(torch.nn.Module):
    """Class 1 where the mean is above a threshold."""

    def forward(self, x):
        mean = x.flatten(1).mean(1) - 0.5
        return torch.stack([-mean, mean], dim=1)


@pytest.mark.parametrize("apart", [False, True])
def test_a_fixed_budget_is_bisected_for_each_sample(apart):
    distances = torch.tensor([0.003, 0.02, 0.05, 0.11, 0.3])
    pattern = torch.rand((5, 1, 4, 4), generator=torch.Generator().manual_seed(0)) * 0.3
    x = 0.5 - distances.view(-1, 1, 1, 1) + pattern - pattern.mean((1, 2, 3), keepdim=True)
    model, y = Model(Steps()), torch.zeros(5, dtype=torch.int64)
    attack = attacks.make(
        "best-observed",
        {"attack": "threshold-toy", "norm": "linf", "queries": 20, "parameters": {"apart": apart}, "start": 0.04},
    )
    Threshold.budgets.clear()
    rows, _ = judged(attack, model, x, y)
    assert rows["success"].all()
    np.testing.assert_allclose(rows["norm_linf"], distances, atol=1e-4)
    assert (rows["norm_linf"] >= distances.numpy() - 1e-6).all()
    assert (rows["param_queries"] == 20).all()
    first = Threshold.budgets[0]
    assert (first == 0.04).all() if apart else first == 0.04
    assert all(isinstance(eps, torch.Tensor if apart else float) for eps in Threshold.budgets)


def test_what_no_budget_breaks_costs_its_rounds_and_returns_the_clean_input():
    x, y = torch.full((2, 1, 2, 2), 0.9), torch.ones(2, dtype=torch.int64)  # class 1 stays class 1
    params = {"attack": "threshold-toy", "norm": "linf", "queries": 100, "rounds": 7}
    Threshold.budgets.clear()
    rows, out = judged(attacks.make("best-observed", params), Model(Steps()), x, y)
    assert not rows["success"].any()
    assert torch.equal(out, x)
    assert (rows["param_queries"] == 7).all()
    assert Threshold.budgets[:3] == pytest.approx([START["linf"], 2 * START["linf"], 4 * START["linf"]])
    assert max(Threshold.budgets) <= 2


def test_budgets_double_until_broken_and_are_halved_after():
    inf, one = np.inf, np.ones(1)
    low, high, eps = narrowed(0 * one, 8 * one, one, np.array([False]), inf * one, 8)
    assert (low, high, eps) == (1, 8, 2)
    low, high, eps = narrowed(low, high, eps, np.array([True]), 1.9 * one, 8)
    assert (low, high, eps) == (1, 2, 1.5)
    low, high, eps = narrowed(low, high, eps, np.array([True]), 1.2 * one, 8)  # 1.25 is undercut already
    assert (low, high, eps) == (1, 1.25, 1.125)
    low, high, eps = narrowed(4 * one, 8 * one, 6 * one, np.array([False]), inf * one, 8)
    assert (low, high, eps) == (6, 8, 7)


# -- the plugin -----------------------------------------------------------------------------------------------------


def test_the_key_holds_the_other_attack_its_parameters_and_its_librarys_version():
    attack = attacks.make("best-observed", {"attack": "foolbox:DDNAttack", "parameters": {"steps": 7}, "queries": 9})
    assert attack.identity()["params"] == {
        "attack": "foolbox:DDNAttack", "parameters": {"norm": "l2", "steps": 7}, "queries": 9
    }  # fmt: skip
    assert "foolbox==" in attack.implementation()
    assert attacks.make("best-observed", attack.params()).identity() == attack.identity()
    assert attacks.make("best-observed").identity()["params"]["attack"] == "deepfool"
    assert attack.threat == Threat(norm="l2", kind="minimal")
    assert attacks.make("best-observed", {"attack": "torchattacks:APGD", "norm": "l2"}).fixed_batch_size() == 100
    assert attacks.make("best-observed").fixed_batch_size() is None
    assert [library_of(use) for use in ("foolbox:DDNAttack", "deepfool", "advlib:ddn")] == [
        "foolbox",
        "assay",
        "advlib",
    ]


def test_what_cannot_be_observed_is_refused_at_plan_time():
    with pytest.raises(SpecError, match="measures l1, 'scatter-toy' is an l2 attack"):
        attacks.make("best-observed", {"attack": "scatter-toy", "norm": "l1"})
    with pytest.raises(SpecError, match="is an l2 attack, the probe says 'linf'"):
        attacks.make("best-observed", {"attack": "foolbox:DDNAttack", "norm": "linf"})
    with pytest.raises(SpecError, match="no search on one input"):
        attacks.make("best-observed", {"attack": "universal-sgd"})
    with pytest.raises(SpecError, match="unknown key 'step': did you mean 'steps'"):
        attacks.make("best-observed", {"attack": "foolbox:DDNAttack", "parameters": {"step": 3}})
    with pytest.raises(UnknownNameError, match="deepfool"):
        attacks.make("best-observed", {"attack": "deepfoool"})
    with pytest.raises(SpecError, match="neither a budget nor a norm"):
        attacks.make("best-observed", {"attack": "identity", "norm": "linf"})


def test_a_library_that_is_not_there_is_a_reason_to_skip(monkeypatch):
    from benchmark import registry

    known = registry.library_version
    monkeypatch.setattr(registry, "library_version", lambda name: "absent" if name == "adv-lib" else known(name))
    attack = attacks.make("best-observed", {"attack": "advlib:ddn"})
    reason = attack.skip(None, None, None)
    assert "adv-lib" in reason
    assert "pip install" in reason
    assert isinstance(attack, BestObserved)
