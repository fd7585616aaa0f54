"""Faithfulness metrics. Oracles: closed forms on a linear model, properties, random attributions that must score badly.

Parity with Quantus is in tests/parity/test_faithfulness.py.
"""

import doctest
import importlib
from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torchvision.transforms.functional import gaussian_blur

from benchmark.errors import AssayError
from benchmark.metrics import functional
from benchmark.metrics.base import metrics
from benchmark.metrics.functional import faithfulness
from benchmark.metrics.functional import perturbation as perturbing
from benchmark.metrics.functional.imputation import imputed
from benchmark.models.wrap import Model
from benchmark.seeds import Draws

RANKING = [
    "pixel-flipping",
    "insertion",
    "faithfulness-correlation",
    "faithfulness-estimate",
    "sensitivity-n",
    "monotonicity-correlation",
    "region-perturbation",
    "selectivity",
    "road",
]
NAMES = [*RANKING, "infidelity"]
FILLS = ["black", "mean", "blur", 0.4]


def score(name, batch, **params):
    return np.asarray(metrics.make(name, params).score(batch))


@pytest.mark.parametrize("module", ["flipping", "regions", "remove_debias", "localisation", "complexity"])
def test_examples_in_docstrings(module):
    result = doctest.testmod(importlib.import_module(f"benchmark.metrics.functional.{module}"))
    assert result.attempted > 2
    assert result.failed == 0


def test_the_functions_are_public():
    for name in faithfulness.__all__:
        assert getattr(functional, name) is getattr(faithfulness, name)


# -- closed forms on a linear model --------------------------------------------------------------------------------


def curve_by_hand(model, x, target, order, step, fill, start):
    """(fractions, probabilities) while ``x`` becomes ``fill``, ``step`` elements at a time."""
    x, fractions, curve = x.clone().flatten(), [], []
    for done in range(start, 36 + step, step):
        fractions.append(min(done, 36) / 36)
        curve.append(float(model(x.view(1, 1, 6, 6)).softmax(1)[0, target]))
        x[order[done : done + step]] = fill.flatten()[order[done : done + step]]
    return fractions, curve


@pytest.mark.parametrize("step", [1, 5, 36])
@pytest.mark.parametrize("fill", [0.0, 0.4])
def test_flipping_by_hand(linear, explain, step, fill):
    model, inputs, targets, perfect = linear
    batch, filled = explain(model, inputs, perfect), torch.full((1, 6, 6), fill)
    deletion = score("pixel-flipping", batch, features_in_step=step, fill=fill)
    insertion = score("insertion", batch, features_in_step=step, fill=fill)
    for row in range(len(inputs)):
        order = np.argsort(-perfect[row].ravel(), kind="stable")
        at, curve = curve_by_hand(model, inputs[row], targets[row], order, step, filled, 0)
        assert deletion[row] == pytest.approx(np.trapezoid(curve, at), abs=1e-5)
        at, curve = curve_by_hand(model, filled, targets[row], order, step, inputs[row], 0)
        assert insertion[row] == pytest.approx(np.trapezoid(curve, at), abs=1e-5)


@pytest.mark.parametrize("fill", FILLS)
def test_correlations_are_one_and_infidelity_zero_for_the_perfect_attribution(linear, explain, fill):
    """A drop of a linear model is w . (x - fill), so an attribution of w * (x - fill) explains it completely."""
    model, inputs, targets, _ = linear
    weights = model.network[1].weight[targets].view(-1, 1, 6, 6)
    perfect = weights * (inputs - perturbing.reference(inputs, fill))
    for name in ("faithfulness-correlation", "faithfulness-estimate", "sensitivity-n"):
        np.testing.assert_allclose(score(name, explain(model, inputs, perfect.numpy()), fill=fill), 1.0, atol=1e-4)
    for options in ({}, {"optimal_scale": False}):
        gradient = explain(model, inputs, weights.numpy())
        np.testing.assert_allclose(score("infidelity", gradient, fill=fill, **options), 0.0, atol=1e-9)
        noise = explain(model, inputs, np.random.default_rng(0).uniform(-1, 1, inputs.shape))
        assert (score("infidelity", noise, fill=fill, **options) > 1e-4).all()


