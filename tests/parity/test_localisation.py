"""Localisation against Quantus 0.6, float64, one batch, attributions without ties. Grey images: Quantus compares each
channel's elements with a mask of one channel, ours the channel sums.
"""

import numpy as np
import pytest
import torch

from benchmark.metrics.functional import localisation as ours
from tests.parity.conftest import ATOL, QUIET, Case, quantus, theirs


@pytest.fixture
def masks():
    drawn = torch.rand((6, 1, 8, 8), generator=torch.Generator().manual_seed(1)) > 0.7
    drawn[0] = False
    drawn[0, 0, 2:5, 3:6] = True
    return drawn


def positive(case: Case) -> Case:
    return Case(case.model, case.inputs, case.targets, case.attributions.clamp(min=0))


def direct(name, case, masks, **options):
    return np.asarray(theirs(getattr(quantus, name)(abs=False, **options, **QUIET), case, masks=masks), dtype=float)


CASES = {
    "RelevanceRankAccuracy": ours.relevance_rank,
    "PointingGame": ours.pointing_game,
    "AUC": ours.localisation_auc,
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_values(grey, masks, name):
    wanted = direct(name, grey, masks)
    np.testing.assert_allclose(CASES[name](grey.attributions, masks), wanted, atol=ATOL)
    np.testing.assert_allclose(CASES[name](grey.single().attributions, masks), wanted, atol=ATOL)
    assert len(set(wanted)) > 1


@pytest.mark.parametrize("k", [1, 5, 63])
def test_top_k_intersection(grey, masks, k):
    wanted = direct("TopKIntersection", grey, masks, k=k)
    np.testing.assert_allclose(ours.top_k_intersection(grey.attributions, masks, k), wanted, atol=ATOL)


def test_relevance_mass_on_what_is_positive(grey, masks):
    wanted = direct("RelevanceMassAccuracy", positive(grey), masks)
    np.testing.assert_allclose(ours.relevance_mass(grey.attributions, masks), wanted, atol=ATOL)


def test_attribution_localisation_is_relevance_mass(grey, masks):
    wanted = direct("AttributionLocalisation", grey, masks, positive_attributions=True)
    np.testing.assert_allclose(ours.relevance_mass(grey.attributions, masks), wanted, atol=ATOL)


def test_auc_with_ties(grey, masks):
    """Quantus' scikit-learn counts a tie as half a win, as midranks do."""
    tied = Case(grey.model, grey.inputs, grey.targets, (grey.attributions * 3).round())
    wanted = direct("AUC", tied, masks)
    np.testing.assert_allclose(ours.localisation_auc(tied.attributions, masks), wanted, atol=ATOL)


def test_quantus_mass_of_signed_attributions_leaves_the_unit_interval(grey, masks):
    """Arras et al. 2022: the share of the positive relevance; a share of a signed sum is no share."""
    wrong = direct("RelevanceMassAccuracy", grey, masks)
    assert (wrong < 0).any() or (wrong > 1).any()
    mine = ours.relevance_mass(grey.attributions, masks)
    assert ((mine >= 0) & (mine <= 1)).all()


def test_quantus_takes_an_empty_mask_for_a_hit(grey):
    """Zhang et al. 2018: a hit is a maximum inside the object; without an object there is neither hit nor miss."""
    masks = torch.zeros((6, 1, 8, 8), dtype=torch.bool)
    masks[0, 0, 4, 4] = True
    assert direct("PointingGame", grey, masks)[1:].all()
    assert ours.pointing_game(grey.attributions, masks)[1:].isnan().all()


def test_quantus_ranks_channels_against_a_mask_of_one(rgb, masks):
    with pytest.raises((ValueError, IndexError)):
        direct("RelevanceRankAccuracy", rgb, masks)
    pooled = rgb.attributions.sum(1, keepdim=True)
    wanted = direct("RelevanceRankAccuracy", Case(rgb.model, rgb.inputs[:, :1], rgb.targets, pooled), masks)
    np.testing.assert_allclose(ours.relevance_rank(rgb.attributions, masks), wanted, atol=ATOL)
