"""Oracles: whole-pixel shifts and right angles as array operations; the published order of the three cases."""

import numpy as np
import pytest
import torch

import benchmark
from benchmark.attacks.base import attacks
from benchmark.attacks.spatial import _views
from benchmark.data.base import Grid, datasets
from benchmark.errors import SpecError
from benchmark.seeds import Draws


def test_whole_pixels_are_shifts_and_right_angles_are_rot90():
    x = torch.rand(2, 3, 8, 8)
    right, up = _views(x, np.array([[0, 1 / 8, 0], [0, 0, -2 / 8]]))
    torch.testing.assert_close(right[:, :, 1:], x[0, :, :, :-1])
    torch.testing.assert_close(up[:, :-2], x[1, :, 2:])
    assert not right[:, :, 0].any()
    turned = _views(x, np.array([[90.0, 0, 0], [90.0, 0, 0]]))
    torch.testing.assert_close(turned, torch.rot90(x, -1, (2, 3)), atol=1e-4, rtol=0)


def test_the_grid_has_775_views_and_the_identity_first():
    grid = attacks.make("spatial-grid").grid()
    assert grid.shape == (775, 3)
    assert len(np.unique(grid, axis=0)) == 775
    assert not grid[0].any()
    with pytest.raises(SpecError, match="odd"):
        attacks.make("spatial-grid", {"rotations": 30})


def test_clean_above_worst_of_ten_above_worst_of_the_grid():
    """Engstrom et al. 2019, table 1: 99 %, 73 %, 26 % on MNIST; only the order is asserted on the digits."""
    dataset = datasets.make("digits")
    batch = dataset.load("test", dataset.index("test").ids[:60], Grid())
    model = benchmark.build_model(benchmark.load_entry("digits_cnn"))
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    found = []
    for use in ("identity", "spatial-random", "spatial-grid"):
        attack = attacks.make(use)
        done = attack.run(model, x, y, eps=None, generator=Draws(range(len(x))))
        found.append((model(done.inputs).argmax(1) == y).float().mean().item())
    assert found[0] > found[1] > found[2]


def test_early_exit_finds_what_the_whole_grid_finds():
    """Oracle: every view of every sample, without early exit."""
    dataset = datasets.make("digits")
    batch = dataset.load("test", dataset.index("test").ids[:20], Grid())
    model = benchmark.build_model(benchmark.load_entry("digits_cnn_adv"))
    x, y = torch.as_tensor(batch.inputs), torch.as_tensor(batch.labels)
    attack = attacks.make("spatial-grid", {"rotation": 10, "translation": 0.05, "rotations": 5, "translations": 3})
    right = torch.ones(len(x), dtype=torch.bool)
    for view in attack.grid():
        right &= model(_views(x, np.broadcast_to(view, (len(x), 3)))).argmax(1) == y
    done = attack.run(model, x, y, eps=None, generator=Draws(range(len(x))))
    assert ((model(done.inputs).argmax(1) == y) == right).all()
    assert 0 < right.sum() < len(x)
    assert (done.forwards[right.numpy()] == 45).all()
    assert (done.forwards <= 45).all()


def test_a_view_outside_the_bounds_is_not_admissible():
    attack = attacks.make("spatial-grid")
    params = {"angle": np.array([30.0, 31.0, 0.0]), "dx": np.array([0.1, 0.0, 0.0]), "dy": np.array([0.0, 0.0, 0.11])}
    assert attack.admissible(params, None).tolist() == [True, False, False]
