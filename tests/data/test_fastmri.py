"""Files of fastMRI's layout, made from phantoms. Oracles: the pictures they were made from, fastMRI's own crop."""

import numpy as np
import pytest
import torch

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError, SpecError
from benchmark.mri.arrays import fft
from benchmark.mri.data.phantom import coil_maps, head
from benchmark.mri.measurement import truth_of

h5py = pytest.importorskip("h5py")

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>64</x><y>40</y><z>1</z></matrixSize></encodedSpace>
<reconSpace><matrixSize><x>32</x><y>32</y><z>1</z></matrixSize></reconSpace></encoding></ismrmrdHeader>"""


def make(path, **params):
    return datasets.make("fastmri", {"path": path, **params})


def picture(seed):
    """(64, 40): a head of 32x32 in the middle of an oversampled readout, maximum 1."""
    found = np.zeros((64, 40), complex)
    found[16:48, 4:36] = head(seed, 32)
    return found / np.abs(found).max()


def write(file, first=0, slices=5, coils=None, size="reconstruction", **attrs):
    file.parent.mkdir(parents=True, exist_ok=True)
    images = np.stack([picture(first + i) for i in range(slices)])
    if coils:
        images = images[:, None] * coil_maps(0, (64, 40), coils)
    with h5py.File(file, "w") as h5:
        h5["kspace"] = fft(images).astype(np.complex64)
        if size == "reconstruction":
            h5["reconstruction_rss"] = np.zeros((slices, 32, 32), np.float32)
        if size == "header":
            h5["ismrmrd_header"] = HEADER
        h5.attrs["acquisition"] = "CORPD_FBK"
        h5.attrs["max"] = 1.0
        h5.attrs.update(attrs)


@pytest.mark.parametrize("size", ["reconstruction", "header"])
def test_slices_come_back(tmp_path, size):
    write(tmp_path / "val" / "file1.h5", size=size)
    write(tmp_path / "val" / "file2.h5", first=10, size=size)
    data = make(tmp_path, slices="all")
    index = data.index("val")
    assert index.ids[:2] == ("file1-00", "file1-01")
    assert index.groups == ("file1",) * 5 + ("file2",) * 5
    batch = data.load("val", ["file2-03", "file1-00"], Grid(size=(32, 32)))
    expected = np.stack([picture(13), picture(0)])[:, 16:48, 4:36]
    np.testing.assert_allclose(batch.inputs[:, 0] + 1j * batch.inputs[:, 1], expected, atol=1e-5)
    assert data.facts() == {"kspace": "measured"}


def test_without_a_size_the_shorter_side_is_the_square(tmp_path):
    write(tmp_path / "file1.h5", size="none")
    batch = make(tmp_path).load("test", ["file1-02"], Grid())
    np.testing.assert_allclose(batch.inputs[0, 0], picture(2)[12:52].real, atol=1e-5)


def test_a_smaller_grid_is_the_central_kspace_of_the_square(tmp_path):
    write(tmp_path / "file1.h5")
    batch = make(tmp_path).load("test", ["file1-02"], Grid(size=(16, 16)))
    found = fft(batch.inputs[0, 0] + 1j * batch.inputs[0, 1])
    expected = fft(picture(2)[16:48, 4:36])[8:24, 8:24]
    np.testing.assert_allclose(found / np.abs(found).max(), expected / np.abs(expected).max(), atol=1e-5)
    with pytest.raises(DataError, match="file1-02: expected a grid of at most 32x32"):
        make(tmp_path).load("test", ["file1-02"], Grid(size=(64, 64)))


def test_several_coils(tmp_path):
    write(tmp_path / "multicoil_val" / "file1.h5", coils=4)
    data = make(tmp_path, folder="multicoil_{split}")
    batch = data.load("val", ["file1-02"], Grid(size=(32, 32)))
    assert batch.inputs.shape == (1, 16, 32, 32)
    truth = truth_of(torch.from_numpy(batch.inputs)).norm(dim=1)[0].numpy()
    expected = np.abs(picture(2)[16:48, 4:36])
    assert np.median(np.abs(truth - expected)[expected > 0.1]) < 0.01


@pytest.mark.parametrize(("slices", "chosen"), [("middle", [2]), (3, [1, 2, 3]), (2, [1, 2]), (9, [0, 1, 2, 3, 4])])
def test_which_slices(tmp_path, slices, chosen):
    write(tmp_path / "a.h5")
    assert make(tmp_path, slices=slices).index("test").ids == tuple(f"a-{i:02d}" for i in chosen)


def test_patients_acquisitions_and_coils(tmp_path):
    write(tmp_path / "a.h5", patient_id="p1")
    write(tmp_path / "b.h5", patient_id="p2", acquisition="CORPDFS_FBK")
    write(tmp_path / "c.h5", patient_id="p1", coils=2)
    assert make(tmp_path, coils=1).index("test").groups == ("p1", "p2")
    assert make(tmp_path, acquisition="CORPDFS_FBK").index("test").ids == ("b-02",)
    assert make(tmp_path, acquisition="CORPDFS_FBK").index("test").groups == ("p2",)  # one group is known as one
    with pytest.raises(DataError, match=r"expected one number of coils, got \[1, 2\] \(such as a.h5 and c.h5\)"):
        make(tmp_path).index("test")
    with pytest.raises(DataError, match="no file has acquisition = 'AXT2' and coils = 3"):
        make(tmp_path, acquisition="AXT2", coils=3).index("test")


def test_the_digest_is_over_the_chosen_slices(tmp_path):
    write(tmp_path / "one" / "a.h5")
    write(tmp_path / "two" / "a.h5", max=7.0)
    digests = [make(tmp_path / place).index("test").digest for place in ("one", "two")]
    assert digests[0] == digests[1]
    with h5py.File(tmp_path / "one" / "a.h5", "r+") as h5:
        h5["kspace"][2, 0, 0] += 1
    assert make(tmp_path / "one").index("test").digest != digests[0]


def drop(h5, name):
    del h5[name]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h5: drop(h5, "kspace"), r"a.h5: expected an array 'kspace', got reconstruction_rss"),
        (lambda h5: h5.create_dataset("mask", data=np.ones(40)), "expected fully sampled k-space, got a file with"),
        (lambda h5: h5["kspace"].write_direct(np.zeros((5, 64, 40), np.complex64)), "got zeros alone"),
        (lambda h5: h5["kspace"].__setitem__(np.s_[:, :, 11:30:2], 0), "zeros among the measured"),
        (lambda h5: (drop(h5, "kspace"), h5.create_dataset("kspace", data=np.ones((5, 64)))), r"got shape \(5, 64\)"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, change, said):
    write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as h5:
        change(h5)
    with pytest.raises(DataError, match=said):
        make(tmp_path).index("test")


def test_missing_and_broken_files_are_said(tmp_path):
    with pytest.raises(DataError, match=r"expected files \.h5 in .*, got none; .* has no folders"):
        make(tmp_path).index("test")
    with pytest.raises(DataError, match="needs a file or folder"):
        datasets.make("fastmri", {}).index("test")
    (tmp_path / "a.h5").write_bytes(b"no hdf5")
    with pytest.raises(DataError, match=r"a\.h5 cannot be read as HDF5"):
        make(tmp_path).index("test")
    write(tmp_path / "a.h5")
    with pytest.raises(DataError, match="only the split 'test'"):
        make(tmp_path).index("train")
    with pytest.raises(SpecError, match="slices"):
        make(tmp_path, slices=0)


# -- nothing is stretched ----------------------------------------------------------------------------------------------

FIELDS = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{h}</x><y>{w}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{fh}</x><y>{fw}</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{rh}</x><y>{rw}</y><z>1</z></matrixSize></reconSpace></encoding></ismrmrdHeader>"""