def test_infidelity_without_the_optimal_scale_in_closed_form(linear, explain):
    """For twice the gradient of a linear model the error is the drop itself: E[drop^2], here by hand."""
    model, inputs, targets, _ = linear
    weights = model.network[1].weight[targets].view(-1, 1, 6, 6)
    batch = explain(model, inputs, (2 * weights).numpy())
    found = score("infidelity", batch, optimal_scale=False, patch=3, nr_runs=20)
    corners = perturbing.random_corners(Draws(batch.generator.seeds), 6, 6, 20, 3)
    for row in range(3):
        drops = []
        for top, left in corners[row].tolist():
            x = inputs[row : row + 1].clone()
            x[..., max(top, 0) : top + 3, max(left, 0) : left + 3] = 0
            drops.append(float((model(inputs[row : row + 1]) - model(x))[0, targets[row]]))
        assert found[row] == pytest.approx(np.mean(np.square(drops)), rel=1e-4)


def test_region_perturbation_and_selectivity_by_hand(linear, explain):
    """Patches of 4 on 6 pixels hang over by one on every side: regions of 3 x 3."""
    model, inputs, targets, perfect = linear
    batch = explain(model, inputs, perfect)
    aopc, area = score("region-perturbation", batch, patch=4, regions=2), score("selectivity", batch, patch=4)
    regions = [(slice(i, i + 3), slice(j, j + 3)) for i in (0, 3) for j in (0, 3)]
    for row in range(len(inputs)):
        order = np.argsort([-perfect[row, 0][region].sum() for region in regions])
        x, curve = inputs[row : row + 1].clone(), [float(model(inputs[row : row + 1]).softmax(1)[0, targets[row]])]
        for index in order:
            x[0, 0][regions[index]] = 0
            curve.append(float(model(x).softmax(1)[0, targets[row]]))
        assert aopc[row] == pytest.approx(np.mean(curve[0] - np.array(curve[:3])), abs=1e-5)
        assert area[row] == pytest.approx(np.trapezoid(curve, dx=0.25), abs=1e-5)


# -- imputation ----------------------------------------------------------------------------------------------------


def test_imputed_pixels_are_means_of_their_neighbours_and_known_ones_stay():
    """A plane solves the equations away from the border; every solution satisfies them; noise is added as it is."""
    rows, columns = torch.meshgrid(torch.arange(12).double(), torch.arange(10).double(), indexing="ij")
    plane = (0.02 * rows + 0.05 * columns).expand(1, 1, 2, 12, 10)
    inside = torch.zeros(1, 1, 1, 12, 10, dtype=torch.bool)
    inside[..., 2:9, 3:8] = True
    torch.testing.assert_close(imputed(plane, inside, torch.zeros_like(plane)), plane, atol=1e-8, rtol=0)
    x = torch.rand(1, 1, 2, 12, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = torch.full_like(x, 0.25)
    mask = torch.rand(1, 1, 1, 12, 10, generator=torch.Generator().manual_seed(1)) < 0.9
    found = imputed(x, mask, noise)[0, 0]
    assert torch.equal(found[:, ~mask[0, 0, 0]], x[0, 0][:, ~mask[0, 0, 0]])
    solved = torch.where(mask[0, 0], found - 0.25, found)
    kernel = torch.tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]], dtype=torch.float64).view(1, 1, 3, 3) / 12
    around = torch.nn.functional.conv2d(solved[:, None], kernel, padding=1)
    weight = torch.nn.functional.conv2d(torch.ones_like(solved[:1, None]), kernel, padding=1)
    missed = (around / weight - solved[:, None])[:, 0][:, mask[0, 0, 0]]
    assert missed.abs().max() < 1e-7
    assert mask.float().mean() > 0.8


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-6), (torch.float32, 1e-3), (torch.float16, 2e-3)])
@pytest.mark.parametrize("side", [2, 7, 64])
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_imputation_of_a_constant_is_that_constant(side, dtype, atol, value):
    """Even where a single pixel is known."""
    x = torch.full((2, 1, 1, side, side), value, dtype=dtype)
    mask = torch.ones(2, 3, 1, side, side, dtype=torch.bool)
    mask[..., 0, 0] = False
    found = imputed(x, mask, torch.zeros_like(x))
    assert found.dtype == dtype
    torch.testing.assert_close(found, x.expand(2, 3, 1, side, side), atol=atol, rtol=0)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_imputation_in_float32_is_that_of_float64(share):
    """Far below the noise of 1e-2 that is added."""
    draw = torch.Generator().manual_seed(0)
    x = torch.nn.functional.interpolate(torch.rand(4, 3, 6, 6, generator=draw).double(), size=48, mode="bicubic")
    relevance = torch.nn.functional.interpolate(torch.rand(4, 1, 6, 6, generator=draw), size=48, mode="bicubic")
    mask = (relevance > relevance.flatten(1).quantile(1 - share, dim=1).view(4, 1, 1, 1))[:, None]
    double, single = (imputed(y[:, None], mask, torch.zeros_like(y[:, None])) for y in (x, x.float()))
    torch.testing.assert_close(single.double(), double, atol=2e-4, rtol=0)


