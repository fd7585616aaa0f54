"""Raw k-space in .npz files. Oracles: round trips through known images, conventions of the FFT, a real acquisition."""

import numpy as np
import pytest
import torch

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError
from benchmark.mri.arrays import fft
from benchmark.mri.data.phantom import coil_maps, head
from benchmark.mri.measurement import truth_of


def make(path, **params):
    return datasets.make("kspace-npz", {"path": path, **params})


@pytest.fixture(scope="module")
def images():
    """(3, 2, 32, 32), each of maximum 1."""
    found = np.stack([[head(10 * i + j, 32) for j in range(2)] for i in range(3)])
    return found / np.abs(found).max(axis=(-2, -1), keepdims=True)


def as_complex(batch):
    return batch.inputs[:, 0] + 1j * batch.inputs[:, 1]


def test_images_come_back(tmp_path, images):
    np.savez(tmp_path / "a.npz", kspace=fft(images).astype(np.complex64))
    data = make(tmp_path / "a.npz", groups=1)
    index = data.index("test")
    assert index.ids == ("0-0", "0-1", "1-0", "1-1", "2-0", "2-1")
    assert index.groups == ("0", "1", "0", "1", "0", "1")
    assert make(tmp_path / "a.npz").index("test").groups is None
    np.testing.assert_allclose(as_complex(data.load("test", ["2-1", "0-1"], Grid())), images[[2, 0], 1], atol=1e-5)
    assert data.facts() == {"kspace": "measured"}


@pytest.mark.parametrize(
    ("kspace", "params"),
    [
        (np.fft.fft2, {}),
        (np.fft.fft2, {"centred": False}),
        (lambda image: np.fft.fftshift(np.fft.fft2(image), axes=(-2, -1)), {"swap": True}),
        (fft, {"centred": True}),
    ],
)
def test_conventions_of_the_fft(tmp_path, images, kspace, params):
    np.savez(tmp_path / "a.npz", kspace=kspace(images))
    loaded = as_complex(make(tmp_path / "a.npz", **params).load("test", ["1-0"], Grid()))
    np.testing.assert_allclose(loaded[0], images[1, 0], atol=1e-6)


def test_a_centre_that_is_not_sure_is_asked_for(tmp_path, images):
    np.savez(tmp_path / "a.npz", kspace=np.fft.fftshift(np.fft.fft2(images), axes=-1))
    with pytest.raises(DataError, match="say with the parameter centred"):
        make(tmp_path / "a.npz").index("test")


def test_a_smaller_grid_is_the_central_kspace(tmp_path, images):
    np.savez(tmp_path / "a.npz", kspace=fft(images))
    loaded = as_complex(make(tmp_path / "a.npz").load("test", ["0-0"], Grid(size=(16, 16))))[0]
    expected = fft(images[0, 0])[8:24, 8:24]
    found = fft(loaded)
    np.testing.assert_allclose(found / np.abs(found).max(), expected / np.abs(expected).max(), atol=1e-6)
    assert np.abs(loaded).max() == pytest.approx(1)
    with pytest.raises(DataError, match="0-0: expected a grid of at most 32x32"):
        make(tmp_path / "a.npz").load("test", ["0-0"], Grid(size=(64, 64)))


def test_coils(tmp_path, images):
    """Control in the test of ESPIRiT itself; here the truth's magnitude is the image's."""
    coils = fft(images[:, 0, None] * coil_maps(1, (32, 32), 4))  # (3, 4, 32, 32)
    np.savez(tmp_path / "a.npz", kspace=coils.transpose(1, 0, 2, 3))
    data = make(tmp_path / "a.npz", coil_axis=0)
    assert data.index("test").ids == ("0", "1", "2")
    batch = data.load("test", ["1"], Grid())
    assert batch.inputs.shape == (1, 16, 32, 32)
    truth = truth_of(torch.from_numpy(batch.inputs)).norm(dim=1)[0].numpy()
    inside = np.abs(images[1, 0]) > 0.1
    assert np.median(np.abs(truth - np.abs(images[1, 0]))[inside]) < 0.01


def test_splits_keys_and_single_images(tmp_path, images):
    np.savez(tmp_path / "a.npz", k_val=fft(images[0, 0]), k_test=fft(images[0]))
    data = make(tmp_path / "a.npz", key="k_{split}")
    assert data.index("val").ids == ("0",)
    assert data.index("test").ids == ("0", "1")
    with pytest.raises(DataError, match="has no array 'k_train', it has k_val, k_test"):
        data.index("train")
    with pytest.raises(DataError, match="only the split 'test'"):
        make(tmp_path / "a.npz", key="k_val").index("val")


def test_the_digest_follows_values_and_meaning(tmp_path, images):
    np.savez(tmp_path / "a.npz", kspace=fft(images))
    first = make(tmp_path / "a.npz").index("test").digest
    assert make(tmp_path / "a.npz", swap=True).index("test").digest != first
    np.savez(tmp_path / "b.npz", kspace=fft(images))
    assert make(tmp_path / "b.npz").index("test").digest == first
    np.savez(tmp_path / "b.npz", kspace=2 * fft(images))
    assert make(tmp_path / "b.npz").index("test").digest != first


