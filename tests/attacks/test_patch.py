"""The adversarial patch. Oracles: its area and place by hand, the verifier, and on real digits the random control."""

import numpy as np
import pytest
import torch

from benchmark import build_model, load_entry
from benchmark.attacks.base import attacks
from benchmark.attacks.physical import place
from benchmark.data.base import Grid, datasets
from benchmark.seeds import Draws
from tests.attacks.judging import judged, photos


@pytest.mark.parametrize("shape", ["circle", "square"])
def test_a_patch_covers_its_area_and_nothing_else(shape):
    attack = attacks.make("patch-random", {"shape": shape, "area": 0.1, "zoom": 1.0})
    x = photos(8, side=64)
    run = attack.run(None, x, None, eps=None, generator=Draws(range(8)))
    assert run.params["area"] == pytest.approx(np.full(8, 0.1), rel=0.08)
    covered = place.covered(attack.form(*x.shape[2:]), run.params, x)
    untouched = (covered == 0).expand_as(x)
    assert torch.equal(run.inputs[untouched], x[untouched])
    assert (run.inputs != x).any(1).float().mean() > 0.08


def test_a_patch_without_rotation_lies_where_its_place_says():
    attack = attacks.make("patch-random", {"shape": "square", "area": 0.0625, "zoom": 1.0})
    x = torch.zeros(3, 1, 32, 32)
    assert attack.side(32, 32) == 8
    places = {
        "x": np.array([0.0, 1.0, 0.5]),
        "y": np.array([0.0, 0.0, 1.0]),
        "zoom": np.ones(3),
        "rotation": np.zeros(3),
    }
    patch = torch.arange(64.0).view(1, 8, 8) / 64
    out = place.place(attack.form(*x.shape[2:]), x, patch, places)
    for image, rows, columns in zip(out[:, 0], (0, 0, 24), (0, 24, 12), strict=True):
        torch.testing.assert_close(image[rows : rows + 8, columns : columns + 8], patch[0], atol=1e-5, rtol=0)
        assert float(image.sum()) == pytest.approx(float(patch.sum()), abs=1e-2)


def test_on_real_digits_the_patch_beats_a_random_one_at_places_it_has_not_seen():
    model, data = build_model(load_entry("digits_cnn")), datasets.make("digits")
    known, held_out = (data.load(split, data.index(split).ids[:300], Grid()) for split in ("train", "test"))
    rates = {}
    for use, params in (("patch", {"steps": 150, "batch": 32}), ("patch-random", {})):
        attack = attacks.make(use, {"area": 0.12, "draws": 2, **params})
        x, y = torch.as_tensor(known.inputs), torch.as_tensor(known.labels)
        fitted = attack.fit(model, x, y, eps=None, generator=Draws(range(len(x)))) if attack.fits else None
        x, y = torch.as_tensor(held_out.inputs), torch.as_tensor(held_out.labels)
        parts = [judged(attack.at_view(v), model, x, y, fitted) for v in range(2)]
        assert all((part["status"] == "ok").all() for part in parts)
        rates[use] = np.mean([part["success"].mean() for part in parts])
    assert rates["patch"] > rates["patch-random"] + 0.1, rates