def test_road_refuses_percentages_that_do_not_rise():
    for wrong in ((30, 20), (0, 50), (50, 100), ()):
        with pytest.raises((ValidationError, AssayError), match="percentages"):
            metrics.make("road", {"percentages": wrong})


# -- fills, ranks, draws -------------------------------------------------------------------------------------------


def test_fills():
    x = torch.rand(2, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    assert (perturbing.reference(x, "black") == 0).all()
    assert (perturbing.reference(x, 0.3) == 0.3).all()
    mean = perturbing.reference(x, "mean")
    torch.testing.assert_close(mean, x.mean((2, 3))[:, :, None, None].expand_as(x))
    blurred = perturbing.reference(x, "blur")
    assert blurred.shape == x.shape
    assert (blurred.flatten(2).std(2) < 0.7 * x.flatten(2).std(2)).all()
    flat = torch.full((1, 1, 9, 9), 0.6)
    torch.testing.assert_close(perturbing.reference(flat, "blur"), flat)
    with pytest.raises(ValueError, match="'grey'"):
        perturbing.reference(x, "grey")


@pytest.mark.parametrize("sides", [(8, 8), (60, 70), (96, 80)])
def test_blurring_an_axis_at_a_time_changes_nothing(sides):
    """Oracle: torchvision's square kernel, which larger images are not given."""
    x = torch.rand(2, 3, *sides, generator=torch.Generator().manual_seed(0))
    size = [2 * min(ceil(3 * perturbing.BLUR * side), side - 1) + 1 for side in sides[::-1]]
    square = gaussian_blur(x, size, [perturbing.BLUR * side for side in sides[::-1]])
    torch.testing.assert_close(perturbing.reference(x, "blur"), square, atol=1e-5, rtol=0)
    with pytest.raises((ValidationError, AssayError)):
        metrics.make("pixel-flipping", {"fill": "grey"})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([-3.5, -1e-40, -0.0, 0.0, 1e-40, 2.0, float("inf")]), min_size=1, max_size=30))
def test_order_of_ties_is_that_of_their_indices(values):
    wanted = sorted(range(len(values)), key=lambda i: (-values[i], i))
    for dtype in (torch.float32, torch.float64):
        assert perturbing.descending(torch.tensor([values], dtype=dtype))[0].tolist() == wanted


def test_choosing_is_where():
    draw = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64, torch.float16):
        a, b = (torch.randn(3, 1, 2, 4, 4, generator=draw).to(dtype) for _ in "ab")
        mask = torch.rand(3, 5, 1, 4, 4, generator=draw) > 0.5
        a[0, 0, 0, 0, 0], b[1, 0, 0, 0, 0] = float("nan"), float("inf")
        assert torch.equal(perturbing.chosen(mask, a, b).nan_to_num(), torch.where(mask, a, b).nan_to_num())


