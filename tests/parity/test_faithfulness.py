"""Faithfulness against Quantus 0.6: float64, the same batch, attributions without ties, its random stream replayed.

Where Quantus is wrong, a test shows its value, ours and the definition; each says so in its name.
"""

import numpy as np
import pytest
import torch

from benchmark.metrics.functional import faithfulness as ours
from benchmark.metrics.functional.imputation import imputed
from benchmark.metrics.functional.perturbation import reference
from tests.parity.conftest import ATOL, FLOAT32, QUIET, Case, make_case, network, quantus, theirs


def arguments(case: Case) -> dict:
    return {
        "model": case.model,
        "inputs": case.inputs,
        "targets": case.targets,
        "attributions": case.attributions,
    }


def close(found, wanted, atol=ATOL):
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), atol=atol, rtol=0)


def subsets_of(runs: int, size: int, features: int, n: int, seed: int = 0) -> torch.Tensor:
    """Quantus' stream: a run at a time, sample by sample (a number as the baseline draws nothing else)."""
    state = np.random.RandomState(seed)
    drawn = [[state.choice(features, size, replace=False) for _ in range(n)] for _ in range(runs)]
    return torch.as_tensor(np.array(drawn)).transpose(0, 1).contiguous()


# -- right in Quantus ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", [True, False], ids=["rgb", "grey"])
@pytest.mark.parametrize("step", [1, 8])
@pytest.mark.parametrize("fill", [0.0, 0.3])
def test_pixel_flipping(rgb, grey, colour, step, fill):
    case = rgb if colour else grey
    metric = quantus.PixelFlipping(features_in_step=step, perturb_baseline=fill, abs=False, **QUIET)
    fractions, curve = ours.pixel_flipping_curve(**arguments(case), features_in_step=step, fill=fill)
    close(curve[:, 1:], theirs(metric, case, softmax=True))
    with torch.no_grad():
        close(curve[:, 0], case.model(case.inputs).softmax(1)[torch.arange(6), case.targets])
    area = ours.pixel_flipping(**arguments(case), features_in_step=step, fill=fill)
    close(area, np.trapezoid(curve, fractions, axis=1), 1e-12)


def test_insertion_is_deletion_in_reverse_order_from_the_other_end(rgb):
    """Oracle: Quantus on the opposite attribution deletes the least relevant first, which leaves what we inserted."""
    reverse = Case(rgb.model, rgb.inputs, rgb.targets, -rgb.attributions)
    wanted = theirs(
        quantus.PixelFlipping(features_in_step=4, perturb_baseline=0.0, abs=False, **QUIET), reverse, softmax=True
    )
    _, curve = ours.pixel_flipping_curve(**arguments(rgb), features_in_step=4, fill=0.0, mode="insertion")
    close(curve[:, :-1].flip(1), wanted)


@pytest.mark.parametrize("colour", [True, False], ids=["rgb", "grey"])
def test_faithfulness_correlation_with_the_stream_replayed(rgb, grey, colour):
    case = rgb if colour else grey
    features = case.inputs[0].numel()
    metric = quantus.FaithfulnessCorrelation(nr_runs=40, subset_size=12, perturb_baseline=0.0, abs=False, **QUIET)
    wanted = theirs(metric, case, seed=5)
    subsets = subsets_of(40, 12, features, len(case.inputs), seed=5)
    close(ours.faithfulness_correlation(**arguments(case), subsets=subsets, fill=0.0), wanted)


@pytest.mark.parametrize("step", [1, 4, 16])
def test_faithfulness_estimate(rgb, step):
    metric = quantus.FaithfulnessEstimate(features_in_step=step, perturb_baseline=0.0, abs=False, **QUIET)
    found = ours.faithfulness_estimate(**arguments(rgb), features_in_step=step, fill=0.0)
    close(found, theirs(metric, rgb))


