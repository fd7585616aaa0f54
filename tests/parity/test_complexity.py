"""Complexity against Quantus 0.6, float64 and float32, one batch."""

import numpy as np
import pytest
import torch

from benchmark.metrics.functional import complexity as ours
from tests.parity.conftest import ATOL, QUIET, Case, quantus, theirs


def largest_one(case: Case) -> Case:
    """Normalised per sample, as our functions do inside; Quantus would divide by the batch's maximum."""
    values = case.attributions / case.attributions.flatten(1).abs().amax(1).view(-1, 1, 1, 1)
    return Case(case.model, case.inputs, case.targets, values)


@pytest.mark.parametrize(("name", "function"), [("Sparseness", ours.sparseness), ("Complexity", ours.complexity)])
def test_the_same_values(rgb, name, function):
    """Quantus adds 1e-7 to magnitudes (Sparseness) and 1e-12 inside the logarithm (Complexity); ours need neither."""
    wanted = theirs(getattr(quantus, name)(abs=True, **QUIET), largest_one(rgb))
    np.testing.assert_allclose(function(rgb.attributions), wanted, rtol=ATOL)
    np.testing.assert_allclose(function(rgb.single().attributions), wanted, rtol=ATOL)


@pytest.mark.parametrize("eps", [1e-5, 0.1, 0.5])
def test_effective_complexity_is_a_share_of_theirs(rgb, eps):
    wanted = np.asarray(theirs(quantus.EffectiveComplexity(eps=eps, abs=True, **QUIET), largest_one(rgb)))
    np.testing.assert_allclose(ours.effective_complexity(rgb.attributions, eps) * 192, wanted, atol=1e-9)


def test_quantus_lets_the_scale_of_one_sample_move_the_others(rgb):
    """Its threshold is absolute after a division by the batch's maximum; ours is relative to the sample's own."""
    scaled = rgb.attributions * torch.tensor([100.0, 1, 1, 1, 1, 1]).view(-1, 1, 1, 1)
    options = {**QUIET, "normalise": True}
    before, after = (
        theirs(quantus.EffectiveComplexity(eps=0.05, abs=True, **options), Case(rgb.model, rgb.inputs, rgb.targets, a))
        for a in (rgb.attributions, scaled)
    )
    assert (np.asarray(before)[1:] != np.asarray(after)[1:]).all()
    np.testing.assert_array_equal(
        ours.effective_complexity(scaled, 0.05), ours.effective_complexity(rgb.attributions, 0.05)
    )


def test_quantus_changes_the_callers_array(rgb):
    values = rgb.attributions.abs().numpy()
    before, metric = values.copy(), quantus.Sparseness(abs=False, **QUIET)
    metric.evaluate_batch(x_batch=rgb.inputs.numpy(), a_batch=values)
    assert not np.array_equal(values, before)
    kept = rgb.attributions.clone()
    ours.sparseness(rgb.attributions)
    assert torch.equal(kept, rgb.attributions)
