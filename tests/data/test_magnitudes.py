"""Magnitude images as k-space again. Oracles: closed forms (waves, round bodies), orientation, the raw real arrays."""

import numpy as np
import pytest

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError
from benchmark.mri.data.magnitudes import pad_to_shape, square_pixels

nibabel = pytest.importorskip("nibabel")


def npy(path, **params):
    return datasets.make("npy", {"path": path, **params})


def nifti(path, **params):
    return datasets.make("nifti", {"path": path, **params})


def as_complex(batch):
    return batch.inputs[:, 0] + 1j * batch.inputs[:, 1]


def bumps(size):
    """Not negative, fewer than 4 cycles: it has the same values on any grid."""
    y, x = (((np.arange(n) - n // 2) / n) for n in size)
    return 3 + np.cos(2 * np.pi * (3 * y[:, None] + 0.1)) + np.sin(2 * np.pi * 2 * x[None, :])


def roundness(image):
    """Standard deviation of the energy along the rows over that along the columns: 1 for what is round."""
    energy = np.abs(image) ** 2
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]

    def spread(where):
        mean = np.average(where, weights=energy)
        return np.sqrt(np.average((where - mean) ** 2, weights=energy))

    return spread(y) / spread(x)


def ball(size, spacing=(1, 1, 1), centre=(0, 0, 0), radius=10.0):
    axes = [(np.arange(n) - n // 2) * s - c for n, s, c in zip(size, spacing, centre, strict=True)]
    r = np.sqrt(sum(np.square(a) for a in np.meshgrid(*axes, indexing="ij")))
    return np.clip(radius - r, 0, 2).astype(np.float32)


def save(file, values, affine=None):
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), file)


# -- what both share -----------------------------------------------------------------------------------------------


def test_a_real_image_gets_coarser_and_no_more(tmp_path):
    np.save(tmp_path / "a.npy", bumps((48, 48)))
    data = npy(tmp_path / "a.npy", phase=False)
    assert data.index("test").ids == ("a",)
    loaded = as_complex(data.load("test", ["a"], Grid(size=(16, 16))))[0]
    np.testing.assert_allclose(loaded, bumps((16, 16)) / bumps((16, 16)).max(), atol=1e-6)
    assert data.facts() == {"kspace": "simulated k-space"}


def test_the_phase_is_smooth_the_samples_own_and_leaves_the_magnitude(tmp_path):
    np.save(tmp_path / "a.npy", np.stack([bumps((32, 32))] * 2))
    data = npy(tmp_path / "a.npy")
    loaded = as_complex(data.load("test", ["a-000", "a-001"], Grid()))
    np.testing.assert_allclose(np.abs(loaded[0]), bumps((32, 32)) / bumps((32, 32)).max(), atol=1e-6)
    phases = np.unwrap(np.unwrap(np.angle(loaded), axis=1), axis=2)
    assert phases.std(axis=(1, 2)).min() > 0.05
    assert np.abs(np.diff(phases, axis=1)).max() < 0.3
    assert np.abs(phases[0] - phases[1]).max() > 0.3
    np.testing.assert_array_equal(as_complex(npy(tmp_path / "a.npy").load("test", ["a-001"], Grid()))[0], loaded[1])


def test_nothing_is_stretched():
    """A disc in a tall image stays round on a square grid; control: without the padding it does not."""
    disc = ball((60, 36, 1))[:, :, 0]
    padded = pad_to_shape(disc, (32, 32))
    assert padded.shape == (60, 60)
    assert roundness(padded) == pytest.approx(1, abs=1e-6)
    assert padded[:, 12:48].sum() == disc.sum()
    assert pad_to_shape(disc, (20, 12)).shape == disc.shape
    assert pad_to_shape(disc, (10, 20)).shape == (60, 120)


def test_pixels_become_square():
    tall = ball((48, 48, 1), spacing=(1, 0.5, 1))[:, :, 0]
    assert roundness(tall) == pytest.approx(0.5, abs=0.02)
    squared = square_pixels(tall, (1.0, 0.5))
    assert squared.shape == (48, 24)
    assert roundness(squared) == pytest.approx(1, abs=0.02)


def test_several_files_are_groups(tmp_path):
    (tmp_path / "val").mkdir()
    for name in ("a", "b"):
        np.save(tmp_path / "val" / f"{name}.npy", np.stack([bumps((16, 16))] * 2).astype(np.float32))
    index = npy(tmp_path).index("val")
    assert index.ids == ("a-000", "a-001", "b-000", "b-001")
    assert index.groups == ("a", "a", "b", "b")
    assert npy(tmp_path / "val" / "a.npy").index("test").groups == ("a", "a")  # one volume is known as one


def test_the_digest_follows_values_and_meaning(tmp_path):
    np.save(tmp_path / "a.npy", bumps((16, 16)))
    first = npy(tmp_path / "a.npy").index("test").digest
    assert npy(tmp_path / "a.npy", phase=False).index("test").digest != first
    np.save(tmp_path / "a.npy", bumps((16, 16)) ** 2)
    assert npy(tmp_path / "a.npy").index("test").digest != first


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.ones((4, 4), complex), r"expected real magnitudes .* use the dataset kspace-npz"),
        (np.ones(4), r"got shape \(4,\)"),
        (np.full((4, 4), np.nan), "expected magnitudes, finite and not negative"),
        (bumps((8, 8)) - 3, "got values from -"),
        (np.zeros((4, 4)), "no samples found"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=said):
        npy(tmp_path / "a.npy").index("test")


def test_grids_and_files_that_do_not_fit_are_said(tmp_path):
    np.save(tmp_path / "a.npy", bumps((16, 16)))
    with pytest.raises(DataError, match="a: expected a grid of at most 16x16"):
        npy(tmp_path / "a.npy").load("test", ["a"], Grid(size=(32, 32)))
    with pytest.raises(DataError, match="does not exist or is no file or folder"):
        npy(tmp_path / "b.npy").index("test")
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:300])
    with pytest.raises(DataError, match=r"cannot be read as \.npy"):
        npy(tmp_path / "a.npy").index("test")