@pytest.mark.parametrize(("features", "size"), [(64, 16), (5000, 224), (100, 1), (7, 7), (2000, 3)])
def test_random_subsets(features, size):
    """Sets without repetition; each element as often as any other (within 6 standard deviations); own streams."""
    drawn = perturbing.random_subsets(Draws([1, 2, 3]), features, 200, size)
    assert drawn.shape == (3, 200, size)
    assert (drawn.sort(2).values.diff(dim=2) > 0).all()
    assert drawn.min() >= 0
    assert drawn.max() < features
    counts = np.bincount(drawn.flatten(), minlength=features)
    expected = 600 * size / features
    assert np.abs(counts - expected).max() <= 6 * np.sqrt(expected) + 1
    assert torch.equal(perturbing.random_subsets(Draws([2]), features, 200, size)[0], drawn[1])


def test_random_squares_cover_every_pixel_equally():
    corners = perturbing.random_corners(Draws([5]), 6, 9, 4000, 3)
    covered = perturbing.squares(corners, 3, 6, 9)(slice(0, 1), slice(0, 4000)).float().mean((0, 1, 2))
    assert covered.shape == (6, 9)
    assert (covered - 9 / (8 * 11)).abs().max() < 6 * np.sqrt(0.1 * 0.9 / 4000)


# -- properties ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("name", NAMES)
def test_direction_the_gradient_beats_random(linear, explain, name, fill):
    model, inputs, targets, _ = linear
    weights = model.network[1].weight[targets].view(-1, 1, 6, 6)
    effect = inputs - (perturbing.reference(inputs, fill) if name != "road" else inputs.mean((2, 3), keepdim=True))
    good = weights if name == "infidelity" else weights * effect
    noise = np.random.default_rng(0).uniform(-1, 1, inputs.shape)
    params = {} if name in ("road", "monotonicity-correlation") else {"fill": fill}
    better, worse = (score(name, explain(model, inputs, values), **params).mean() for values in (good.numpy(), noise))
    assert (better > worse) == metrics.make(name).higher_is_better
    if name == "infidelity":
        assert better < worse / 1000
    else:
        assert abs(better - worse) > (0.002 if fill == "blur" else 0.01)


@pytest.mark.parametrize("name", NAMES)
def test_scale_and_company_do_not_matter_and_values_are_in_range(cnn, explain, name):
    torch.manual_seed(0)
    inputs = torch.rand(5, 1, 8, 8)
    batch = explain(cnn, inputs, explainer="input-x-gradient")
    whole = score(name, batch)
    assert np.isfinite(whole).all()
    low, high = {"[0, 1]": (0, 1), "[-1, 1]": (-1, 1), "[0, ∞)": (0, np.inf)}[metrics.make(name).range]
    assert ((whole >= low) & (whole <= high)).all()
    batch = explain(cnn, inputs, batch.attributions * torch.tensor([1e-6, 1, 1e5, 0.5, 2]).view(5, 1, 1, 1))
    np.testing.assert_allclose(score(name, batch), whole, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_small_forwards_give_the_same_and_are_as_many(cnn, explain, name, monkeypatch):
    torch.manual_seed(0)
    inputs = torch.rand(5, 1, 8, 8)

    def counted():
        batch = explain(cnn, inputs, explainer="input-x-gradient")
        with cnn.counter.counting() as used:
            values = score(name, batch)
        return values, used.forwards

    whole, passes = counted()
    monkeypatch.setattr("benchmark.metrics.functional.common.INPUT_ELEMENTS", {"cpu": 3 * 64})
    monkeypatch.setattr("benchmark.metrics.functional.common.FEWEST", {})
    largest = []
    hook = cnn.register_forward_hook(lambda _module, given, _output: largest.append(len(given[0])))
    parts, again = counted()
    hook.remove()
    np.testing.assert_allclose(parts, whole, atol=1e-5, rtol=1e-4)
    assert again == passes
    assert sorted(set(largest))[-2:] in ([3, 5], [2, 5], [5])  # 5: the clean outputs, kept for all metrics


def test_known_logits_save_a_pass(cnn, explain):
    batch = explain(cnn, torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), explainer="saliency")
    score("pixel-flipping", batch, features_in_step=8)
    with cnn.counter.counting() as used:
        score("pixel-flipping", batch, features_in_step=8)
    assert used.forwards == 4 * 8


