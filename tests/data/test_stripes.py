"""Stripes. Oracles: the generator's formula bit by bit, closed forms of means and shares, properties of splits."""

import numpy as np
import pytest

from benchmark.data.base import Grid, datasets
from benchmark.data.synthetic import stripe_patterns as made
from benchmark.errors import DataError


def load(split="test", **params):
    data = datasets.make("stripes", {"train": 400, "val": 40, "test": 80, **params})
    return data, data.load(split, data.index(split).ids, Grid(), masks=True)


def test_masks_say_where_the_stripe_and_the_shades_are():
    """Taking both patterns away leaves the background, which lies in its bounds and is integer in levels."""
    _, batch = load()
    assert batch.masks.sum((1, 2, 3)).tolist() == [made.WIDTH * made.SIZE] * 80
    assert (batch.artefacts.sum((1, 2, 3)) == 4 * made.CORNER**2).all()
    shades = made.shades()[batch.labels]
    assert (shades <= batch.artefacts[:, 0]).all()
    levels = batch.inputs[:, 0] * made.LEVELS - made.STRIPE * batch.masks[:, 0] - made.SHADE * shades
    assert np.array_equal(levels, np.rint(levels))
    assert (levels.min(), levels.max()) == (made.BASE - made.NOISE, made.BASE + made.NOISE)
    assert 0 < batch.inputs.min() < batch.inputs.max() < 1


def test_every_direction_has_as_many_pixels_and_a_flat_mean():
    """So that no linear function of the image sees the direction: the mean over places is constant, 2/16."""
    stripes = made.stripes()
    assert (stripes.sum((2, 3)) == 32).all()
    assert (stripes.mean(1) == 2 / 16).all()
    assert len({mask.tobytes() for mask in stripes.reshape(-1, 16, 16)}) == 64


def test_exchanging_the_false_structure_is_the_image_with_the_other_shade_bit_by_bit():
    data, batch = load()
    structures = data.structures("test", Grid())
    other = (batch.labels + 1) % 4
    exchanged = batch.inputs + structures.exchange(batch.labels, other)
    gone = batch.inputs + structures.exchange(batch.labels, np.full(80, -1))
    for i, label in enumerate(batch.labels):
        background, place, *_ = made.drawn(0, "test", i)
        true = made.stripes()[label, place]
        assert np.array_equal(exchanged[i, 0], made.image(background, true, made.shades()[other[i]]))
        assert np.array_equal(gone[i, 0], made.image(background, true, np.zeros((16, 16), bool)))


@pytest.mark.parametrize("grid", [Grid(size=24), Grid(size=8, channels=3)])
def test_structures_follow_the_images_onto_the_grid(grid):
    """Resizing is linear: the image of the sum is the sum of the images."""
    data, _ = load()
    ids = data.index("test").ids[:12]
    batch, structures = data.load("test", ids, grid), data.structures("test", grid)
    other = (batch.labels + 2) % 4
    raw = []
    for i in range(12):
        background, place, *_ = made.drawn(0, "test", i)
        raw.append(made.image(background, made.stripes()[batch.labels[i], place], made.shades()[other[i]]))
    expected = np.stack([data.place(image, grid, "x") for image in raw])
    np.testing.assert_allclose(batch.inputs + structures.exchange(batch.labels, other), expected, atol=2e-7)


@pytest.mark.parametrize(("rate", "expected"), [(1.0, 1.0), (0.25, 0.25), (0.0, 0.0)])
def test_share_of_training_images_whose_shade_agrees(rate, expected):
    """Within 4 standard errors of a binomial share; where the rate is 0.25 every shade is as likely in every class."""
    _, batch = load("train", rate=rate, train=2000)
    corners = np.stack([batch.inputs[:, 0][:, shade].mean(1) for shade in made.shades()], axis=1)
    shade = corners.argmax(1)  # a mean of nine pixels: noise 0.024, a stripe may cover some
    background = [made.drawn(0, "train", i) for i in range(2000)]
    exact = [
        label if chance < rate else (label + step) % 4
        for label, (_, _, chance, step) in zip(batch.labels, background, strict=True)
    ]
    assert (shade == exact).mean() > 0.75
    agrees = (np.array(exact) == batch.labels).mean()
    assert abs(agrees - expected) <= 4 * np.sqrt(expected * (1 - expected) / 2000)
    if rate == 0.25:
        table = np.zeros((4, 4))
        np.add.at(table, (batch.labels, exact), 1)
        assert np.abs(table / 500 - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 500)


def test_the_basis_spans_class_differences_and_nothing_else():
    """Ranks: three differences of four shades; stripes of four directions share only their common mean."""
    structures = load()[0].structures("test", Grid())
    for which, patterns in (("true", structures.true), ("false", structures.false[:, None])):
        basis = structures.basis(which)
        np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-12)
        flat = patterns.reshape(4, -1, 256).astype(float)
        pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
        differences = np.concatenate([(flat[i][:, None] - flat[j][None]).reshape(-1, 256) for i, j in pairs])
        assert np.linalg.matrix_rank(differences) == len(basis)
        np.testing.assert_allclose(differences @ basis.T @ basis, differences, atol=1e-9)
    assert len(structures.basis("false")) == 3


def test_splits_are_disjoint_seeded_and_checked():
    data, batch = load()
    assert np.array_equal(load()[1].inputs, batch.inputs)
    pixels = {image.tobytes() for split in ("train", "val", "test") for image in load(split)[1].inputs}
    assert len(pixels) == 400 + 40 + 80
    digests = {load(split, **p)[0].index(split).digest for split in ("train", "test") for p in ({}, {"seed": 1})}
    assert len(digests) == 4
    assert data.structures("train", Grid()) is None
    with pytest.raises(DataError, match="'train', 'val' and 'test', not 'dev'"):
        data.index("dev")