@pytest.mark.parametrize(
    ("change", "params", "said"),
    [
        (np.abs, {}, "expected complex k-space .* type float64"),
        (lambda k: k[0, 0, 0], {}, r"of shape \(32,\)"),
        (lambda k: k, {"coil_axis": 2}, "expected coil_axis to be one of the leading axes"),
        (lambda k: k, {"coil_axis": 1, "groups": 1}, "expected groups to be one of"),
        (lambda k: k * (np.arange(32) % 2 == 0), {}, "undersampled acquisition cannot serve as truth"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, images, change, params, said):
    np.savez(tmp_path / "a.npz", kspace=change(fft(images)))
    with pytest.raises(DataError, match=said):
        make(tmp_path / "a.npz", **params).index("test")


def test_a_broken_sample_is_named(tmp_path, images):
    kspace = fft(images)
    kspace[1, 1, 3, 3] = np.nan
    np.savez(tmp_path / "a.npz", kspace=kspace)
    data = make(tmp_path / "a.npz")
    data.load("test", ["1-0"], Grid())
    with pytest.raises(DataError, match="1-1: expected finite k-space"):
        data.load("test", ["1-1"], Grid())


def test_real_acquisition(real_data):
    """The specimen lies in the middle of the picture: its energy is in the central half, not in the corners."""
    data = make(real_data("mri/agilent_sems_20190407_07_kspace.npz"), groups=1)
    index = data.index("test")
    assert len(index.ids) == 24
    assert index.ids[-1] == "11-1"
    assert set(index.groups) == {"0", "1"}
    batch = data.load("test", ["03-1", "11-0"], Grid(size=(64, 64)))
    energy = np.square(batch.inputs).sum(1)
    assert (energy[:, 16:48].sum((1, 2)) / energy.sum((1, 2)) > 0.9).all()
    np.testing.assert_allclose(energy.max((1, 2)), 1, rtol=1e-5)


def bump(size, pixel=(1.0, 1.0)):
    y, x = (((np.arange(n) - n // 2) * side) for n, side in zip(size, pixel, strict=True))
    return np.exp(-(y[:, None] ** 2 + x[None] ** 2) / 60)


@pytest.mark.parametrize(
    ("size", "pixel", "grid"),
    [
        ((64, 32), (1, 1), (32, 32)),
        ((32, 64), (1, 1), (24, 24)),
        ((64, 64), (1, 1), (32, 48)),
        ((64, 32), (1, 2), (32, 32)),
    ],
)
def test_nothing_is_stretched(tmp_path, size, pixel, grid):
    """Closed form: a round bump keeps equal second moments, whatever the shapes of data and grid."""
    np.savez(tmp_path / "a.npz", kspace=fft(bump(size, pixel)))
    data = make(tmp_path / "a.npz", pixel=pixel)
    energy = np.abs(as_complex(data.load("test", data.index("test").ids, Grid(size=grid)))[0]) ** 2
    y, x = (np.arange(n) - n // 2 for n in grid)
    assert (energy.sum(1) * y**2).sum() / (energy.sum(0) * x**2).sum() == pytest.approx(1, abs=0.02)


def test_square_data_on_a_square_grid_are_cropped_to_the_bit(tmp_path, images):
    from benchmark.mri.arrays import ifft
    from benchmark.mri.data.kspace import as_sample

    np.savez(tmp_path / "a.npz", kspace=fft(images[0, :1]))
    loaded = make(tmp_path / "a.npz").load("test", ["0"], Grid(size=(16, 16))).inputs[0]
    assert np.array_equal(loaded, as_sample(ifft(fft(images[0, :1])[:, 8:24, 8:24])))


@pytest.mark.parametrize("shape", [(1, 8, 32, 32), (3, 8, 32, 32), (1, 2, 32, 32), (2, 1, 4, 32, 32)])
def test_what_may_be_coils_is_asked_about(tmp_path, images, shape):
    values = np.broadcast_to(images[0, 0], shape)
    np.savez(tmp_path / "a.npz", kspace=fft(values))
    axis = len(shape) - 3
    with pytest.raises(DataError, match=rf"axis {axis} may be {shape[axis]} coils or .*coil_axis = \"none\""):
        make(tmp_path / "a.npz").index("test")
    assert len(make(tmp_path / "a.npz", coil_axis="none").index("test").ids) == np.prod(shape[:-2])
    assert len(make(tmp_path / "a.npz", coil_axis=axis).index("test").ids) == np.prod(shape[:axis])


def test_fit_and_range_are_no_words_of_kspace(tmp_path, images):
    np.savez(tmp_path / "a.npz", kspace=fft(images))
    for grid in (Grid(fit="pad"), Grid(range=255)):
        with pytest.raises(DataError, match=r"expected no `(fit|range)`"):
            make(tmp_path / "a.npz").load("test", ["0-0"], grid)


@pytest.mark.parametrize("dtype", ["<c8", ">c8", ">c16"])
def test_any_complex_type_and_byte_order(tmp_path, images, dtype):
    np.savez(tmp_path / "a.npz", kspace=fft(images).astype(dtype))
    data = make(tmp_path / "a.npz")
    np.testing.assert_allclose(as_complex(data.load("test", ["2-1"], Grid()))[0], images[2, 1], atol=1e-5)
    coils = fft(images[:, 0, None] * coil_maps(1, (32, 32), 4)).astype(dtype)
    np.savez(tmp_path / "b.npz", kspace=coils)
    assert make(tmp_path / "b.npz", coil_axis=1).load("test", ["0"], Grid()).inputs.shape == (1, 16, 32, 32)
