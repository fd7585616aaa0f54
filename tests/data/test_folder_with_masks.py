"""Images and masks in parallel folders. Oracles: files written here, and the manifest of a real set."""

import csv

import numpy as np
import pytest
from PIL import Image

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def sample(i, size=(5, 6)):
    rng = np.random.default_rng(i)
    return rng.integers(0, 256, size, np.uint8), rng.random(size) < 0.4


def make(root, **params):
    return datasets.make("folder-with-masks", {"path": root, **params})


def manifest(root, rows):
    with (root / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def by_class(tmp_path):
    made = {}
    for i, name in enumerate(f"{split}/{label}/{k}" for split in ("train", "test") for label in "ab" for k in range(3)):
        image, mask = sample(i)
        write(tmp_path / "images" / f"{name}.png", image)
        write(tmp_path / "masks" / f"{name}.bmp", mask)
        made[f"images/{name}.png"] = (image, mask)
    return tmp_path, made


@pytest.fixture
def flat(tmp_path):
    rows = []
    for i in range(24):
        image, mask = sample(i)
        write(tmp_path / "images" / f"{i:03d}.png", image)
        write(tmp_path / "masks" / f"{i:03d}.png", mask.astype(np.uint8) * 255)
        split = "test" if i % 4 == 0 else "train"
        rows.append({"id": f"{i:03d}", "split": split, "label": i % 12, "kind": "xyz"[i % 3]})
    manifest(tmp_path, rows)
    return tmp_path


def test_class_folders_round_trip(by_class):
    root, made = by_class
    data = make(root)
    index = data.index("test")
    assert (index.masks, index.classes) == (True, ("a", "b"))
    assert index.ids == tuple(sorted(name for name in made if "/test/" in name))
    batch = data.load("test", index.ids, Grid(), masks=True)
    for i, name in enumerate(index.ids):
        assert np.array_equal(batch.inputs[i, 0] * 255, made[name][0])
        assert np.array_equal(batch.masks[i, 0], made[name][1])


def test_class_folders_without_splits_are_drawn(tmp_path):
    for i in range(40):
        for part, pixels in zip(("images", "masks"), sample(i), strict=True):
            write(tmp_path / part / "ab"[i % 2] / f"{i}.png", pixels)
    train, test = (set(make(tmp_path, test_share=0.3).index(split).ids) for split in ("train", "test"))
    assert not train & test
    assert len(train | test) == 40


def test_flat_images_with_a_manifest(flat):
    data = make(flat)
    index = data.index("test")
    assert index.ids == tuple(f"images/{i:03d}.png" for i in range(0, 24, 4))
    assert index.classes == tuple(map(str, range(12)))  # in the order of numbers: 10 after 9
    assert index.labels.tolist() == [i % 12 for i in range(0, 24, 4)]
    assert len(data.index("train").ids) == 18
    batch = data.load("test", index.ids, Grid(), masks=True)
    assert all(np.array_equal(batch.masks[k, 0], sample(i)[1]) for k, i in enumerate(range(0, 24, 4)))
    named = make(flat, label="kind").index("train")
    assert named.classes == ("x", "y", "z")


def test_digest_follows_a_mask(flat):
    before = make(flat).index("test").digest
    write(flat / "masks" / "004.png", ~sample(4)[1])
    after = make(flat).index("test").digest
    assert after != before
    write(flat / "masks" / "005.png", ~sample(5)[1])  # of the other split
    assert make(flat).index("test").digest == after


def test_a_missing_mask_is_named_before_anything_is_computed(flat):
    (flat / "masks" / "008.png").unlink()
    with pytest.raises(DataError, match=r"'images/008.png' has no mask: expected masks/008.png"):
        make(flat).index("test")
    with pytest.raises(DataError, match="shapes does not exist; it should hold the masks"):
        make(flat, masks="shapes").index("test")


def test_a_mask_of_another_size(flat):
    write(flat / "masks" / "008.png", np.ones((5, 5), np.uint8))
    data = make(flat)
    with pytest.raises(DataError, match=r"'images/008.png' has 5 rows and 5 columns, its image 5 and 6"):
        data.load("test", data.index("test").ids, Grid(), masks=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "no row for the image 'images/023.png'"),
        (lambda rows: [*rows, {**rows[0], "id": "999"}], "names '999', but images has no such image"),
        (lambda rows: [{k: v for k, v in row.items() if k != "label"} for row in rows], "no column 'label', it has id"),
        (lambda rows: [{**row, "split": "train"} for row in rows], "no images in"),
    ],
)
def test_manifests_that_do_not_fit(flat, change, message):
    with (flat / "manifest.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    manifest(flat, change(rows))
    with pytest.raises(DataError, match=message):
        make(flat).index("test")


def test_no_images_folder(tmp_path):
    with pytest.raises(DataError, match="images does not exist; it should hold the images"):
        make(tmp_path).index("test")


def test_the_leeds_butterflies(real_data):
    """Splits, labels and each mask's share of its image agree with the manifest's columns (rounded to 4 digits)."""
    root = real_data("leeds_butterfly_256")
    with (root / "manifest.csv").open() as stream:
        rows = {f"images/{row['id']}.jpg": row for row in csv.DictReader(stream)}
    data = make(root)
    assert (len(data.index("train").ids), len(data.index("test").ids)) == (627, 205)
    assert not set(data.index("train").ids) & set(data.index("test").ids)
    index = data.index("test")
    assert [rows[name]["label"] for name in index.ids] == [index.classes[k] for k in index.labels]
    shares = [mask.mean() for mask in data.read_masks("test", index.ids)]
    np.testing.assert_allclose(shares, [float(rows[name]["mask_fraction"]) for name in index.ids], atol=6e-5)
    assert make(root, label="common_name").index("test").classes[0] == min(r["common_name"] for r in rows.values())
    batch = data.load("test", index.ids[:5], Grid(size=64), masks=True)
    assert (batch.inputs.shape, batch.masks.shape) == ((5, 3, 64, 64), (5, 1, 64, 64))
