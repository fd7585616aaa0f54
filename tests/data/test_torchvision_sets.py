"""Datasets of torchvision. Oracles: torchvision itself, and a CIFAR-10 layout written here."""

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torchvision
from PIL import Image, ImageOps

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError, UnknownNameError


def test_members_are_torchvisions_and_listing_imports_neither_it_nor_torch():
    code = (
        "import sys\nfrom benchmark.data.torchvision_sets import TorchvisionSet\nprint(*TorchvisionSet.members())\n"
        "assert 'torchvision' not in sys.modules and 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    members = done.stdout.split()
    assert {"CIFAR10", "MNIST", "SVHN", "GTSRB", "FakeData"} <= set(members)
    assert all(hasattr(torchvision.datasets, name) for name in members)
    with pytest.raises(UnknownNameError, match="torchvision:CIFAR10"):
        datasets.make("torchvision:CIFAR1O")


def test_a_set_without_splits_is_drawn_into_two():
    params = {"kwargs": {"size": 40, "image_size": [3, 8, 8], "num_classes": 4}, "test_share": 0.4}
    data = datasets.make("torchvision:FakeData", params)
    theirs = torchvision.datasets.FakeData(size=40, image_size=(3, 8, 8), num_classes=4)
    seen = []
    for split in ("train", "test"):
        index = data.index(split)
        where = [int(name.rpartition("-")[2]) for name in index.ids]
        batch = data.load(split, index.ids, Grid())
        expected = np.stack([np.asarray(theirs[i][0]) for i in where])
        assert np.array_equal(np.rint(batch.inputs * 255).transpose(0, 2, 3, 1), expected)
        assert batch.labels.tolist() == [int(theirs[i][1]) for i in where]
        seen += where
    assert sorted(seen) == list(range(40))


def test_a_layout_on_disk_is_read_without_a_network(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    sums = {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        content = {"data": rng.integers(0, 256, (4, 3072), np.uint8), "labels": rng.integers(0, 10, 4).tolist()}
        if name == "batches.meta":
            content = {"label_names": [f"class{i}" for i in range(10)]}
        (base / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((base / name).read_bytes()).hexdigest()
        if name == "test_batch":
            test = content
    cifar = torchvision.datasets.CIFAR10  # its files are known by checksum: give it those of our small ones
    monkeypatch.setattr(cifar, "train_list", [[f"data_batch_{i}", sums[f"data_batch_{i}"]] for i in range(1, 6)])
    monkeypatch.setattr(cifar, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(cifar, "meta", {**cifar.meta, "md5": sums["batches.meta"]})
    data = datasets.make("torchvision:CIFAR10", {"path": tmp_path, "download": False})
    assert len(data.index("train").ids) == 20
    index = data.index("test")
    assert index.labels.tolist() == test["labels"]
    assert index.classes[9] == "class9"
    batch = data.load("test", index.ids, Grid())
    assert np.array_equal(np.rint(batch.inputs * 255), test["data"].reshape(4, 3, 32, 32))


def test_an_absent_set_says_where_and_what_to_do(tmp_path):
    data = datasets.make("torchvision:CIFAR10", {"path": tmp_path / "none", "download": False})
    with pytest.raises(DataError, match=r"not found in .*none.*--data NAME=PATH"):
        data.index("test")
    assert not (tmp_path / "none").exists()


def test_a_failed_download_is_a_data_error(tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request._opener", None)  # the process keeps the proxies of its first download
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there: a machine without a network
    data = datasets.make("torchvision:SVHN", {"path": tmp_path})
    with pytest.raises(DataError, match="could not be downloaded"):
        data.index("test")
    with pytest.raises(DataError, match="'val'"):
        data.index("val")


@pytest.fixture
def satellite(tmp_path):
    """EuroSAT's layout: an ImageFolder, so that labels are known without the images."""
    for k, label in enumerate(("Forest", "River")):
        for i in range(6):
            path = tmp_path / "eurosat" / "2750" / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 6, 3), 100 + 50 * k + i, np.uint8)).save(path)
    return tmp_path


def test_one_broken_image_costs_its_chunk(satellite):
    def make():
        return datasets.make("torchvision:EuroSAT", {"path": satellite, "download": False, "test_share": 0.5})

    before = make().index("test")
    assert before.notes == ()
    k = int(before.ids[1].rpartition("-")[2])
    file = satellite / "eurosat" / "2750" / ("Forest", "River")[k // 6] / f"{k % 6}.png"
    file.write_bytes(file.read_bytes()[:40])
    data = make()
    index = data.index("test")
    assert (index.ids, index.labels.tolist()) == (before.ids, before.labels.tolist())
    assert index.digest != before.digest
    assert index.notes == (f"1 image that cannot be read, whose chunks fail: {index.ids[1]}",)
    assert len(data.load("test", [index.ids[0], *index.ids[2:]], Grid())) == len(index.ids) - 1
    with pytest.raises(DataError, match=f"sample {k} cannot be read"):
        data.load("test", index.ids, Grid())


def test_images_are_turned_and_shapes_counted(satellite):
    image = Image.fromarray(np.arange(72, dtype=np.uint8).reshape(4, 6, 3))
    exif = image.getexif()
    exif[0x0112] = 6
    for file in satellite.rglob("*.png"):
        image.save(file, exif=exif)
    data = datasets.make("torchvision:EuroSAT", {"path": satellite, "download": False})
    index = data.index("train")
    assert index.shapes == ((6, 4, len(index.ids)),)
    assert np.array_equal(data.read("train", index.ids[:1])[0], np.asarray(ImageOps.exif_transpose(image)))


def test_labels_that_are_no_class_are_refused(monkeypatch):
    for label, said in ((1.5, "got 1.5"), (np.array([0, 1]), "one-hot"), (-1, "got -1")):
        monkeypatch.setattr(torchvision.datasets.FakeData, "__getitem__", lambda _, i, y=label: (IMAGE, y))
        with pytest.raises(DataError, match=said):
            datasets.make("torchvision:FakeData", {"kwargs": {"size": 3, "image_size": [3, 8, 8]}}).index("train")


IMAGE = Image.fromarray(np.full((8, 8), 200, np.uint8))


def test_names_with_their_numbers_are_the_numbers():
    from benchmark.data.torchvision_sets import _numbered

    assert _numbered(torchvision.datasets.MNIST.classes) == [str(k) for k in range(10)]
    assert _numbered(["T-shirt/top", "a - b"]) == ["T-shirt/top", "a - b"]
