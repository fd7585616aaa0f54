"""MNIST's idx files. Oracles: files written here byte by byte, torchvision's reader, the real set."""

import gzip

import numpy as np
import pytest

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError


def idx(array):
    header = b"\x00\x00\x08" + bytes([array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


def make(path):
    return datasets.make("mnist-idx", {"path": path})


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (9, 5, 4), np.uint8), rng.integers(0, 10, 9).astype(np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path, images, labels


def test_round_trip_raw_and_gzipped(written):
    root, images, labels = written
    data = make(root)
    index = data.index("test")
    assert index.ids[3] == "test-00003"
    assert index.labels.tolist() == labels.tolist()
    batch = data.load("test", ["test-00008", "test-00000"], Grid())
    assert np.array_equal(np.rint(batch.inputs[:, 0] * 255), images[[8, 0]])
    assert batch.labels.tolist() == [labels[8], labels[0]]
    before = index.digest
    (root / "t10k-images-idx3-ubyte").unlink()
    (root / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    assert make(root).index("test").digest == before  # compression is no part of the content


def test_damage_is_said(written, tmp_path_factory):
    root, images, _ = written
    with pytest.raises(DataError, match=r"no file .*train"):
        make(root).index("train")
    with pytest.raises(DataError, match="'train' and 'test'"):
        make(root).index("val")
    (root / "t10k-images-idx3-ubyte").write_bytes(idx(images)[:-3])
    with pytest.raises(DataError, match=r"holds 177 bytes, its header .* expects 180"):
        make(root).index("test")
    (root / "t10k-images-idx3-ubyte").write_bytes(b"<html>")
    with pytest.raises(DataError, match="no idx file"):
        make(root).index("test")
    (root / "t10k-images-idx3-ubyte").write_bytes(gzip.compress(idx(images))[:-20])
    with pytest.raises(DataError, match="truncated"):
        make(root).index("test")
    with pytest.raises(DataError, match="does not exist"):
        make(tmp_path_factory.mktemp("x") / "none").index("test")


def test_real_mnist_is_what_torchvision_reads(real_data, tmp_path):
    root = real_data("digits_mnist_usps_mnistm")
    from torchvision.datasets.mnist import read_image_file, read_label_file

    for kind, name in (("images", "t10k-images-idx3-ubyte"), ("labels", "t10k-labels-idx1-ubyte")):
        (tmp_path / kind).write_bytes(gzip.decompress((root / f"{name}.gz").read_bytes()))
    data = make(root)
    index = data.index("test")
    assert (len(index.ids), len(data.index("train").ids)) == (10000, 14262)
    assert np.array_equal(index.labels, read_label_file(str(tmp_path / "labels")).numpy())
    theirs = read_image_file(str(tmp_path / "images")).numpy()
    ours = data.load("test", index.ids[::100], Grid()).inputs[:, 0]
    assert np.array_equal(np.rint(ours * 255), theirs[::100])
