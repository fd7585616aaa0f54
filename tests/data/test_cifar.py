"""CIFAR as it is downloaded. Oracles: what was written here; the class lists; real images in their order."""

import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError

LAYOUTS = {
    "cifar10": ("cifar-10-batches-py", [f"data_batch_{i}" for i in range(1, 6)], "test_batch", "labels", "airplane"),
    "cifar100": ("cifar-100-python", ["train"], "test", "fine_labels", "apple"),
}


def batch(seed, key, n=4):
    rng = np.random.default_rng(seed)
    return {"data": rng.integers(0, 256, (n, 3072), np.uint8), key: rng.integers(0, 10, n).tolist()}


def write(root, use):
    folder, train, test, key, _ = LAYOUTS[use]
    (root / folder).mkdir()
    written = {name: batch(i, key) for i, name in enumerate([*train, test])}
    for name, content in written.items():
        (root / folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return written


@pytest.mark.parametrize("use", LAYOUTS)
def test_batches_in_a_folder_above_it_and_in_the_archive_are_one_set(tmp_path, use):
    written = write(tmp_path, use)
    folder, train, test, key, first = LAYOUTS[use]
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / folder, folder)
    made = [datasets.make(use, {"path": path}) for path in (tmp_path, tmp_path / folder, tmp_path / "set.tar.gz")]
    for split, names in (("train", train), ("test", [test])):
        indices = [data.index(split) for data in made]
        assert len({index.digest for index in indices}) == 1
        index = indices[0]
        assert index.labels.tolist() == [label for name in names for label in written[name][key]]
        assert index.ids[0] == f"{split}-00000"
        assert index.classes[0] == first
        expected = np.concatenate([written[name]["data"].reshape(-1, 3, 32, 32) for name in names])
        got = made[2].load(split, index.ids, Grid()).inputs
        assert np.array_equal(np.rint(got * 255), expected)
    assert "4 images of the 10,000" in made[0].index("test").notes[0]


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps(Evil()), "which no batch of CIFAR needs"),
        (pickle.dumps(batch(0, "labels"))[:-40], "truncated"),
        (pickle.dumps([1]), "holds a list"),
        (pickle.dumps(batch(0, "fine_labels")), "'labels'"),
        (pickle.dumps({"data": np.zeros((2, 99), np.uint8), "labels": [0, 1]}), "3072"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]}), "a label 10"),
    ],
)
def test_a_file_that_is_no_batch_is_refused_by_name(tmp_path, content, said):
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=r"test_batch|a label 10") as error:
        datasets.make("cifar10", {"path": tmp_path}).index("test")
    assert said in str(error.value)


def test_what_is_missing_says_what_is_expected(tmp_path):
    for params, said in (
        ({}, "give `path`"),
        ({"path": tmp_path}, "holds nothing"),
        ({"path": tmp_path / "no"}, "does not exist"),
    ):
        with pytest.raises(DataError, match=said):
            datasets.make("cifar10", params).index("test")
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch(0, "labels")))
    data = datasets.make("cifar10", {"path": tmp_path})
    with pytest.raises(DataError, match="data_batch_1"):
        data.index("train")
    with pytest.raises(DataError, match="'train' and 'test'"):
        data.index("val")
    (tmp_path / "x.tar.gz").write_bytes(io.BytesIO(b"no archive").getvalue())
    with pytest.raises(DataError, match="download it again"):
        datasets.make("cifar10", {"path": tmp_path / "x.tar.gz"}).index("test")


def test_the_lossless_images_keep_their_places_in_the_whole_set(real_data):
    file = real_data("cifar10_subset") / "cifar10_lossless.npz"
    index = datasets.make("cifar10", {"path": file}).index("test")
    with np.load(file) as arrays:
        assert [int(name.rpartition("-")[2]) for name in index.ids] == arrays["test_index"].tolist()
        places = arrays["test_index"]
        assert np.array_equal(index.labels, arrays["y_test_all10000"][places])
        assert list(index.classes) == arrays["classes"].tolist()
    assert datasets.make("cifar10", {"path": file.parent}).index("test").digest == index.digest
