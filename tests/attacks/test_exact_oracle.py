"""No verified attack is below the exact minimal distance. Oracle: a mixed-integer program of the network (exact.py)."""

import numpy as np
import pytest
import torch

from tests.attacks.exact import ATTACKS, OURS, TABLES, Network, norms

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
SAMPLES = 16


@pytest.fixture(scope="module")
def measured():
    network = Network(SAMPLES)
    found = {
        name: norms(network, use, QUICK.get(name, params), LEVELS.get(name, 6))
        for name, (use, params) in ATTACKS.items()
    }
    best = np.min(list(found.values()), axis=0)
    return network, found, np.array([network.distance(i, best[i]) for i in range(SAMPLES)])


@pytest.fixture(scope="module")
def sparse():
    """l1 and l0: on a few samples, with fewer steps (our own as it comes)."""
    network, n, results = Network(4), 4, {}
    for norm in ("l1", "l0"):
        found = {
            name: norms(network, use, {**params, "steps": 1000 if use == "minimal-norm" else 100}, norm=norm)
            for name, (use, params) in TABLES[norm].items()
        }
        best = np.min(list(found.values()), axis=0)
        results[norm] = found, np.array([network.distance(i, best[i], norm) for i in range(n)])
    return network, results


@pytest.mark.parametrize(("norm", "name"), [(norm, name) for norm in ("l1", "l0") for name in TABLES[norm]])
def test_no_verified_attack_is_below_the_exact_distance_in_l1_and_l0(sparse, norm, name):
    found, exact = sparse[1][norm]
    assert (found[name] >= exact - TOLERANCE).all(), (found[name], exact)
    if name == "minimal-norm (ours)":
        assert np.median(found[name] / exact - 1) < 2e-3


def test_no_random_sparse_change_just_inside_breaks_a_sample(sparse):
    """Control, with points that no attack chose: 4,000 a sample, one pixel fewer, or all of the l1 ball on a few."""
    network, results = sparse
    x, y = torch.as_tensor(network.batch.inputs).flatten(1), torch.as_tensor(network.batch.labels)
    generator = torch.Generator().manual_seed(0)
    for i in range(len(y)):
        order = torch.rand((4000, 64), generator=generator).argsort(1)
        edges = torch.rand((4000, 64), generator=generator).round()
        few = torch.where(order < results["l0"][1][i] - 1, edges, x[i])
        way = torch.where(order < 3, edges - x[i], 0)
        spent = (results["l1"][1][i] - 1e-5) / way.abs().sum(1, keepdim=True).clamp_min(1e-6)
        for inside in (few, x[i] + way * spent.clamp_max(1)):
            assert (network.model(inside.view(-1, 1, 8, 8)).argmax(1) == y[i]).all()


@pytest.mark.parametrize("name", OURS["linf"])
def test_our_minimal_norm_attacks_are_not_below_and_near(measured, name):
    network, _, exact = measured
    use, params = OURS["linf"][name]
    found = norms(network, use, {**params, "steps": 200})
    assert (found >= exact - TOLERANCE).all()
    if use == "minimal-norm":
        assert np.median(found / exact - 1) < 1e-3
        assert (found / exact - 1).max() < 0.1


@pytest.mark.parametrize("name", ATTACKS)
def test_no_verified_attack_is_below_the_exact_distance(measured, name):
    _, found, exact = measured
    below = found[name] < exact - TOLERANCE
    assert not below.any(), (found[name][below], exact[below])
    assert np.isfinite(found[name]).sum() >= SAMPLES - 3, "an attack that breaks nothing shows nothing"


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