def disc(size, pixel=(1.0, 1.0), radius=12.0):
    """A smooth disc of that radius, in units of the pixel's sides."""
    y, x = (((np.arange(n) - n // 2) * side) for n, side in zip(size, pixel, strict=True))
    return 1 / (1 + np.exp(2 * (np.hypot(y[:, None], x[None]) - radius)))


def roundness(image):
    """Standard deviation of the energy along the rows over that along the columns: 1 for what is round."""
    energy = np.abs(image) ** 2
    y, x = (np.arange(n) - n // 2 for n in image.shape)
    return np.sqrt((energy.sum(1) * y**2).sum() / (energy.sum(0) * x**2).sum())


def fastmri_crop_size(size, window):
    """As fastMRI's UnetDataTransform has it (fastmri/data/transforms.py, "check for FLAIR 203")."""
    return (size[1], size[1]) if size[1] < window[1] else window


WINDOWS = [
    ((64, 40), (32, 32), "fits"),
    ((64, 28), (40, 40), "wider than the data"),
    ((64, 28), (80, 80), "larger than the data"),
    ((64, 64), (48, 32), "a rectangle"),
    ((40, 64), None, "none"),
]


@pytest.mark.parametrize(("size", "window", "_name"), WINDOWS, ids=[name for *_, name in WINDOWS])
def test_windows_are_fastmris_and_a_disc_stays_round(tmp_path, size, window, _name):
    image = disc(size)
    with h5py.File(tmp_path / "a.h5", "w") as h5:
        h5["kspace"] = fft(image[None]).astype(np.complex64)
        if window:
            h5["reconstruction_rss"] = np.zeros((1, *window), np.float32)
    data = make(tmp_path)
    (raw,) = data.read("test", data.index("test").ids)
    if window:
        assert raw.shape[1:] == fastmri_crop_size(size, window)
    batch = data.load("test", data.index("test").ids, Grid(size=(26, 26)))
    assert roundness(batch.inputs[0, 0] + 1j * batch.inputs[0, 1]) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("field", "window"), [((64, 64), (32, 32)), ((64, 64), (64, 64)), ((96, 40), (40, 40))])
def test_voxels_become_square(tmp_path, field, window):
    """A disc that is round in millimetres is round on the grid, whatever the voxel's sides."""
    size = (64, 40)
    pixel = (field[0] / size[0], field[1] / size[1])
    with h5py.File(tmp_path / "a.h5", "w") as h5:
        h5["kspace"] = fft(disc(size, pixel)[None]).astype(np.complex64)
        h5["ismrmrd_header"] = FIELDS.format(h=64, w=40, fh=field[0], fw=field[1], rh=window[0], rw=window[1])
    data = make(tmp_path)
    index = data.index("test")
    assert index.notes == (
        "1 file whose voxels are not square, made so by cropping k-space along the finer axis: a.h5",
    )
    batch = data.load("test", index.ids, Grid(size=(24, 24)))
    assert roundness(batch.inputs[0, 0] + 1j * batch.inputs[0, 1]) == pytest.approx(1, abs=0.02)


def test_square_voxels_of_real_headers_change_nothing(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as h5:
        h5["kspace"] = fft(disc((64, 40))[None]).astype(np.complex64)
        h5["ismrmrd_header"] = FIELDS.format(h=64, w=40, fh=28.0, fw=17.51, rh=32, rw=32)  # as rounded as fastMRI's
    data = make(tmp_path)
    assert data.index("test").notes == ()
    np.testing.assert_allclose(data.load("test", ["a-00"], Grid()).inputs[0, 0], disc((64, 40))[16:48, 4:36], atol=1e-4)


def test_one_unreadable_file_costs_its_chunk(tmp_path):
    for name in "abc":
        write(tmp_path / f"{name}.h5", first=ord(name))
    before = make(tmp_path).index("test")
    (tmp_path / "b.h5").write_bytes((tmp_path / "b.h5").read_bytes()[:500])
    data = make(tmp_path)
    index = data.index("test")
    assert index.ids == ("a-02", "b-0", "c-02")
    assert index.notes == ("1 file that cannot be read, whose chunks fail: b.h5",)
    assert index.digest != before.digest
    assert len(data.load("test", ["a-02", "c-02"], Grid())) == 2
    with pytest.raises(DataError, match=r"b\.h5 cannot be read as HDF5"):
        data.load("test", index.ids, Grid())