@pytest.mark.parametrize("name", NAMES)
def test_all_negative_attributions_are_scored(linear, explain, name):
    model, inputs, _, perfect = linear
    negative = perfect - 2 * np.abs(perfect).max()
    assert np.isfinite(score(name, explain(model, inputs, negative))).all()


@pytest.mark.parametrize("name", NAMES)
def test_colour_images_and_sizes_that_steps_do_not_divide(name, explain):
    torch.manual_seed(0)
    model = Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 7 * 5, 3)))
    assert np.isfinite(score(name, explain(model, torch.rand(4, 3, 7, 5), explainer="input-x-gradient"))).all()


@pytest.mark.parametrize("name", RANKING)
def test_what_has_no_order_is_nan(linear, explain, name):
    model, inputs, _, perfect = linear
    spoilt = perfect.copy()
    spoilt[0], spoilt[1], spoilt[2, 0, 0, 0], spoilt[3, 0, 0, 0] = 0, 0.5, np.nan, np.inf
    found = score(name, explain(model, inputs, spoilt))
    assert np.isnan(found[:4]).all()
    np.testing.assert_allclose(found[4:], score(name, explain(model, inputs, perfect))[4:], atol=1e-5)


def test_an_unchanged_logit_is_nan(linear, explain):
    """Black inputs stay as they are, whatever is replaced; rounding of larger batches must not look like a change."""
    model, _, _, perfect = linear
    black = explain(model, torch.zeros(7, 1, 6, 6), perfect[:7])
    for name in ("faithfulness-correlation", "faithfulness-estimate", "sensitivity-n"):
        assert np.isnan(score(name, black)).all()


def test_an_unchanged_probability_is_nan(explain):
    model = Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 3)))
    torch.nn.init.zeros_(model.network[1].weight)
    batch = explain(model, torch.rand(3, 1, 6, 6), torch.rand(3, 1, 6, 6), targets=[0, 1, 2])
    assert np.isnan(score("monotonicity-correlation", batch)).all()


def test_on_digits_random_is_worse_than_gradients_and_lrp(explain):
    """The suite's own sanity check (control): 95 % bootstrap intervals do not overlap, for each of its models."""
    from benchmark.data.base import Grid, datasets
    from benchmark.models.build import build_model
    from benchmark.models.entries import load_entry

    digits = datasets.make("digits")
    ids = digits.index("test").ids[:100]
    inputs = torch.tensor(digits.load("test", ids, Grid()).inputs)
    draw = np.random.default_rng(0)

    def interval(scores):
        means = scores[draw.integers(0, len(scores), (2000, len(scores)))].mean(1)
        return np.quantile(means, [0.025, 0.975])

    for entry in ("digits_mlp", "digits_cnn", "digits_cnn_adv"):
        try:
            model = build_model(load_entry(entry))
        except AssayError as error:
            pytest.skip(f"the digits entries are not here: {error}")
        for name, params in (("faithfulness-correlation", {"nr_runs": 25}), ("faithfulness-estimate", {})):
            control = interval(score(name, explain(model, inputs, explainer="random"), **params))
            for explainer in ("input-x-gradient", "integrated-gradients", "lrp-epsilon"):
                scores = score(name, explain(model, inputs, explainer=explainer), **params)
                assert np.isfinite(scores).all()
                assert interval(scores)[0] > control[1], (entry, name, explainer)
