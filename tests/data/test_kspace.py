"""Pieces in k-space. Oracles: the task's own FFT, closed form (a band-limited image), ESPIRiT against known maps."""

import numpy as np
import pytest
import torch

from benchmark.errors import DataError
from benchmark.mri import measurement
from benchmark.mri.arrays import fft, ifft
from benchmark.mri.data.coils import espirit_maps
from benchmark.mri.data.kspace import as_sample, centre_crop, check_full, lower
from benchmark.mri.data.phantom import coil_maps, head


@pytest.mark.parametrize("size", [(8, 8), (9, 6), (5, 7)])
def test_the_fft_is_the_tasks(size):
    rng = np.random.default_rng(0)
    image = rng.standard_normal((3, *size)) + 1j * rng.standard_normal((3, *size))
    np.testing.assert_allclose(fft(image), measurement.fft(torch.from_numpy(image)).numpy(), atol=1e-12)
    np.testing.assert_allclose(ifft(fft(image)), image, atol=1e-12)


def waves(size, limit=5):
    """A sum of waves of fewer than ``limit`` cycles, sampled at any size: the origin is pixel (H // 2, W // 2)."""
    rng = np.random.default_rng(1)
    y, x = (((np.arange(n) - n // 2) / n) for n in size)
    found = np.zeros(size, complex)
    for u in range(1 - limit, limit):
        for v in range(1 - limit, limit):
            amplitude = rng.standard_normal() + 1j * rng.standard_normal()
            found += amplitude * np.exp(2j * np.pi * (u * y[:, None] + v * x[None, :]))
    return found


@pytest.mark.parametrize(("size", "to"), [((32, 32), (16, 16)), ((33, 30), (11, 12)), ((20, 32), (15, 10))])
def test_a_band_limited_image_only_gets_coarser(size, to):
    np.testing.assert_allclose(lower(waves(size), to), waves(to), atol=1e-12)


def test_a_crop_is_no_bandlimit_by_accident():
    """Control: with waves that the crop removes, the images differ."""
    assert np.abs(lower(waves((32, 32), 9), (16, 16)) - waves((16, 16), 9)).max() > 0.1


def test_crops_only():
    array = np.arange(30).reshape(5, 6)
    np.testing.assert_array_equal(centre_crop(array, (3, 2)), array[1:4, 2:4])
    with pytest.raises(DataError, match="at most 5x6, the size of the data, got 6x6"):
        centre_crop(array, (6, 6))


def test_samples_are_what_the_task_splits():
    rng = np.random.default_rng(2)
    truth = rng.standard_normal((6, 5)) + 1j * rng.standard_normal((6, 5))
    maps = coil_maps(0, (6, 5), 3)
    coils, found = measurement.split_sample(torch.from_numpy(as_sample(maps * truth, maps))[None])
    scale = np.abs(truth).max()
    np.testing.assert_allclose(coils[0], maps * truth / scale, atol=1e-6)
    np.testing.assert_allclose(found[0], maps, atol=1e-6)
    with pytest.raises(DataError, match="not all 0"):
        as_sample(np.zeros((1, 4, 4), complex))


def test_undersampled_kspace_is_refused():
    measured = np.zeros((16, 16), bool)
    measured[:, 3:13] = True
    check_full(measured, "x")  # zeros outside what was measured
    measured[:, 5:12:2] = False
    with pytest.raises(DataError, match=r"x: expected fully sampled k-space, got 40% zeros"):
        check_full(measured, "x")
    with pytest.raises(DataError, match="zeros alone"):
        check_full(np.zeros((4, 4), bool), "x")


def test_espirit_finds_the_maps_of_a_phantom():
    """Up to a phase at each pixel, which no method can know; outside the head only the norm is asked."""
    true, picture = coil_maps(4, (48, 48), 4), head(4, 48)
    maps = espirit_maps(fft(true * picture))
    np.testing.assert_allclose(np.square(np.abs(maps)).sum(0), 1, rtol=1e-5)
    agreement = np.abs((maps.conj() * true).sum(0))[np.abs(picture) > 0.1]
    assert np.quantile(agreement, 0.05) > 0.98
    flat = np.full_like(true, 0.5)  # control: maps that know nothing
    assert np.mean(np.abs((flat.conj() * true).sum(0))[np.abs(picture) > 0.1]) < 0.8


def test_espirit_is_kept(monkeypatch):
    kspace = fft(coil_maps(4, (24, 24), 2) * head(4, 24))
    first = espirit_maps(kspace)
    monkeypatch.setattr("benchmark.mri.data.coils._estimate", None)
    np.testing.assert_array_equal(espirit_maps(kspace), first)