# -- volumes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axis", "slice_", "up", "left"), [("axial", 24, 10, 8), ("coronal", 32, 6, 8), ("sagittal", 28, 6, 10)]
)
def test_right_is_left_and_anterior_or_superior_is_up(tmp_path, axis, slice_, up, left):
    """A ball 8 to the right, 10 in front and 6 above, of one volume stored in two orientations."""
    values = ball((40, 44, 36), centre=(8, 10, 6), radius=5)
    save(tmp_path / "ras.nii", values)
    save(tmp_path / "lps.nii.gz", values[::-1, ::-1], np.diag([-1, -1, 1, 1]))
    data = nifti(tmp_path, axis=axis, slices="all", phase=False)
    assert len(data.index("test").ids) == 18  # the empty slices of both volumes are left out
    ras, lps = data.load("test", [f"ras-{slice_:03d}", f"lps-{slice_:03d}"], Grid()).inputs[:, 0]
    np.testing.assert_array_equal(ras, lps)
    rows, columns = np.nonzero(ras > 0.1)
    height, width = ras.shape
    assert rows.mean() == pytest.approx(height - 1 - (height // 2 + up), abs=0.01)
    assert columns.mean() == pytest.approx(width - 1 - (width // 2 + left), abs=0.01)


def test_voxels_that_are_no_cubes(tmp_path):
    save(tmp_path / "a.nii", ball((40, 40, 16), spacing=(1, 1, 2.5), radius=14), np.diag([1, 1, 2.5, 1]))
    data = nifti(tmp_path / "a.nii", axis="coronal")
    batch = data.load("test", data.index("test").ids, Grid(size=(16, 16)))
    assert roundness(as_complex(batch)[0]) == pytest.approx(1, abs=0.03)


def test_slices_of_a_volume(tmp_path):
    save(tmp_path / "a.nii", ball((20, 20, 20)))
    assert nifti(tmp_path / "a.nii").index("test").ids == ("a-010",)
    assert nifti(tmp_path / "a.nii", slices=3).index("test").ids == ("a-009", "a-010", "a-011")


def test_broken_volumes_are_said(tmp_path):
    save(tmp_path / "a.nii", np.zeros((4, 4, 4, 2), np.float32))
    with pytest.raises(DataError, match=r"expected a volume of 3 axes, got shape \(4, 4, 4, 2\)"):
        nifti(tmp_path / "a.nii").index("test")
    save(tmp_path / "b.nii.gz", ball((20, 20, 20)))
    (tmp_path / "b.nii.gz").write_bytes((tmp_path / "b.nii.gz").read_bytes()[:400])
    with pytest.raises(DataError, match=r"b\.nii\.gz cannot be read as NIfTI"):
        nifti(tmp_path / "b.nii.gz").index("test")
    (tmp_path / "c.nii").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"c\.nii cannot be read as NIfTI"):
        nifti(tmp_path / "c.nii").index("test")


def test_real_images(real_data):
    folder = real_data("mri")
    data = npy(folder / "dipy_t1_coronal_slice.npy")
    loaded = as_complex(data.load("test", ["dipy_t1_coronal_slice"], Grid()))[0]
    raw = np.load(folder / "dipy_t1_coronal_slice.npy")
    np.testing.assert_allclose(np.abs(loaded), raw / raw.max(), atol=1e-5)
    volume = nifti(folder / "mni_icbm152_t1_1mm.nii.gz", slices=60)
    index = volume.index("test")
    assert len(index.ids) == 60
    batch = volume.load("test", index.ids[:2], Grid(size=(96, 96)))
    assert batch.inputs.shape == (2, 2, 96, 96)
    np.testing.assert_allclose(np.abs(as_complex(batch)).max((1, 2)), 1, rtol=1e-5)
