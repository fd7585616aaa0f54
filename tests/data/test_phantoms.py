"""Random heads. Oracles: closed forms (maps, noise, scale), properties (seeds, resolution), controls."""

import numpy as np
import pytest
import torch

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError, SpecError
from benchmark.mri.arrays import fft
from benchmark.mri.data.phantom import coil_maps, head, phantom
from benchmark.mri.measurement import split_sample, truth_of


def make(**params):
    return datasets.make("phantoms", params)


def as_complex(sample):
    return sample[0] + 1j * sample[1]


def test_a_batch_for_the_reconstruction_task():
    data = make()
    index = data.index("test")
    assert len(index.ids) == 200
    assert index.ids[7] == "phantom-test-0007"
    assert index.classes == ()
    assert index.labels.dtype == np.float64
    batch = data.load("test", index.ids[5:8], Grid(size=(32, 32)))
    assert batch.inputs.shape == (3, 2, 32, 32)
    assert batch.inputs.dtype == np.float32
    assert data.facts() == {"kspace": "simulated (phantoms)"}
    largest = truth_of(torch.from_numpy(batch.inputs)).norm(dim=1).amax((1, 2))
    np.testing.assert_allclose(largest, 1, rtol=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (20, 36), (33, 25)])
def test_coils(size):
    batch = make(coils=4).load("train", ["phantom-train-0003"], Grid(size=size))
    assert batch.inputs.shape == (1, 16, *size)
    inputs = torch.from_numpy(batch.inputs)
    _, maps = split_sample(inputs)
    np.testing.assert_allclose(maps.abs().square().sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(truth_of(inputs).norm(dim=1).amax(), 1, rtol=1e-5)


def test_a_phantom_does_not_depend_on_its_company():
    data, grid = make(), Grid(size=(32, 32))
    ids = ["phantom-val-0001", "phantom-val-0042"]
    alone = [data.load("val", [name], grid).inputs[0] for name in ids]
    np.testing.assert_array_equal(make(val=50, seed=0).load("val", ids, grid).inputs, np.stack(alone))


def test_splits_and_seeds_share_no_phantom():
    seeds = {
        int(raw)
        for seed in (0, 1)
        for split in ("train", "val", "test")
        for raw in make(seed=seed).read(split, [f"phantom-{split}-{i:04d}" for i in range(100)])
    }
    assert len(seeds) == 600


def test_one_head_at_every_resolution():
    """A coarse phantom is the low frequencies of a fine one; control: another seed's is not."""
    fine, coarse, other = (as_complex(phantom(seed, (n, n))) for seed, n in ((5, 128), (5, 64), (6, 64)))
    low = fft(fine)[32:96, 32:96]

    def agreement(image):
        spectrum = fft(image)
        return abs(np.vdot(low, spectrum)) / np.linalg.norm(low) / np.linalg.norm(spectrum)

    assert agreement(coarse) > 0.9999
    assert agreement(other) < 0.95


def test_noise_has_the_stated_deviation():
    """E|n|^2 = noise^2 per pixel, in units of the maximum."""
    clean, noisy = (as_complex(phantom(3, (96, 96), noise=noise)) for noise in (0.0, 0.02))
    factor = np.vdot(noisy, clean) / np.vdot(noisy, noisy)  # the noisy one is scaled by its own maximum
    found = np.sqrt(np.mean(np.abs(factor * noisy - clean) ** 2))
    np.testing.assert_allclose(found, 0.02, rtol=0.05)


def test_the_digest_follows_what_is_drawn():
    def digest(**params):
        return make(**params).index("test").digest

    assert digest() == digest(train=10) == make().index("test").digest
    assert len({digest(), digest(noise=0.01), digest(coils=2), digest(seed=1), digest(test=100)}) == 5
    assert make().index("val").digest != digest()


def test_texture_gives_total_variation_no_easy_game():
    """Share of pixels inside the head whose gradient is tiny; control: the same measure on flat ellipses."""

    def flat_share(image):
        gradient = np.hypot(*np.gradient(image))[image > 0.1]
        return np.mean(gradient < 1e-3)

    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    ellipses = 0.6 * (x**2 / 0.5 + y**2 / 0.8 < 1) + 0.4 * (x**2 / 0.1 + y**2 / 0.2 < 1)
    assert flat_share(ellipses) > 0.9
    assert max(flat_share(np.abs(head(seed, 128))) for seed in range(5)) < 0.05


def test_the_head_fills_the_picture_and_stays_inside():
    for seed in range(40):
        image = np.abs(head(seed, 64))
        assert max(image[0].max(), image[-1].max(), image[:, 0].max(), image[:, -1].max()) == 0
        assert 0.3 < np.mean(image > 0.02) < 0.75


def test_maps_are_smooth():
    maps = coil_maps(1, (64, 64), 8)
    steps = np.abs(np.diff(maps, axis=-1)).max()
    assert steps < 0.15


def test_what_cannot_be_had_is_said():
    data = make()
    with pytest.raises(DataError, match="phantom-test-0000: expected a grid with a size"):
        data.load("test", ["phantom-test-0000"], Grid())
    with pytest.raises(DataError, match="`channels`"):
        data.load("test", ["phantom-test-0000"], Grid(size=(32, 32), channels=1))
    with pytest.raises(DataError, match="'train', 'val' and 'test', not 'valid'"):
        data.index("valid")
    with pytest.raises(SpecError, match="coils"):
        make(coils=0)
