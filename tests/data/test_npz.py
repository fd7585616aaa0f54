"""Arrays in .npz files. Oracles: round trips, and the raw arrays of a real set."""

import numpy as np
import pytest

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError, SpecError


def make(path, **params):
    return datasets.make("npz", {"path": path, **params})


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "x_test": rng.integers(0, 256, (7, 6, 5, 3), np.uint8),
        "y_test": rng.integers(0, 3, 7),
        "ids_test": np.array([f"img{i}" for i in range(7)]),
        "groups_test": np.array(list("aabbccc")),
        "masks_test": rng.random((7, 6, 5)) > 0.5,
        "x_train": rng.random((4, 6, 5)).astype(np.float32),
        "y_train": np.array([0, 1, 2, 3]),
        "classes": np.array(["n", "e", "s", "w"]),
    }


def test_round_trip_with_names_groups_masks_and_classes(tmp_path, arrays):
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    data = make(tmp_path / "a.npz")
    index = data.index("test")
    assert index.ids == tuple(arrays["ids_test"])
    assert index.groups == tuple("aabbccc")
    assert index.classes == ("n", "e", "s", "w")
    batch = data.load("test", index.ids[2:5], Grid(), masks=True)
    assert np.array_equal(np.rint(batch.inputs * 255).transpose(0, 2, 3, 1), arrays["x_test"][2:5])
    assert np.array_equal(batch.masks[:, 0], arrays["masks_test"][2:5])
    assert np.array_equal(batch.labels, arrays["y_test"][2:5])
    assert data.index("train").ids == ("train-0000", "train-0001", "train-0002", "train-0003")
    assert data.index("train").classes == index.classes


def test_channels_first_reads_as_channels_last(tmp_path, arrays):
    np.savez(tmp_path / "last.npz", x_test=arrays["x_test"], y_test=arrays["y_test"])
    np.savez(tmp_path / "first.npz", x_test=arrays["x_test"].transpose(0, 3, 1, 2), y_test=arrays["y_test"])
    loaded = [make(tmp_path / f"{n}.npz").load("test", ["test-0003"], Grid()).inputs for n in ("last", "first")]
    assert np.array_equal(*loaded)


def test_a_file_written_again_is_read_again(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", x_test=arrays["x_test"], y_test=arrays["y_test"])
    before = make(tmp_path / "a.npz").index("test").digest
    np.savez(tmp_path / "a.npz", x_test=255 - arrays["x_test"], y_test=arrays["y_test"])
    data = make(tmp_path / "a.npz")
    assert data.index("test").digest != before
    assert np.array_equal(data.read("test", ["test-0000"])[0], 255 - arrays["x_test"][0])


def test_own_keys_and_one_split(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", pictures=arrays["x_test"], target=arrays["y_test"] + 0.5)
    data = make(tmp_path / "a.npz", x="pictures", y="target")
    index = data.index("test")
    assert index.classes == ()
    assert index.labels.dtype == np.float64
    with pytest.raises(DataError, match="only the split 'test'"):
        data.index("train")
    with pytest.raises(SpecError, match="both contain"):
        make(tmp_path / "a.npz", x="pictures")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x_test": None}, "has no array 'x_test', it has y_test"),
        ({"x_test": np.zeros((7, 4))}, "expected images"),
        ({"y_test": np.zeros(6, int)}, "expected 7 numbers as labels"),
        ({"masks_test": np.zeros((6, 6, 5), bool)}, "7 images, but an array of 6"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, arrays, change, said):
    content = {"x_test": arrays["x_test"], "y_test": arrays["y_test"], **change}
    np.savez(tmp_path / "a.npz", **{k: v for k, v in content.items() if v is not None})
    with pytest.raises(DataError, match=said):
        make(tmp_path / "a.npz").index("test")


def test_missing_and_truncated_files_are_said(tmp_path, arrays):
    with pytest.raises(DataError, match="does not exist"):
        make(tmp_path / "a.npz").index("test")
    np.savez(tmp_path / "a.npz", **arrays)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:500])
    with pytest.raises(DataError, match=r"no \.npz file or is truncated"):
        make(tmp_path / "a.npz").index("test")


def test_real_cifar(real_data):
    file = real_data("cifar10_subset/cifar10_lossless.npz")
    data = make(file)
    index = data.index("test")
    assert len(index.ids) == 846
    assert index.classes[0] == "airplane"
    with np.load(file) as archive:
        raw = archive["x_test"][[3, 700]]
    batch = data.load("test", ["test-0003", "test-0700"], Grid())
    assert np.array_equal(batch.inputs, raw.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))
