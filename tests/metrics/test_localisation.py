"""Localisation. Oracles: known values, pair counting, properties, the dataset's own word on masks.

Parity with Quantus is in tests/parity/test_localisation.py.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmark.data.base import Index
from benchmark.metrics.base import metrics
from benchmark.metrics.functional import localisation

WITH_MASKS = [
    "relevance-rank-accuracy",
    "relevance-mass-accuracy",
    "top-k-intersection",
    "pointing-game",
    "localisation-auc",
    "energy-pointing-game",
    "mask-share",
]
NAMES = [*WITH_MASKS, "artefact-relevance-mass"]


def score(name, batch, **params):
    return np.asarray(metrics.make(name, params).score(batch))


@pytest.fixture
def masked(linear, explain):
    """Masks of 9 pixels; attributions on them, off them, on 3 of 9, on an empty mask."""
    model, inputs, _, _ = linear
    masks = np.zeros((4, 1, 6, 6), bool)
    masks[:3, :, :3, :3] = True
    values = np.zeros((4, 1, 6, 6), np.float32)
    values[0][masks[0]], values[1][~masks[1]], values[3] = 1, 1, np.arange(36).reshape(6, 6)
    values[2, 0, 0, :3], values[2, 0, 5, :], values[2, 0, 1:3, :3] = 3, 2, -1
    batch = explain(model, inputs[:4], values, masks=masks)
    batch.artefacts = batch.masks
    return batch


KNOWN = {
    "relevance-rank-accuracy": [1, 0, 1 / 3, np.nan],
    "relevance-mass-accuracy": [1, 0, 9 / 21, np.nan],
    "top-k-intersection": [1, 0, 3 / 4, np.nan],  # k = 4
    "pointing-game": [1, 0, 1, np.nan],
    # row 2: 3 pixels of the mask beat all 27 outside, 6 lose to all; row 1: 27 outside beat all 9
    "localisation-auc": [1, 0, 1 / 3, np.nan],
    "energy-pointing-game": [1, 0, 9 / 21, np.nan],
    "mask-share": [0.25, 0.25, 0.25, np.nan],
    "artefact-relevance-mass": [4, 0, 4 * 9 / 21, np.nan],
}


@pytest.mark.parametrize("name", NAMES)
def test_known_attributions(masked, name):
    params = {"k": 4} if name == "top-k-intersection" else {}
    np.testing.assert_allclose(score(name, masked, **params), KNOWN[name])


@pytest.mark.parametrize("name", NAMES)
def test_channels_are_summed_first(masked, name):
    before = score(name, masked)
    wanted = masked.attributions[:, 0].numpy()
    noise = np.random.default_rng(0).integers(-9, 9, wanted.shape)
    parts = np.stack([noise, wanted - noise, np.zeros_like(wanted)], 1)
    masked.attributions = torch.as_tensor(parts.astype(np.float32))
    np.testing.assert_allclose(score(name, masked), before)


def test_default_k_is_a_twentieth_of_the_pixels_and_never_more_than_all(masked):
    np.testing.assert_allclose(score("top-k-intersection", masked), score("top-k-intersection", masked, k=2))
    np.testing.assert_allclose(score("top-k-intersection", masked, k=1000)[:3], 9 / 36)


def test_energy_is_what_lies_above_the_least_value():
    """Score-CAM scales a map to [0, 1]: an offset to all pixels is gone."""
    values, mask = torch.tensor([[[[0.0, 3.0], [1.0, 0.0]]]]), torch.tensor([[[[False, True], [False, False]]]])
    for offset in (0.0, 2.0, 50.0):
        assert localisation.energy_pointing_game(values + offset, mask).item() == pytest.approx(0.75)
    assert localisation.relevance_mass(values + 50, mask).item() == pytest.approx(53 / 204)


def test_what_does_not_look_gets_the_share_of_the_mask():
    torch.manual_seed(0)
    values, masks = torch.rand(4000, 1, 6, 6) - 0.5, torch.rand(4000, 1, 6, 6) < torch.rand(4000, 1, 1, 1)
    share = localisation.mask_share(values, masks).nanmean().item()
    for found in (localisation.pointing_game, localisation.relevance_mass, localisation.relevance_rank):
        assert found(values, masks).nanmean().item() == pytest.approx(share, abs=0.02)


def test_of_equal_pixels_the_first_counts():
    values, mask = torch.ones(1, 1, 1, 4), torch.tensor([[[[True, False, False, False]]]])
    values[..., 3] = 0
    assert localisation.pointing_game(values, mask).item() == 1
    assert localisation.pointing_game(values, mask.roll(1, 3)).item() == 0


def test_auc_counts_pairs():
    """Mann and Whitney: the share of (inside, outside) pairs that inside wins, ties half; here by counting them all."""
    rng = np.random.default_rng(0)
    values, masks = rng.integers(0, 5, (20, 1, 5, 6)), rng.random((20, 1, 5, 6)) > 0.6
    found = localisation.localisation_auc(torch.as_tensor(values).float(), torch.as_tensor(masks))
    for row in range(20):
        inside, outside = values[row][masks[row]][:, None], values[row][~masks[row]]
        wins = (inside > outside).mean() + 0.5 * (inside == outside).mean()
        assert float(found[row]) == pytest.approx(wins, abs=1e-12)


def test_a_constant_has_no_order_but_its_share_of_the_area():
    values, masks = torch.full((1, 1, 6, 6), 0.3), torch.zeros(1, 1, 6, 6, dtype=torch.bool)
    masks[..., :2, :] = True
    assert localisation.relevance_mass(values, masks).item() == pytest.approx(1 / 3)
    assert localisation.artefact_mass_ratio(values, masks).item() == pytest.approx(1)
    assert localisation.localisation_auc(values, masks).item() == pytest.approx(0.5)
    for function in (localisation.relevance_rank, localisation.pointing_game):
        assert function(values, masks).isnan().all()


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, (3, 2, 4, 4), elements=st.floats(-1e6, 1e6)),
    hnp.arrays(bool, (3, 1, 4, 4)),
    st.floats(1e-3, 1e3),
)
def test_range_scale_and_permutation(values, masks, factor):
    a, m = torch.as_tensor(values), torch.as_tensor(masks)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    flipped = a.flatten(2)[:, :, order].view(a.shape), m.flatten(2)[:, :, order].view(m.shape)
    for name in ("relevance_mass", "localisation_auc", "relevance_rank", "artefact_mass_ratio"):
        function = getattr(localisation, name)
        found = function(a, m)
        fine = found[~found.isnan()]
        assert (fine >= 0).all()
        assert (fine <= (16 if name == "artefact_mass_ratio" else 1 + 1e-12)).all()
        assert found[~m.flatten(1).any(1)].isnan().all()
        if name != "relevance_rank":  # which breaks ties by the index
            np.testing.assert_allclose(function(a * 2, m), found, rtol=1e-9)
            np.testing.assert_allclose(function(*flipped), found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_nan_touches_no_other_sample(masked, name):
    before = score(name, masked)
    masked.attributions = masked.attributions.clone()
    masked.attributions[1, 0, 0, 0] = torch.nan
    after = score(name, masked)
    assert np.isnan(after[1])
    np.testing.assert_array_equal(after[[0, 2, 3]], before[[0, 2, 3]])
    masked.attributions[:] = 0
    assert np.isnan(score(name, masked)).all()


@pytest.mark.parametrize("name", NAMES)
def test_skips_datasets_without_masks(name):
    def index(**which):
        return Index(ids=("a",), labels=np.zeros(1), classes=("0",), digest="", **which)

    metric = metrics.make(name)
    needed = "artefacts" if name == "artefact-relevance-mass" else "masks"
    other = {"masks": "artefacts", "artefacts": "masks"}[needed]
    assert metric.skip(None, None, index(**{needed: True})) is None
    assert "masks" in metric.skip(None, None, index(**{other: True}))


@pytest.mark.parametrize("name", NAMES)
def test_without_masks_every_value_is_nan(linear, explain, name):
    model, inputs, _, perfect = linear
    assert np.isnan(score(name, explain(model, inputs, perfect))).all()


def test_masks_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\).*\(2, 3, 4, 4\)"):
        localisation.relevance_rank(torch.rand(2, 3, 4, 4), torch.ones(2, 3, 4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="between 1 and"):
        localisation.top_k_intersection(torch.rand(1, 1, 4, 4), torch.ones(1, 1, 4, 4, dtype=torch.bool), 17)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mask-share"])
def test_direction_a_random_attribution_is_worse(masked, name):
    """Control: relevance on the mask (off it, for an artefact) against noise."""
    good = masked.masks.float() if name != "artefact-relevance-mass" else (~masked.masks).float()
    masked.attributions = good + 0.01 * torch.rand(good.shape, generator=torch.Generator().manual_seed(0))
    better = np.nanmean(score(name, masked))
    masked.attributions = torch.rand(good.shape, generator=torch.Generator().manual_seed(1))
    worse = np.nanmean(score(name, masked))
    if name == "artefact-relevance-mass":  # it describes: less lies on the artefact here
        assert metrics.make(name).higher_is_better is None
        assert better < worse
    else:
        assert (better > worse) == metrics.make(name).higher_is_better
    assert abs(better - worse) > 0.2
