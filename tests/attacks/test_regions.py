"""Regions masked and kept. Oracles: areas counted by formula, networks that look at one region only, replay."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmark.attacks._regions import filled, region_mask, shifted_masks
from benchmark.attacks.base import attacks
from benchmark.data.base import Batch
from benchmark.errors import SpecError
from benchmark.models.wrap import Model
from benchmark.seeds import Draws
from benchmark.tasks.base import tasks
from benchmark.tasks.execute import execute

N, SIDE = 40, 16


@pytest.mark.parametrize(("height", "width"), [(16, 16), (20, 12)])
def test_areas(height, width):
    h, w = round(0.25 * height), round(0.25 * width)
    assert region_mask("border", 0.25, height, width).sum() == height * width - (height - 2 * h) * (width - 2 * w)
    assert region_mask("corners", 0.25, height, width).sum() == 4 * h * w
    assert region_mask("centre", 0.25, height, width).sum() == h * w
    corners, border = (region_mask(name, 0.25, height, width) for name in ("corners", "border"))
    assert (corners <= border).all()
    for mask in (corners, border):
        assert np.array_equal(mask, mask[::-1])
        assert np.array_equal(mask, mask[:, ::-1])


def test_fills():
    x = torch.rand(3, 2, 8, 8)
    mask = region_mask("centre", 0.5, 8, 8)
    at = torch.as_tensor(mask)
    for fill, value in (("black", 0.0), (0.25, 0.25)):
        out = filled(x, mask, fill)
        assert (out[..., at] == value).all()
        assert torch.equal(out[..., ~at], x[..., ~at])
    out = filled(x, mask, "mean")
    torch.testing.assert_close(out[1, 0, 4, 4], x[1, 0].mean())


def case():
    """Class 1 is bright in the border, and as bright in the centre: two networks, one looks at each."""
    border, centre = region_mask("border", 0.125, SIDE, SIDE), region_mask("centre", 0.25, SIDE, SIDE)
    labels = np.arange(N) % 2
    x = np.random.default_rng(0).uniform(0.1, 0.3, (N, 1, SIDE, SIDE)).astype(np.float32)
    x[:, 0] += 0.5 * labels[:, None, None] * (border | centre)
    return x, labels, {"border": border, "centre": centre}


class Looks(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", torch.as_tensor(mask))

    def forward(self, x):
        z = 50 * (x[:, 0][:, self.mask].mean(1) - 0.45)
        return torch.stack([-z, z], dim=1)


def run(use, at, **params):
    x, labels, masks = case()
    model, task, attack = Model(Looks(masks[at])), tasks.make("classification"), attacks.make(use, params)
    clean = task.clean(model, Batch(tuple(map(str, range(N))), x, labels))
    assert clean["correct"].all()
    rows, outputs = execute(
        task, attack, model, torch.as_tensor(x), torch.as_tensor(labels), clean, eps=None, generator=Draws(range(N))
    )
    assert (rows["status"] == "ok").all()
    columns = {c.name: c.values(pd.DataFrame(rows)) for c in attack.columns()}
    return columns["acc"].mean(), columns["area"], outputs.numpy(), x


def test_a_network_of_the_border_needs_it_and_it_alone():
    """Bright images turn dark to it, dark ones stay: half are right."""
    assert run("mask-region", "border")[0] == 0.5
    assert run("keep-region", "border")[0] == 1.0
    assert run("mask-region", "border", region="centre", share=0.25)[0] == 1.0


def test_a_network_of_the_centre_does_not():
    assert run("mask-region", "centre")[0] == 1.0
    assert run("keep-region", "centre")[0] == 0.5
    assert run("keep-region", "centre", region="centre", share=0.25)[0] == 1.0


@pytest.mark.parametrize("region", ["border", "corners", "centre"])
def test_the_control_fills_the_same_area_mostly_elsewhere(region):
    share = 0.125 if region != "centre" else 0.25
    _, area, out, x = run("mask-region", "centre", region=region, share=share, elsewhere=True, fill=0.9)
    mask = region_mask(region, share, SIDE, SIDE)
    assert (area == mask.mean()).all()
    changed = (out != x)[:, 0]
    assert (changed.sum((1, 2)) == mask.sum()).all()
    places = {m.tobytes() for m in changed}
    assert len(places) > 10
    overlap = (changed & mask).sum((1, 2)) / mask.sum()
    # two bands of 2 x 2 pixels cross each band of the frame: 32 of 112 pixels; the others do not touch
    assert overlap.max() <= {"border": 32 / 112, "corners": 0, "centre": 0}[region]


def test_moving_round_the_edges():
    mask = np.zeros((4, 5), bool)
    mask[3, 4] = True
    found = shifted_masks(mask, np.array([1, 2]), np.array([0, 3]))
    assert [tuple(np.argwhere(m)[0]) for m in found] == [(0, 4), (1, 2)]


@pytest.mark.parametrize("fill", [1.5, -0.1, "white"])
def test_a_fill_that_is_no_grey(fill):
    with pytest.raises(SpecError, match="fill"):
        attacks.make("mask-region", {"fill": fill})
