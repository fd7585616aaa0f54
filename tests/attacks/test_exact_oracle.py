"""No verified attack is below the exact minimal distance. Oracle: a mixed-integer program of the network (exact.py)."""

import numpy as np
import pytest
import torch

from tests.attacks.exact import ATTACKS, Network, norms

QUICK = {  # what is cheaper here than in the table of docs/evaluation.md
    "PGD, 200 steps": {"steps": 60, "rel_stepsize": 0.05},
    "APGD on the cross-entropy": {"steps": 40},
    "FAB": {"steps": 30},
    "autoattack": {"steps": 10},
    "Square, 1,000 queries": {"n_queries": 100},
    "HopSkipJump": {
        "constraint": "linf",
        "steps": 8,
        "initial_gradient_eval_steps": 20,
        "max_gradient_eval_steps": 60,
    },
}
LEVELS = {"autoattack": 3, "Square, 1,000 queries": 4}
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def measured():
    network = Network(30)
    found = {
        name: norms(network, use, QUICK.get(name, params), LEVELS.get(name, 6))
        for name, (use, params) in ATTACKS.items()
    }
    best = np.min(list(found.values()), axis=0)
    return network, found, np.array([network.distance(i, best[i]) for i in range(30)])


@pytest.mark.parametrize("name", ATTACKS)
def test_no_verified_attack_is_below_the_exact_distance(measured, name):
    _, found, exact = measured
    below = found[name] < exact - TOLERANCE
    assert not below.any(), (found[name][below], exact[below])
    assert np.isfinite(found[name]).sum() >= 25, "an attack that breaks nothing shows nothing"


def test_the_exact_distance_is_reached(measured):
    """Control of the oracle: a bound that is too low would pass every attack."""
    _, found, exact = measured
    gap = np.min(list(found.values()), axis=0) / exact - 1
    assert np.median(gap) < 1e-3
    assert gap.max() < 0.2
    assert (exact > 0.005).all()


def test_no_random_corner_of_a_ball_just_inside_breaks_a_sample(measured):
    """Control, with points that no attack chose: 2,000 corners and 2,000 inner points a sample."""
    network, _, exact = measured
    x, y = torch.as_tensor(network.batch.inputs), torch.as_tensor(network.batch.labels)
    generator = torch.Generator().manual_seed(0)
    for i in range(len(exact)):
        inner = torch.rand((4000, 1, 8, 8), generator=generator) * 2 - 1
        inner[:2000] = inner[:2000].sign()
        inside = (x[i : i + 1] + (exact[i] - TOLERANCE) * inner).clamp(0, 1)
        assert (network.model(inside).argmax(1) == y[i]).all()
