"""Faithfulness metrics. Oracles: closed forms on a linear model, Quantus called directly, a random attribution."""

import numpy as np
import pytest
import quantus
import torch

from benchmark.errors import AssayError
from benchmark.metrics.base import metrics
from benchmark.seeds import derive, global_seed

NAMES = ["pixel-flipping", "faithfulness-correlation", "faithfulness-estimate"]
QUIET = {"normalise": False, "return_aggregate": False, "disable_warnings": True, "abs": False, "perturb_baseline": 0.0}


def per_sample(attributions):
    return attributions.astype(np.float64) / np.abs(attributions).max((1, 2, 3), keepdims=True)


@pytest.mark.parametrize("step", [1, 5])
def test_pixel_flipping_closed_form_on_a_linear_model(linear, explain, step):
    model, inputs, targets, perfect = linear
    found = metrics.make("pixel-flipping", {"features_in_step": step}).score(explain(model, inputs, perfect))
    for row in range(len(inputs)):
        order = np.argsort(-perfect[row].ravel())
        areas, previous, done = 0.0, None, 0
        x = inputs[row : row + 1].clone().flatten(1)
        for start in range(0, 36 + step, step):
            probability = float(model(x.view(1, 1, 6, 6)).softmax(1)[0, targets[row]])
            replaced = min(start, 36) / 36
            if previous is not None:
                areas += (probability + previous) / 2 * (replaced - done)
            previous, done = probability, replaced
            x[0, order[start : start + step]] = 0
        assert found[row] == pytest.approx(areas, abs=1e-5)


def test_correlations_are_one_for_the_perfect_attribution(linear, explain):
    model, inputs, _, perfect = linear
    for name in ("faithfulness-correlation", "faithfulness-estimate"):
        np.testing.assert_allclose(metrics.make(name).score(explain(model, inputs, perfect)), 1.0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_direction_the_perfect_attribution_beats_random(linear, explain, name):
    model, inputs, _, perfect = linear
    noise = np.random.default_rng(0).uniform(-1, 1, perfect.shape)
    metric = metrics.make(name)
    good, bad = (metric.score(explain(model, inputs, values)).mean() for values in (perfect, noise))
    assert (good > bad) == metric.higher_is_better
    assert abs(good - bad) > 0.05


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_parity_with_quantus(cnn, explain, name):
    batch = explain(cnn, torch.rand(6, 1, 8, 8), explainer="input-x-gradient")
    given = {"model": cnn, "x_batch": batch.inputs.numpy(), "y_batch": batch.targets.numpy(), "channel_first": True}
    values = per_sample(batch.attributions.numpy())
    if name == "pixel-flipping":
        curves = quantus.PixelFlipping(features_in_step=4, **QUIET)(**given, a_batch=values)
        start = cnn(torch.tensor(batch.inputs.numpy())).softmax(1).numpy()[np.arange(6), batch.targets.numpy()]
        wanted = np.trapezoid(np.column_stack([start, curves]), dx=1 / 16, axis=1)
        found = metrics.make(name, {"features_in_step": 4}).score(batch)
    elif name == "faithfulness-estimate":
        wanted = quantus.FaithfulnessEstimate(features_in_step=1, **QUIET)(**given, a_batch=values)
        found = metrics.make(name).score(batch)
    else:
        wanted = []
        for row, seed in enumerate(batch.generator.seeds):
            alone = {key: value[row : row + 1] for key, value in given.items() if key.endswith("_batch")}
            with global_seed(derive(name, seed) & 0x7FFFFFFF):
                metric = quantus.FaithfulnessCorrelation(nr_runs=20, subset_size=9, **QUIET)
                wanted += metric(**{**given, **alone}, a_batch=values[row : row + 1])
        found = metrics.make(name, {"nr_runs": 20, "subset_size": 9}).score(batch)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_all_negative_attributions_are_scored(linear, explain, name):
    model, inputs, _, perfect = linear
    negative = perfect - 2 * np.abs(perfect).max()
    assert np.isfinite(metrics.make(name).score(explain(model, inputs, negative))).all()
    with pytest.raises(AssertionError, match="less than zero"):  # what Quantus does on its own
        quantus.FaithfulnessEstimate(**QUIET)(
            model=model, x_batch=inputs.numpy(), y_batch=np.zeros(20, int), a_batch=negative, channel_first=True
        )


@pytest.mark.parametrize("name", NAMES)
def test_colour_images_and_sizes_that_steps_do_not_divide(name, explain):
    torch.manual_seed(0)
    from benchmark.models.wrap import Model

    model = Model(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 7 * 5, 3)))
    scores = metrics.make(name).score(explain(model, torch.rand(4, 3, 7, 5), explainer="input-x-gradient"))
    assert np.isfinite(scores).all()


def test_an_unchanged_logit_is_nan(linear, explain):
    model, _, _, perfect = linear
    black = explain(model, torch.zeros(2, 1, 6, 6), perfect[:2])
    for name in ("faithfulness-correlation", "faithfulness-estimate"):
        assert np.isnan(metrics.make(name).score(black)).all()


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
        for metric in (
            metrics.make("faithfulness-correlation", {"nr_runs": 25}),
            metrics.make("faithfulness-estimate"),
        ):
            control = interval(metric.score(explain(model, inputs, explainer="random")))
            for explainer in ("input-x-gradient", "integrated-gradients", "lrp-epsilon"):
                scores = metric.score(explain(model, inputs, explainer=explainer))
                assert np.isfinite(scores).all()
                assert interval(scores)[0] > control[1], (entry, metric.name, explainer)
