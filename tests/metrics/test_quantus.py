"""``quantus:<Class>``. Oracles: Quantus' own list of metrics, its classes called directly, and what each fault does.

``SEEN`` is what every class did once on a small network, on 1x8x8 and on 3x16x16, with Quantus 0.6.0.
"""

import gc
import inspect
import random
import re
import weakref
from pathlib import Path

import numpy as np
import pytest
import quantus
import torch
from torch import nn

from benchmark.errors import AssayError, SpecError, UnknownNameError
from benchmark.explainers.base import explainers
from benchmark.metrics.base import Explained, metrics
from benchmark.metrics.quantus.metrics import OURS, TABLE, UNUSABLE, signature
from benchmark.models.wrap import Model
from benchmark.seeds import Draws

CLASSES = {cls.__name__: cls for family in quantus.AVAILABLE_METRICS.values() for cls in family.values()}
# the declared directions that are wrong: RegionPerturbation returns the drop, Consistency the share that agree
WRONG_DIRECTION = {"RegionPerturbation", "Consistency"}
FEW = {"nr_samples": 3, "nr_runs": 10, "subset_size": 16, "k": 12}
# class: (works on 1x8x8, works on 3x16x16), else the reason
SEEN = {
    **dict.fromkeys(TABLE, (True, True)),
    "IROF": (True, "AssertionError: The shape of arr must be the same as the mask shape"),
    "ROAD": (True, "IndexError: index"),
    "InputInvariance": ("AttributeError: 'Sequential' object has no attribute 'out_channels'",) * 2,
}


