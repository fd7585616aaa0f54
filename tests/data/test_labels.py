"""Types at the door. Oracles: the integers that were stored in each type; the first bad value is named."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmark.data.base import Grid, datasets
from benchmark.data.grid import scaled
from benchmark.data.reading.labels import class_labels, whole_texts
from benchmark.errors import DataError

WHOLE = [0, 3, 1, 2]
TYPES = ["u1", "i1", ">i2", "<u4", "i8", "u8", ">f4", "f2", "f8", "U3", "S3", "O"]


@pytest.mark.parametrize("dtype", TYPES)
def test_whole_numbers_of_any_type_are_cast(dtype):
    for shape in ((4,), (4, 1)):
        found = class_labels(np.array(WHOLE).astype(dtype).reshape(shape), "x")
        assert (found.dtype, found.tolist()) == (np.int64, WHOLE)
    assert class_labels(np.array([True, False]), "x").tolist() == [1, 0]
    assert class_labels(np.array([1, 2.0, "0", b"3"], object), "x").tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, 1.5, 2.5], "got 1.5 at sample 1"),
        ([0.0, np.nan], "got nan at sample 1"),
        ([0, -1, -2], "got -1 at sample 1"),
        (np.array([2**64 - 1], np.uint64), "got 18446744073709551615 at sample 0"),
        (["1", "cat"], "got 'cat' at sample 1"),
        (np.array([1, None, 2], object), "got None at sample 1"),
        (np.eye(3), r"one-hot labels of shape \(3, 3\); store their argmax\(1\)"),
        (np.eye(3, dtype=bool), "one-hot labels"),
        (np.full((3, 2), 0.5), "several classes a sample, or probabilities"),
        (np.zeros((3, 2, 2)), "several classes a sample"),
        (np.array([1 + 2j]), r"got \(1\+2j\) at sample 0"),
        (np.array(["2020-01-01"], "M8[D]"), "at sample 0"),
    ],
)
def test_others_are_refused_with_the_first_bad_value(values, said):
    with pytest.raises(DataError, match=said):
        class_labels(np.asarray(values), "x")


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=20))
def test_no_integer_is_rounded(values):
    """Property: int64, uint64, objects and texts keep every digit below 2**53; objects and integers also beyond."""
    for dtype in ("i8", "u8", "O"):
        assert class_labels(np.array(values, dtype), "x").tolist() == values


def npz(tmp_path, **content):
    np.savez(tmp_path / "a.npz", **content)
    return datasets.make("npz", {"path": tmp_path / "a.npz"})


@pytest.mark.parametrize("dtype", [t for t in TYPES if t != "O"])
def test_npz_labels(tmp_path, dtype):
    index = npz(tmp_path, x_test=np.zeros((4, 3, 3), np.uint8), y_test=np.array(WHOLE).astype(dtype)).index("test")
    assert (index.labels.dtype, index.labels.tolist()) == (np.int64, WHOLE)
    assert (index.classes, index.named) == (("0", "1", "2", "3"), False)


def test_npz_labels_that_are_names(tmp_path):
    pictures = {"x_test": np.zeros((3, 3, 3), np.uint8), "x_train": np.zeros((2, 3, 3), np.uint8)}
    labels = {"y_test": np.array(["dog", "ant", "dog"]), "y_train": np.array([b"cat", b"dog"])}
    data = npz(tmp_path, **pictures, **labels)
    assert data.index("test").classes == data.index("train").classes == ("ant", "cat", "dog")
    assert (data.index("test").labels.tolist(), data.index("train").labels.tolist()) == ([2, 0, 2], [1, 2])
    own = npz(tmp_path, **pictures, **labels, classes=np.array(["dog", "cat", "ant"]))
    assert own.index("test").labels.tolist() == [0, 2, 0]
    assert own.index("test").named
    with pytest.raises(DataError, match="the class 'ant' of sample 1 is none of 'classes'"):
        npz(tmp_path, **pictures, **labels, classes=np.array(["dog", "cat"])).index("test")
    with pytest.raises(DataError, match="names 2 classes, but there is a label 2"):
        npz(tmp_path, x_test=pictures["x_test"], y_test=np.arange(3), classes=np.array(["a", "b"])).index("test")


def test_npz_objects_and_one_hot_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"numpy\.stack"):
        npz(tmp_path, x_test=np.array([np.zeros((2, 2)), None], object), y_test=np.arange(2)).index("test")
    with pytest.raises(DataError, match="one-hot"):
        npz(tmp_path, x_test=np.zeros((3, 2, 2), np.uint8), y_test=np.eye(3)).index("test")


def test_a_regression_keeps_its_numbers_and_is_no_classification(tmp_path):
    index = npz(tmp_path, x_test=np.zeros((2, 3, 3), np.uint8), y_test=np.array([0.25, 2])).index("test")
    assert (index.labels.tolist(), index.classes) == ([0.25, 2], ())


@pytest.mark.parametrize("code", [0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E])
def test_idx_files_of_every_type(tmp_path, code):
    types = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
    labels = np.array(WHOLE).astype(types[code])
    images = np.arange(36, dtype=np.uint8).reshape(4, 3, 3) * 7
    head = lambda code, shape: bytes([0, 0, code, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)  # noqa: E731
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(head(0x08, (4, 3, 3)) + images.tobytes())
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head(code, (4,)) + labels.tobytes()))
    data = datasets.make("mnist-idx", {"path": tmp_path})
    assert data.index("test").labels.tolist() == WHOLE
    assert np.array_equal(data.read("test", ["test-00002"])[0], images[2])


def test_labels_of_a_table():
    assert whole_texts(["3.0", "0", "12.000"], "abc", "x") == ["3", "0", "12"]
    assert whole_texts(["01", "2"], "ab", "x") == ["01", "2"]
    assert whole_texts(["3.0", "cat"], "ab", "x") == ["3.0", "cat"]
    for texts, said in (
        (["1.5", "2"], "got '1.5' for 'a'"),
        (["1", ""], "no class for 'b'"),
        (["-1.0", "2"], "got '-1.0'"),
    ):
        with pytest.raises(DataError, match=said):
            whole_texts(texts, "ab", "x")


# -- images ------------------------------------------------------------------------------------------------------------


@given(arrays(np.uint8, (3, 4)))
def test_images_of_any_type_and_byte_order(values):
    unit = values.astype(np.float32) / np.float32(255)
    for dtype in (">f4", "<f4", ">f8", "f8"):
        assert np.allclose(scaled((values / 255).astype(dtype), "dtype", "x"), unit, atol=1e-7)
    assert np.array_equal(scaled(values, "dtype", "x"), unit)
    wide = values.astype(np.uint16) * 257
    for dtype in (">u2", "<u2"):
        assert np.allclose(scaled(wide.astype(dtype), "dtype", "x"), unit, atol=1e-7)
    for dtype in (">i2", "i4", ">u4", "i8", "u8", "f4"):
        assert np.array_equal(scaled(values.astype(dtype), 255, "x"), unit)
    assert np.array_equal(scaled(values > 9, "dtype", "x"), (values > 9).astype(np.float32))
    assert np.allclose(scaled((values / 255).astype(object), "dtype", "x"), unit, atol=1e-7)


@pytest.mark.parametrize(
    ("image", "white", "said"),
    [
        (np.array([[0, 300]], np.int64), "dtype", "int64 values from 0 to 300 .* range = 1023"),
        (np.array([[0.0, 255.0]]), "dtype", r"got \[0, 255\]; say which value is white .* range = 255"),
        (np.array([[-1.0, 1.0]]), "dtype", "values below 0"),
        (np.array([[0, np.nan]]), "dtype", "remove the sample"),
        (np.array([["a", "b"]]), "dtype", "first value 'a'"),
        (np.array([[1, None]], object), "dtype", "an object None"),
        (np.array([[1j, 0]]), "dtype", "complex128, first value 1j"),
    ],
)
def test_images_that_are_refused(image, white, said):
    with pytest.raises(DataError, match=said):
        scaled(np.asarray(image), white, "x")


def test_npz_images_of_every_type_reach_the_grid(tmp_path):
    values = np.arange(2 * 3 * 3).reshape(2, 3, 3) * 10
    for dtype, range_ in (("u1", "dtype"), (">u2", 255), ("i8", 255), (">f8", 255), ("i4", 170)):
        data = npz(tmp_path, x_test=values.astype(dtype), y_test=np.arange(2))
        white = 255 if range_ == "dtype" else range_
        batch = data.load("test", data.index("test").ids, Grid(range=range_))
        assert np.allclose(batch.inputs[:, 0], values / white, atol=1e-6), dtype
    dark = npz(tmp_path, x_test=(values // 10).astype(np.uint8), y_test=np.arange(2)).index("test")
    assert "largest value of all images is 0.0667 of the scale of their type (uint8)" in dark.notes[0]


def test_npz_masks_of_another_size_and_grey_ones(tmp_path):
    content = {"x_test": np.zeros((2, 4, 4), np.uint8) + 255, "y_test": np.arange(2)}
    with pytest.raises(DataError, match=r"of the images' size 4x4, got shape \(2, 4, 5\)"):
        npz(tmp_path, **content, masks_test=np.zeros((2, 4, 5), bool)).index("test")
    masks = np.zeros((2, 1, 4, 4), np.uint8)
    masks[0, 0, 0], masks[0, 0, 1] = 255, 90
    data = npz(tmp_path, **content, masks_test=masks)
    assert any("1 mask with more than 1 %" in note and "test-0000 (25%)" in note for note in data.index("test").notes)
    batch = data.load("test", data.index("test").ids, Grid(), masks=True)
    assert batch.masks[0, 0].sum(1).tolist() == [4, 0, 0, 0]


def test_numbers_that_are_too_large_are_refused_without_a_warning(tmp_path):
    with pytest.raises(DataError, match="remove the sample"):
        scaled(np.array([[0.0, 1e300]]), "dtype", "x")
    np.save(tmp_path / "a.npy", np.full((4, 4), 1e300))
    with pytest.raises(DataError, match="expected magnitudes, finite"):
        datasets.make("npy", {"path": tmp_path / "a.npy"}).index("test")
