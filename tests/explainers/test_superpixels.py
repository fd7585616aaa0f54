"""Cells switched on and off. Oracles: closed forms on a linear model, exact Shapley values of all subsets, captum."""

from itertools import permutations

import pytest
import torch
from captum import attr
from torch import nn

from benchmark.explainers.superpixels.cells import Cells
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from tests.explainers.networks import explain, linear_model, small_cnn

NAMES = ["feature-ablation", "shapley", "kernel-shap", "lime"]


@pytest.mark.parametrize("name", NAMES)
def test_linear_model_closed_form(name):
    """A cell is worth the sum of w (x - b) over its elements, whatever the others; its elements share it."""
    model, slope, inputs, targets = linear_model((2, 4, 6))
    params = {"grid": 2, "baseline": 0.3} | ({"ridge": 1e-9} if name == "lime" else {})
    found = explain(name, model, inputs, targets, **params)
    worth = (slope * (inputs - 0.3)).sum(1).unfold(1, 2, 2).unfold(2, 3, 3).sum((3, 4))
    wanted = (worth / 12).repeat_interleave(2, 1).repeat_interleave(3, 2)[:, None].expand_as(inputs)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-3)


def exact_shapley(model, inputs, targets, grid):
    """By all orders of the cells."""
    cells = Cells(inputs, grid, 0.0)
    total, orders = torch.zeros(len(inputs), cells.n, dtype=torch.float64), list(permutations(range(cells.n)))
    on = torch.cartesian_prod(*[torch.tensor([False, True])] * cells.n)
    values = cells.outputs(model, targets, on.expand(len(inputs), -1, -1))
    at = {tuple(row.tolist()): i for i, row in enumerate(on)}
    for order in orders:
        state = [False] * cells.n
        for cell in order:
            before = at[tuple(state)]
            state[cell] = True
            total[:, cell] += (values[:, at[tuple(state)]] - values[:, before]) / len(orders)
    return cells.spread(total)


@pytest.mark.parametrize(("name", "params"), [("shapley", {"orders": 400}), ("kernel-shap", {"coalitions": 4000})])
def test_estimates_tend_to_the_exact_shapley_values(name, params):
    model, inputs, targets = Model(small_cnn()), torch.rand(2, 1, 8, 8), torch.tensor([0, 3])
    wanted = exact_shapley(model, inputs, targets, 2)
    found = explain(name, model, inputs, targets, grid=2, **params)
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()
    ablated = explain("feature-ablation", model, inputs, targets, grid=2)  # control: not the same thing
    assert (ablated - wanted).abs().max() > 0.1 * wanted.abs().max()


@pytest.mark.parametrize("name", ["shapley", "kernel-shap"])
def test_shapley_values_sum_to_the_change_of_the_logit(name):
    model, inputs, targets = Model(small_cnn()), torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 3])
    change = (model(inputs) - model(torch.zeros_like(inputs))).gather(1, targets[:, None])[:, 0]
    found = explain(name, model, inputs, targets)
    torch.testing.assert_close(found.sum((1, 2, 3)), change, atol=1e-5, rtol=1e-4)


def test_feature_ablation_is_captums():
    network, inputs, targets = small_cnn(), torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
    mask = torch.arange(16).view(1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    wanted = attr.FeatureAblation(network).attribute(inputs, target=targets, feature_mask=mask)
    found = explain("feature-ablation", Model(network), inputs, targets, grid=4)
    torch.testing.assert_close(found, wanted / 4, atol=1e-6, rtol=1e-4)


def test_shapley_follows_captums_way_along_given_orders():
    network, inputs, targets = small_cnn(), torch.rand(1, 1, 8, 8), torch.tensor([2])
    order = Draws([9]).uniform((16,)).argsort(dim=1, stable=True)[0].tolist()
    mask = torch.arange(16).view(1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    method = attr.ShapleyValueSampling(network)
    method.permutation_generator = lambda *_: iter([order, order[::-1]])
    wanted = method.attribute(inputs, target=targets, feature_mask=mask, n_samples=2)
    found = explain("shapley", Model(network), inputs, targets, [9], grid=4, orders=2)
    torch.testing.assert_close(found, wanted / 4, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_bound_changes_nothing_and_holds(name, monkeypatch):
    model, inputs, targets = Model(small_cnn()), torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 2])
    whole, seen = explain(name, model, inputs, targets), []
    monkeypatch.setattr("benchmark.explainers.captum.gradients.INPUT_ELEMENTS", 7 * 64)
    model.network.register_forward_pre_hook(lambda _module, given: seen.append(len(given[0])))
    torch.testing.assert_close(explain(name, model, inputs, targets), whole, atol=1e-6, rtol=1e-4)
    assert max(seen) == 7


@pytest.mark.parametrize("grid", [1, 4])
def test_shapley_asks_for_nothing_twice(grid):
    """Each order's states but all off and all on, and these once; one cell's value is the whole change."""
    model, inputs = Model(small_cnn()), torch.rand(2, 1, 8, 8)
    found = explain("shapley", model, inputs, torch.tensor([1, 2]), grid=grid, orders=3)
    assert model.counter.forwards == 2 * (3 * (grid**2 - 1) + 2)
    change = (model(inputs) - model(0 * inputs)).gather(1, torch.tensor([[1], [2]]))[:, 0]
    torch.testing.assert_close(found.sum((1, 2, 3)), change.detach(), atol=1e-5, rtol=1e-4)


def test_a_grid_that_does_not_divide_the_image():
    cells = Cells(torch.zeros(1, 3, 5, 7), 3, 0.0)
    assert cells.n == 9
    assert cells.of.unique(return_counts=True)[1].tolist() == [6, 4, 4, 6, 4, 4, 3, 2, 2]
    assert Cells(torch.zeros(1, 1, 2, 9), 4, 0.0).n == 8
    total = torch.arange(9.0, dtype=torch.float64)[None]
    torch.testing.assert_close(cells.spread(total).sum(), torch.tensor(36.0))


def test_lime_prefers_what_the_model_uses():
    """Control: only one cell matters."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].weight.view(2, 8, 8)[1, 2:4, 4:6] = 1
    found = explain("lime", Model(network), torch.ones(1, 1, 8, 8), torch.tensor([1]))
    assert bool((found[0, 0, 2:4, 4:6] > 20 * found[0, 0, :2].abs().max()).all())