@pytest.mark.parametrize("step", [4, 16])
def test_monotonicity_correlation_with_the_stream_replayed(rgb, step):
    """A word as the baseline draws one uniform number a sample on every call, here the one that is used."""
    options = {"features_in_step": step, "nr_samples": 5, "perturb_baseline": "uniform", "abs": True}
    wanted = theirs(quantus.MonotonicityCorrelation(**options, **QUIET), rgb, softmax=True, seed=7)
    state = np.random.RandomState(7)
    values = np.array([[state.uniform(size=6) for _ in range(5)] for _ in range(192 // step)])  # their steps rise
    values = torch.as_tensor(values[::-1].copy()).permute(2, 0, 1)
    close(ours.monotonicity_correlation(**arguments(rgb), values=values, features_in_step=step), wanted)


@pytest.mark.parametrize("patch", [2, 3, 4, 5])
@pytest.mark.parametrize("regions", [5, 100])
def test_region_perturbation_is_the_drop_although_quantus_declares_lower_as_better(rgb, patch, regions):
    """The values agree; the direction is that of Samek et al. 2017, where a larger area over the curve is better."""
    options = {"patch_size": patch, "regions_evaluation": regions, "order": "morf", "perturb_baseline": 0.0}
    metric = quantus.RegionPerturbation(**options, abs=False, **QUIET)
    drops = np.asarray(theirs(metric, rgb, softmax=True))
    curve = ours.region_perturbation_curve(**arguments(rgb), patch=patch, regions=regions, fill=0.0)
    close(curve[:, :1] - curve[:, 1:], drops)
    area = ours.region_perturbation(**arguments(rgb), patch=patch, regions=regions, fill=0.0)
    close(area, drops.sum(1) / (drops.shape[1] + 1))
    assert metric.score_direction.value == "lower"


@pytest.mark.parametrize("patch", [2, 3, 4])
def test_selectivity(rgb, patch):
    metric = quantus.Selectivity(patch_size=patch, perturb_baseline=0.0, abs=False, **QUIET)
    curve = np.asarray(theirs(metric, rgb, softmax=True))
    mine = ours.region_perturbation_curve(**arguments(rgb), patch=patch, fill=0.0)
    close(mine[:, 1:], curve)
    whole = np.column_stack([mine[:, 0], curve])
    close(ours.selectivity(**arguments(rgb), patch=patch, fill=0.0), np.trapezoid(whole, dx=1 / curve.shape[1], axis=1))


@pytest.mark.parametrize("patch", [2, 4])
def test_infidelity_on_the_masks_that_quantus_walks_through(rgb, patch):
    """Quantus replaces one block after the other, in raster order, and keeps what it replaced: masks that grow."""
    blocks = 8 // patch
    order = torch.arange(blocks * blocks).view(1, 1, blocks, blocks)
    place = order.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    masks = torch.stack([place <= step for step in range(blocks * blocks)], 1).expand(6, -1, 1, 8, 8)
    metric = quantus.Infidelity(
        perturb_patch_sizes=[patch], n_perturb_samples=2, perturb_baseline=0.0, abs=False, **QUIET
    )
    found = ours.infidelity(**arguments(rgb), masks=masks, steps=blocks * blocks, fill=0.0, optimal_scale=False)
    wanted = theirs(metric, rgb)
    np.testing.assert_allclose(found, wanted, rtol=ATOL)


@pytest.mark.parametrize("share", [10, 50, 90])
def test_road_images(grey, share):
    """Oracle: Quantus' noisy linear imputation, without noise and with its noise replayed."""
    count = int(64 * share / 100)
    order = grey.attributions.flatten(1).argsort(1, descending=True)[:, :count]
    mask = torch.zeros(6, 64, dtype=torch.bool).scatter_(1, order, True).view(6, 1, 1, 8, 8)
    for noise in (0.0, 0.1):
        np.random.seed(3)
        wanted = [
            quantus.perturb_func.noisy_linear_imputation(x, indices=at, noise=noise)
            for x, at in zip(grey.inputs.numpy(), order.numpy(), strict=True)
        ]
        state, drawn = np.random.RandomState(3), torch.zeros(6, 1, 64, dtype=torch.float64)
        for row in range(6):
            drawn[row, 0, order[row]] = torch.as_tensor(noise * state.randn(count))
        close(imputed(grey.inputs[:, None], mask, drawn.view(6, 1, 1, 8, 8))[:, 0], np.stack(wanted), 1e-7)


def test_road_answers(grey):
    """Quantus gives 0 or 1 for each sample and percentage, the number of samples that are still right."""
    shares = (10, 30, 50, 70, 90)
    metric = quantus.ROAD(percentages=list(shares), noise=0.0, abs=False, **QUIET)
    wanted = theirs(metric, grey, softmax=True)
    curve = ours.road_curve(**arguments(grey), percentages=shares, output="correct")
    means = [wanted[share] for share in shares] if isinstance(wanted, dict) else np.mean(wanted[0], 0)
    close(curve[:, 1:].mean(0), means)


# -- float32 -------------------------------------------------------------------------------------------------------


def test_float32_within_its_own_tolerance(rgb):
    single = rgb.single()
    subsets = subsets_of(40, 12, 192, 6)
    calls = {
        "flipping": lambda c: ours.pixel_flipping(**arguments(c), features_in_step=8),
        "insertion": lambda c: ours.pixel_flipping(**arguments(c), features_in_step=8, mode="insertion"),
        "correlation": lambda c: ours.faithfulness_correlation(**arguments(c), subsets=subsets),
        "estimate": lambda c: ours.faithfulness_estimate(**arguments(c), features_in_step=4),
        "region": lambda c: ours.region_perturbation(**arguments(c), patch=3),
        "selectivity": lambda c: ours.selectivity(**arguments(c), patch=3),
        "road": lambda c: ours.road(**arguments(c), percentages=(20, 50, 80)),
    }
    for name, call in calls.items():
        np.testing.assert_allclose(call(single), call(rgb), atol=FLOAT32, err_msg=name)


# -- wrong in Quantus ----------------------------------------------------------------------------------------------


def test_quantus_area_grows_with_the_number_of_steps(rgb, monkeypatch):
    """The area over the fraction replaced is one number for any step size, up to the rule's error; theirs doubles."""
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)  # which NumPy 2.4 took away
    areas, mine = [], []
    for step in (8, 4, 2):
        metric = quantus.PixelFlipping(
            features_in_step=step, perturb_baseline=0.0, abs=False, return_auc_per_sample=True, **QUIET
        )
        areas.append(np.mean(theirs(metric, rgb, softmax=True)))
        mine.append(float(ours.pixel_flipping(**arguments(rgb), features_in_step=step, fill=0.0).mean()))
    assert areas[1] / areas[0] > 1.8
    assert areas[2] / areas[1] > 1.8
    assert np.ptp(mine) < 0.02


def test_quantus_infidelity_repeats_are_identical_and_follow_no_expectation(rgb):
    """Yeh et al. 2019, eq. 1 is an expectation over random perturbations; theirs are one walk, however many repeats."""
    values = [
        theirs(
            quantus.Infidelity(perturb_patch_sizes=[4], n_perturb_samples=n, perturb_baseline=0.0, abs=False, **QUIET),
            rgb,
            seed=n,
        )
        for n in (1, 3)
    ]
    close(values[0], values[1], 1e-12)
    from benchmark.seeds import Draws

    found = []
    for seed in (0, 1):
        corners = ours.random_corners(Draws(range(seed, 60, 10)), 8, 8, 50, 4)
        found.append(ours.infidelity(**arguments(rgb), masks=ours.squares(corners, 4, 8, 8), steps=50))
    assert (found[0] != found[1]).all()


def test_quantus_infidelity_refuses_a_patch_that_does_not_divide_the_image(rgb):
    metric = quantus.Infidelity(perturb_patch_sizes=[3], n_perturb_samples=1, perturb_baseline=0.0, abs=False, **QUIET)
    with pytest.raises(ValueError, match="reshape"):
        theirs(metric, rgb)
    from benchmark.seeds import Draws

    corners = ours.random_corners(Draws(range(6)), 8, 8, 50, 3)
    assert ours.infidelity(**arguments(rgb), masks=ours.squares(corners, 3, 8, 8), steps=50).isfinite().all()


def test_quantus_infidelity_depends_on_the_attributions_scale_ours_only_if_asked(rgb):
    larger = Case(rgb.model, rgb.inputs, rgb.targets, 10 * rgb.attributions)
    metric = quantus.Infidelity(perturb_patch_sizes=[4], n_perturb_samples=1, perturb_baseline=0.0, abs=False, **QUIET)
    assert (np.asarray(theirs(metric, larger)) > 5 * np.asarray(theirs(metric, rgb))).all()
    from benchmark.seeds import Draws

    corners = ours.random_corners(Draws(range(6)), 8, 8, 50, 4)
    masks = ours.squares(corners, 4, 8, 8)
    found = [ours.infidelity(**arguments(case), masks=masks, steps=50) for case in (rgb, larger)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


def test_quantus_road_fails_on_colour(rgb, grey):
    """Rong et al. 2022 impute a pixel's channels together; ours does each as Quantus does a grey image."""
    with pytest.raises(IndexError):
        theirs(quantus.ROAD(percentages=[50], noise=0.0, abs=False, **QUIET), rgb, softmax=True)
    order = rgb.attributions.sum(1).flatten(1).argsort(1, descending=True)[:, :32]
    mask = torch.zeros(6, 64, dtype=torch.bool).scatter_(1, order, True).view(6, 1, 1, 8, 8)
    found = imputed(rgb.inputs[:, None], mask, torch.zeros_like(rgb.inputs)[:, None])[:, 0]
    for row in range(6):
        for channel in range(3):
            image = rgb.inputs[row, channel : channel + 1].numpy()
            wanted = quantus.perturb_func.noisy_linear_imputation(image, indices=order[row].numpy(), noise=0.0)
            close(found[row, channel], wanted[0], 1e-7)


def test_quantus_road_scores_the_first_batch_only(grey):
    metric = quantus.ROAD(percentages=[50], noise=0.0, abs=False, **QUIET)
    first = theirs(metric, Case(grey.model, grey.inputs[:2], grey.targets[:2], grey.attributions[:2]), softmax=True)
    metric = quantus.ROAD(percentages=[50], noise=0.0, abs=False, **QUIET)
    assert theirs(metric, grey, softmax=True, batch_size=2) == first


def test_quantus_sensitivity_n_is_not_that_of_its_paper(rgb):
    """Ancona et al. 2018: a correlation over random subsets for one sample. Theirs correlates over samples instead, so
    that one value a step comes back, and it changes with the company a sample keeps; ours does not."""
    options = {"features_in_step": 4, "n_max_percentage": 0.8, "perturb_baseline": 0.0, "abs": False}
    values = np.asarray(theirs(quantus.SensitivityN(**options, **QUIET), rgb))
    assert values.shape == (int(0.8 * 64 // 4),)  # and 64 leaves the channels out
    drops = _logit_drops(rgb, 4)
    sums = rgb.attributions.flatten(1).sort(1, descending=True).values.view(6, -1, 4).sum(2)
    over_samples = [np.corrcoef(drops[:, step], sums[:, step])[0, 1] for step in range(len(values))]
    close(over_samples, values)
    subsets = [subsets_of(20, size, 192, 6) for size in (5, 50)]
    whole = ours.sensitivity_n(**arguments(rgb), subsets=subsets)
    alone = Case(rgb.model, rgb.inputs[:2], rgb.targets[:2], rgb.attributions[:2])
    close(ours.sensitivity_n(**arguments(alone), subsets=[s[:2] for s in subsets]), whole[:2], 1e-9)


def _logit_drops(case, step):
    """Drops of the logit along the descending order, cumulative: what Quantus calls sensitivity-n's deltas."""
    x, drops = case.inputs.flatten(1).clone(), []
    order = case.attributions.flatten(1).argsort(1, descending=True)
    rows = torch.arange(len(x))
    with torch.no_grad():
        clean = case.model(case.inputs)[rows, case.targets]
        for start in range(0, x.shape[1], step):
            x.scatter_(1, order[:, start : start + step], 0.0)
            drops.append(clean - case.model(x.view(case.inputs.shape))[rows, case.targets])
    return torch.stack(drops, 1)


def test_quantus_black_is_the_darkest_pixel_and_its_mean_is_over_all_channels(rgb):
    """Ours: black is 0, the mean is each channel's. On an input that holds a 0 the first agree."""
    metric = quantus.FaithfulnessEstimate(features_in_step=4, perturb_baseline="black", abs=False, **QUIET)
    assert not np.allclose(ours.faithfulness_estimate(**arguments(rgb), features_in_step=4), theirs(metric, rgb))
    inputs = rgb.inputs.clone()
    inputs[:, 0, 0, 0] = 0
    case = Case(rgb.model, inputs, rgb.targets, rgb.attributions)
    close(ours.faithfulness_estimate(**arguments(case), features_in_step=4), theirs(metric, case))
    np.testing.assert_allclose(reference(inputs, "mean")[:, :, 0, 0], inputs.mean((2, 3)))


@pytest.mark.parametrize("channels", [1])
def test_mean_fill_on_grey_images_agrees(channels):
    case = make_case(network(channels), channels)
    metric = quantus.PixelFlipping(features_in_step=8, perturb_baseline="mean", abs=False, **QUIET)
    _, curve = ours.pixel_flipping_curve(**arguments(case), features_in_step=8, fill="mean")
    wanted = np.asarray(theirs(metric, case, softmax=True))
    close(curve[:, 1], wanted[:, 0])  # afterwards theirs is the mean of the image that it has changed already
    assert not np.allclose(curve[:, 4], wanted[:, 3])
