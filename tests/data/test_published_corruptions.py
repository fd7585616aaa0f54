"""CIFAR-10-C and ImageNet-C beside the clean images. Oracle: small sets in their layouts, written here."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.attacks.base import attacks
from benchmark.data.base import Grid, Samples, datasets
from benchmark.errors import DataError
from benchmark.seeds import Draws

N = 4


@pytest.fixture
def cifar(tmp_path):
    rng = np.random.default_rng(0)
    labels = [3, 1, 0, 9]
    (tmp_path / "test_batch").write_bytes(
        pickle.dumps({"data": rng.integers(0, 256, (N, 3072), np.uint8), "labels": labels})
    )
    folder = tmp_path / "CIFAR-10-C"
    folder.mkdir()
    fog = rng.integers(0, 256, (5 * N, 32, 32, 3), np.uint8)
    np.save(folder / "fog.npy", fog)
    np.save(folder / "labels.npy", np.tile(labels, 5).astype(np.uint8))
    return tmp_path, fog


def test_the_attack_returns_the_published_images_of_its_samples(cifar):
    root, fog = cifar
    data = datasets.make("cifar10-c", {"path": root})
    index = data.index("test")
    ids = (index.ids[2], index.ids[0])
    attack = attacks.make("corruption-files", {"kind": "fog", "parameters": "cifar"})
    attack = attack.with_samples(Samples(data, "test", ids, Grid()))
    x = torch.as_tensor(data.load("test", ids, Grid()).inputs)
    left = attack.run(None, x, torch.zeros(2), eps=3, generator=Draws([0, 1]))
    expected = fog[2 * N :][[2, 0]]
    assert np.array_equal(np.rint(left.inputs.numpy() * 255).transpose(0, 2, 3, 1), expected)
    assert torch.equal(attack.replay(x, left.params), left.inputs)


def test_a_changed_file_is_another_set_and_what_does_not_fit_is_refused(cifar):
    root, fog = cifar
    before = datasets.make("cifar10-c", {"path": root}).index("test").digest
    np.save(root / "CIFAR-10-C" / "fog.npy", fog[::-1])
    data = datasets.make("cifar10-c", {"path": root})
    assert data.index("test").digest != before
    with pytest.raises(DataError, match=r"snow\.npy cannot be read"):
        data.read_counterparts("test", data.index("test").ids, "snow", 1)
    np.save(root / "CIFAR-10-C" / "snow.npy", fog[:3])
    with pytest.raises(DataError, match="five severities"):
        data.read_counterparts("test", data.index("test").ids, "snow", 1)
    np.save(root / "CIFAR-10-C" / "labels.npy", np.zeros(5 * N, np.uint8))
    with pytest.raises(DataError, match="not the labels of the clean images"):
        datasets.make("cifar10-c", {"path": root}).index("test")
    with pytest.raises(DataError, match="'test' alone"):
        datasets.make("cifar10-c", {"path": root}).index("train")
    (root / "CIFAR-10-C").rename(root / "elsewhere")
    with pytest.raises(DataError, match="expected the folder CIFAR-10-C"):
        datasets.make("cifar10-c", {"path": root}).index("test")
    with pytest.raises(DataError, match="has no corrupted images"):
        datasets.make("cifar10", {"path": root}).read_counterparts("test", [], "fog", 1)


def picture(path, seed, side=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
    return pixels


@pytest.mark.parametrize("between", ["", "weather/"])
def test_imagenet_c_is_read_as_it_is_and_not_cut_again(tmp_path, between):
    name = "n01443537/ILSVRC2012_val_00000001.JPEG"
    picture(tmp_path / "val" / name, 0, side=20)
    fog = {s: picture(tmp_path / f"ImageNet-C/{between}fog/{s}/{name}", s) for s in range(1, 6)}
    data = datasets.make("imagenet-c", {"path": tmp_path})
    index = data.index("val")
    samples = Samples(data, "val", index.ids, Grid(size=(8, 8), fit="crop", crop=0.875))
    for severity, pixels in fog.items():
        (read,) = samples.counterparts("fog", severity)
        assert np.array_equal(np.rint(read * 255).transpose(1, 2, 0), pixels)
    with pytest.raises(DataError, match=r"has no folder snow.*weather\.tar"):
        samples.counterparts("snow", 1)
    picture(tmp_path / f"ImageNet-C/{between}fog/1/{name}", 9)
    assert datasets.make("imagenet-c", {"path": tmp_path}).index("val").digest != index.digest