def given(channels=1, side=8, n=4, explainer="input-x-gradient", rows=slice(None)):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        layers += [nn.Linear(6 * (side // 2) ** 2, 16), nn.ReLU(), nn.Linear(16, 4)]
        model = Model(nn.Sequential(*layers), mean=[0.4] * channels, std=[0.5] * channels)
        inputs = torch.rand(n, channels, side, side)[rows]
    seeds = list(range(50, 50 + n))[rows]
    targets, method = model(inputs).argmax(1), explainers.make(explainer)
    masks = torch.zeros(len(inputs), 1, side, side, dtype=torch.bool)
    masks[:, :, 2:6, 2:6] = True
    attributions = method.explain(model, inputs, targets, generator=Draws(seeds))
    return Explained(model, inputs, targets, targets, attributions, masks, method, Draws(seeds))


def make(name, **params):
    few = {key: value for key, value in FEW.items() if key in (signature(name) or ())}
    return metrics.make(f"quantus:{name}", {**few, **params})


def test_every_class_of_quantus_is_in_the_table_or_refused():
    assert set(TABLE) | set(UNUSABLE) == set(CLASSES)
    assert not set(TABLE) & set(UNUSABLE)
    assert set(SEEN) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_the_table_agrees_with_quantus_but_where_quantus_is_wrong(name):
    cls, known = CLASSES[name], TABLE[name]
    assert cls.evaluation_category.value.lower() == known.family
    declared = cls.score_direction.value == "higher"
    assert (declared != known.higher_is_better) == (name in WRONG_DIRECTION)
    wanted = {key for key in inspect.signature(cls.__init__).parameters if key not in ("self", "kwargs")}
    assert set(signature(name)) == wanted
    metric = make(name)
    assert (metric.family, metric.higher_is_better, metric.needs_masks) == (
        known.family, known.higher_is_better, known.needs_masks
    )  # fmt: skip
    assert "quantus==" in metric.implementation()


def test_the_drop_of_region_perturbation_is_larger_for_the_true_order():
    batch = given(n=8)
    right = make("RegionPerturbation", patch_size=2).score(batch).mean()
    batch.attributions = -batch.attributions
    assert right > make("RegionPerturbation", patch_size=2).score(batch).mean()


@pytest.mark.parametrize("shape", [(1, 8), (3, 16)])
@pytest.mark.parametrize("name", TABLE)
def test_every_class_once(name, shape, capsys):
    batch, wanted = given(*shape), SEEN[name][shape == (3, 16)]
    steps = shape == (3, 16) and "features_in_step" in (signature(name) or ()) and name != "NonSensitivity"
    wide = {"features_in_step": 4} if steps else {}  # a quarter of 768; NonSensitivity asks about single elements
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    before = {key: value.clone() for key, value in batch.model.state_dict().items()}
    arrays = [array.clone() for array in (batch.inputs, batch.targets, batch.attributions, batch.masks)]
    if wanted is not True:
        with pytest.raises(AssayError, match=f"quantus:{name} failed in Quantus: {wanted}"):
            make(name, **wide).score(batch)
    else:
        scores = make(name, **wide).score(batch)
        assert scores.shape == (4,)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).sum() >= 2  # relative stabilities are NaN where a copy changes the class
        np.testing.assert_array_equal(make(name, **wide).score(given(*shape)), scores)
        if not make(name, **wide).joint:
            alone = make(name, **wide).score(given(*shape, rows=slice(2, 3)))
            # a relevance near zero in the denominator magnifies float32's rounding
            np.testing.assert_allclose(alone, scores[2:3], rtol=1e-2 if "Relative" in name else 1e-4, atol=1e-5)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])
    assert not hasattr(np, "trapz")
    assert not hasattr(np, "NaN")
    assert all(torch.equal(value, before[key]) for key, value in batch.model.state_dict().items())
    for array, kept in zip((batch.inputs, batch.targets, batch.attributions, batch.masks), arrays, strict=True):
        assert torch.equal(array, kept)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "name", ["FaithfulnessEstimate", "PixelFlipping", "LocalLipschitzEstimate", "Sufficiency", "MPRT"]
)
def test_an_unusable_sample_is_nan_alone(name):
    batch = given()
    clean = make(name).score(given(rows=slice(1, 4, 2)) if make(name).joint else batch)
    batch.attributions[0], batch.attributions[2] = 0.0, 0.5
    batch.attributions[2, 0, 0, 0] = torch.nan if name == "MPRT" else 0.5
    scores = make(name).score(batch)
    assert np.isnan(scores[[0, 2]]).all()
    np.testing.assert_allclose(scores[[1, 3]], clean if make(name).joint else clean[[1, 3]], rtol=1e-5)


def test_an_empty_mask_is_nan_where_quantus_calls_it_a_hit():
    batch = given()
    batch.masks[1] = False
    assert np.isnan(make("PointingGame").score(batch)).tolist() == [False, True, False, False]


@pytest.mark.filterwarnings("ignore")
def test_values_are_those_of_quantus_called_directly():
    """Classes that neither draw nor normalise by the batch, on one sample at a time."""
    batch = given()
    for name, softmax in (("Infidelity", False), ("EffectiveComplexity", False), ("Complexity", False)):
        metric = CLASSES[name](disable_warnings=True, normalise=False)
        wanted = []
        for i in range(4):
            x, y, a = (value[i : i + 1].numpy() for value in (batch.inputs, batch.targets, batch.attributions))
            a = a if name == "Infidelity" else a / np.abs(a).max()
            wanted += list(metric(batch.model, x, y, a, channel_first=True, softmax=softmax))
        np.testing.assert_allclose(make(name).score(batch), wanted, rtol=1e-5)


def test_curves_are_areas_that_do_not_grow_with_the_steps():
    batch = given(n=2)
    metric = CLASSES["PixelFlipping"](features_in_step=8, disable_warnings=True, normalise=False)
    curves = metric(
        batch.model, batch.inputs.numpy(), batch.targets.numpy(), batch.attributions.numpy(),
        channel_first=True, softmax=True,
    )  # fmt: skip
    wanted = [np.trapezoid(curve) / (len(curve) - 1) for curve in curves]
    found = make("PixelFlipping", features_in_step=8).score(batch)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    fine = make("PixelFlipping", features_in_step=1).score(batch)
    np.testing.assert_allclose(fine, found, rtol=0.2)  # Quantus' own areas: 8 times as large


