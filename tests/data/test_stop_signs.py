"""The stop-sign photos. Oracles: files written here, and the authors' own folder."""

import numpy as np
import pytest
from PIL import Image

from benchmark.data.base import Grid, datasets
from benchmark.data.stop_signs import CLASSES
from benchmark.errors import DataError


def make(root, **params):
    return datasets.make("stop-signs", {"path": root, **params})


@pytest.fixture
def written(tmp_path):
    (tmp_path / "victim_256").mkdir()
    pixels = {}
    for i in range(7):
        pixels[f"{i}.png"] = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels[f"{i}.png"]).save(tmp_path / "victim_256" / f"{i}.png")
    return tmp_path, pixels


def test_two_halves_that_share_no_photo_and_miss_none(written):
    root, pixels = written
    train, test = (make(root).index(split) for split in ("train", "test"))
    assert (len(train.ids), len(test.ids)) == (3, 4)
    assert sorted([*train.ids, *test.ids]) == sorted(pixels)
    assert make(root).index("train").ids == train.ids
    assert any(make(root, split_seed=seed).index("train").ids != train.ids for seed in (1, 2, 3))
    for name, image in zip(test.ids, make(root).read("test", test.ids), strict=True):
        assert np.array_equal(image, pixels[name])


def test_every_photo_is_a_stop_sign_of_gtsrbs_43_classes(written):
    index = make(written[0]).index("test")
    assert set(index.labels.tolist()) == {14}
    assert index.classes == CLASSES
    assert len(set(CLASSES)) == 43
    assert [CLASSES[k] for k in (5, 14, 33)] == ["Speed limit 80", "Stop", "Turn right"]


def test_the_digest_follows_the_photos(written):
    root, _ = written
    before = make(root).index("test")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / "victim_256" / before.ids[0])
    assert make(root).index("test").digest != before.digest


def test_what_is_missing_is_named(tmp_path, written):
    with pytest.raises(DataError, match="--data NAME=PATH"):
        datasets.make("stop-signs", {}).index("test")
    with pytest.raises(DataError, match="victim_256 does not exist"):
        make(tmp_path / "nowhere").index("test")
    with pytest.raises(DataError, match="no split 'val'"):
        make(written[0]).index("val")
    (tmp_path / "few" / "victim_256").mkdir(parents=True)
    with pytest.raises(DataError, match="holds 0 photos"):
        make(tmp_path / "few").index("test")


def test_the_authors_photos(real_data):
    data = make(real_data("stop_signs_rp2"))
    train, test = data.index("train"), data.index("test")
    assert (len(train.ids), len(test.ids)) == (20, 20)
    assert data.load("test", test.ids[:3], Grid(size=(64, 64), channels=3)).inputs.shape == (3, 3, 64, 64)
    small = make(real_data("stop_signs_rp2"), photos="victim_32")
    assert small.index("test").ids == test.ids
    assert small.load("test", test.ids[:1], Grid()).inputs.shape == (1, 3, 32, 32)