def test_mprt_without_the_untouched_model_and_smooth_mprt_with_the_given_explainer():
    """An edge filter ignores the model: 1 at each layer, for SmoothMPRT too, whose own explainer is the gradient."""
    batch = given(explainer="sobel")
    np.testing.assert_allclose(make("MPRT").score(batch), 1, atol=1e-6)
    np.testing.assert_allclose(make("SmoothMPRT").score(batch), 1, atol=0.2)
    assert (make("MPRT").score(given()) < 0.7).all()


def test_functions_by_name():
    batch = given()
    spearman = make("RandomLogit", similarity_func="correlation_spearman").score(batch)
    assert (np.abs(spearman - make("RandomLogit").score(batch)) > 1e-3).any()


def test_refusals():
    for name in UNUSABLE:
        with pytest.raises(SpecError, match="cannot be used"):
            metrics.make(f"quantus:{name}")
    with pytest.raises(UnknownNameError, match="quantus:Selectivity"):
        metrics.make("quantus:Selectivty")
    with pytest.raises(SpecError, match="did you mean 'patch_size'"):
        metrics.make("quantus:Selectivity", {"patch_sise": 4})
    for key in ("return_aggregate", "normalise_func"):
        assert key in OURS
        with pytest.raises(SpecError, match="set by Assay"):
            metrics.make("quantus:Selectivity", {key: True})
    dataset = type("Without", (), {"masks": False})()
    assert "needs masks" in make("PointingGame").skip(None, None, dataset)
    assert make("Sparseness").skip(None, None, dataset) is None


def test_a_failure_names_the_class_and_its_error():
    with pytest.raises(
        AssayError, match=r"quantus:TopKIntersection failed in Quantus: ValueError: 'k' must be smaller"
    ):
        metrics.make("quantus:TopKIntersection").score(given())


def test_quantus_does_not_keep_the_model_alive():
    batch = given(n=1)
    for name in ("EfficientMPRT", "PixelFlipping", "MaxSensitivity"):
        make(name).score(batch)
    gone = weakref.ref(batch.model)
    del batch
    gc.collect()
    assert gone() is None


def test_a_random_explainer_draws_per_sample():
    whole = make("MaxSensitivity").score(given(explainer="random"))
    alone = make("MaxSensitivity").score(given(explainer="random", rows=slice(2, 3)))
    np.testing.assert_allclose(alone, whole[2:3])
    assert whole.mean() == pytest.approx(1.5, abs=0.3)


def test_the_page_lists_every_class_with_its_direction_and_needs():
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    text = text[text.index("## With Quantus itself") :]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    shown = {name: row for row in rows for name in re.findall(r"`(\w+)`", row[0]) if name in TABLE}
    assert set(shown) == set(TABLE)
    for name, (_, better, needs, returns, *_) in shown.items():
        known = TABLE[name]
        assert better == ("higher" if known.higher_is_better else "lower")
        assert (needs == "masks") == known.needs_masks
        assert returns == known.shape


def test_a_sample_that_a_class_cannot_do_is_nan_alone():
    """A class that raises for one sample (a constant map of a randomised copy), and one that raises for all."""
    from benchmark.errors import AssayError
    from benchmark.metrics.quantus.calls import _each

    def call(rows):
        if rows[0] == 1:
            raise AssayError("quantus:Sparseness failed in Quantus: a constant")
        return [0.5]

    found = _each("Sparseness", TABLE["Sparseness"], call, np.arange(3))
    np.testing.assert_array_equal(found, [0.5, np.nan, 0.5])
    with pytest.raises(AssayError, match="a constant"):
        _each("Sparseness", TABLE["Sparseness"], call, np.array([1]))
