"""Folders of images. Oracles: round trips through files written here, and the raw files of a real set."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError


def picture(path, value, size=(6, 5), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    pixels = np.random.default_rng(value).integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def make(root, **params):
    return datasets.make("folder", {"path": root, **params})


@pytest.fixture
def with_splits(tmp_path):
    written = {}
    for split in ("train", "test"):
        for k, label in enumerate(("cat", "dog")):
            for i in range(3):
                name = f"{split}/{label}/{i}.png"
                written[name] = picture(tmp_path / name, 10 * k + i, size=(6 + i, 5), mode="RGB" if i else "L")
    return tmp_path, written


def test_split_folders_round_trip_bit_by_bit(with_splits):
    root, written = with_splits
    data = make(root)
    index = data.index("test")
    assert index.ids == tuple(sorted(n for n in written if n.startswith("test/")))
    assert index.classes == ("cat", "dog")
    assert [index.classes[k] for k in index.labels] == [name.split("/")[1] for name in index.ids]
    for name, pixels in zip(index.ids, data.read("test", index.ids), strict=True):
        assert np.array_equal(pixels, written[name])


def test_sizes_that_differ_need_a_size_in_the_suite(with_splits):
    data = make(with_splits[0])
    ids = data.index("test").ids
    with pytest.raises(DataError, match="name a `size`"):
        data.load("test", ids, Grid())
    assert data.load("test", ids, Grid(size=4, channels=1)).inputs.shape == (6, 1, 4, 4)


def test_digest_follows_content_names_and_classes(with_splits):
    root, _ = with_splits
    before = make(root).index("test").digest
    shutil.copytree(root, root.parent / "copy")
    assert make(root.parent / "copy").index("test").digest == before  # where it lies is no part of it
    picture(root / "test/cat/0.png", 99)
    changed = make(root).index("test").digest
    (root / "test/cat/1.png").rename(root / "test/dog/9.png")
    moved = make(root).index("test").digest
    assert len({before, changed, moved}) == 3


def test_seeded_split_without_split_folders_is_a_partition_that_keeps_groups_together(tmp_path):
    rows = []
    for i in range(120):
        name = f"{'ab'[i % 2]}/{i:03d}.png"
        picture(tmp_path / name, i, size=(3, 3))
        rows.append({"file": name, "patient": f"p{i // 4}"})
    with (tmp_path / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["file", "patient"])
        writer.writeheader()
        writer.writerows(rows)
    train, test = (make(tmp_path, test_share=0.3).index(split) for split in ("train", "test"))
    assert len(train.ids) + len(test.ids) == 120
    assert not set(train.ids) & set(test.ids)
    assert not set(train.groups) & set(test.groups)
    assert 10 < len(test.ids) < 70  # 30 groups at 0.3
    assert train.classes == test.classes == ("a", "b")
    assert make(tmp_path, test_share=0.3, split_seed=1).index("test").ids != test.ids
    with pytest.raises(DataError, match="split 'val'"):
        make(tmp_path).index("val")


def test_masks_from_the_manifest(tmp_path):
    picture(tmp_path / "test/a/0.png", 0)
    mask = np.zeros((5, 6), np.uint8)
    mask[1:3, 2:] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    (tmp_path / "manifest.csv").write_text("file,mask\ntest/a/0.png,m.png\n")
    data = make(tmp_path)
    index = data.index("test")
    batch = data.load("test", index.ids, Grid(), masks=True)
    assert index.masks
    assert np.array_equal(batch.masks[0, 0], mask > 0)
    (tmp_path / "m.png").unlink()
    with pytest.raises(DataError, match=r"mask .*m\.png.* does not exist"):
        data.read_masks("test", index.ids)


def test_a_broken_image_is_named_when_read_and_the_others_are_read(with_splits):
    root, written = with_splits
    file = root / "test/dog/2.png"
    file.write_bytes(file.read_bytes()[:60])
    data = make(root)
    ids = data.index("test").ids
    with pytest.raises(DataError, match=r"dog.2\.png cannot be read.*replace or remove"):
        data.load("test", ids, Grid(size=4, channels=1))
    assert np.array_equal(data.read("test", ids[:1])[0], written[ids[0]])


def test_what_is_missing_or_empty_is_said(tmp_path):
    with pytest.raises(DataError, match="--data NAME=PATH"):
        datasets.make("folder").index("test")
    with pytest.raises(DataError, match="nowhere does not exist"):
        make(tmp_path / "nowhere").index("test")
    (tmp_path / "test/cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no images in .*holds the folders test"):
        make(tmp_path).index("test")


def test_unknown_group_column_names_those_there(tmp_path):
    picture(tmp_path / "test/a/0.png", 0)
    (tmp_path / "manifest.csv").write_text("file,sign\ntest/a/0.png,s\n")
    assert make(tmp_path).index("test").groups is None
    assert make(tmp_path, group="sign").index("test").groups == ("s",)
    with pytest.raises(DataError, match=r"no column 'singer'.*it has file, sign"):
        make(tmp_path, group="singer").index("test")


@pytest.mark.parametrize("suffix", ["jpeg", "ppm", "bmp", "tiff", "webp"])
def test_common_formats(tmp_path, suffix):
    path = tmp_path / f"test/a/0.{suffix}"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.full((8, 8, 3), 128, np.uint8)).save(path)
    data = make(tmp_path)
    batch = data.load("test", data.index("test").ids, Grid())
    assert np.abs(batch.inputs - 128 / 255).max() < 0.02


def test_sixteen_bit_grey_is_scaled_not_cut(tmp_path):
    path = tmp_path / "test/a/0.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.array([[0, 65535], [32768, 257]], np.uint16)).save(path)
    data = make(tmp_path)
    batch = data.load("test", data.index("test").ids, Grid())
    assert np.allclose(batch.inputs[0, 0], np.array([[0, 1], [32768 / 65535, 257 / 65535]]), atol=1e-6)


def test_real_chest_x_rays(real_data):
    root = real_data("chest_xray_pneumonia")
    data = make(root)
    sizes = {split: len(data.index(split).ids) for split in ("train", "val", "test")}
    assert sizes == {"train": 2000, "val": 200, "test": 600}
    index = data.index("test")
    assert index.classes == ("NORMAL", "PNEUMONIA")
    assert np.bincount(index.labels).tolist() == [300, 300]
    assert not set(index.groups) & set(data.index("train").groups)  # patients: the set says so
    raw = np.asarray(Image.open(root / index.ids[5]), np.float32) / 255
    assert np.array_equal(data.load("test", index.ids[5:6], Grid()).inputs[0, 0], raw)


# -- classes in a table ------------------------------------------------------------------------------------------------


def skin(root):
    """As HAM10000 is laid out: two folders of images, names without ending, a lesion several times."""
    for i in range(6):
        picture(root / f"part_{i % 2 + 1}" / f"ISIC_000{i}.jpg", i, mode="RGB")
    lines = ["lesion_id,image_id,dx,split"]
    lines += [
        f"HAM_{i // 2},ISIC_000{i},{('nv', 'mel', 'bcc')[i // 2]},{'test' if i < 4 else 'train'}" for i in range(6)
    ]
    (root / "meta.csv").write_text("\n".join(lines))
    return {"manifest": "meta.csv", "label": "dx", "group": "lesion_id"}


def test_flat_images_with_a_table_of_labels(tmp_path):
    params = skin(tmp_path)
    data = make(tmp_path, **params)
    index = data.index("test")
    assert index.ids == ("part_1/ISIC_0000.jpg", "part_1/ISIC_0002.jpg", "part_2/ISIC_0001.jpg", "part_2/ISIC_0003.jpg")
    assert index.classes == ("bcc", "mel", "nv")
    assert [index.classes[k] for k in index.labels] == ["nv", "mel", "nv", "mel"]
    assert index.groups == ("HAM_0", "HAM_1", "HAM_0", "HAM_1")
    assert not index.masks
    assert len(data.read("test", index.ids)) == 4
    assert not index.notes
    picture(tmp_path / "part_1" / "ISIC_0009.jpg", 9)
    with (tmp_path / "meta.csv").open("a") as file:
        file.write("\nHAM_9,ISIC_0077,nv,test")
    notes = make(tmp_path, **params).index("test").notes
    assert any("1 image without a row in meta.csv: part_1/ISIC_0009.jpg" in note for note in notes)
    assert any("1 row of meta.csv without an image: ISIC_0077" in note for note in notes)


def test_a_column_a_class_as_isic_has_it(tmp_path):
    for i in range(4):
        picture(tmp_path / f"I{i}.png", i)
    (tmp_path / "truth.csv").write_text("image,MEL,NV\nI0,1.0,0.0\nI1,0.0,1.0\nI2,0,1\nI3,1,0\n")
    params = {"manifest": "truth.csv", "one_hot": ["MEL", "NV"], "test_share": 0.999}
    index = make(tmp_path, **params).index("test")
    assert index.classes == ("MEL", "NV")
    assert index.labels.tolist() == [0, 1, 1, 0]
    (tmp_path / "truth.csv").write_text("image,MEL,NV\nI0,1.0,1.0\n")
    with pytest.raises(DataError, match=r"I0\.png has 2 classes"):
        make(tmp_path, **params).index("test")
    (tmp_path / "truth.csv").write_text("image,MEL,NV\nI0,0.4,0.6\n")
    with pytest.raises(DataError, match=r"expected 0 or 1, got '0\.4'"):
        make(tmp_path, **params).index("test")


@pytest.mark.parametrize(
    ("table", "params", "said"),
    [
        ("image_id,dx\nISIC_0000,nv\n", {"label": "class"}, "no column 'class'"),
        ("image_id,dx\nISIC_0000,nv\n", {"label": "dx", "id": "file"}, "no column 'file'"),
        ("image_id,path,dx\nISIC_0000,a,nv\n", {"label": "dx"}, "not clear"),
        ("image_id,dx\nother,nv\n", {"label": "dx"}, "none of the 1 names"),
        ("image_id,dx\nISIC_0000,nv\nISIC_0000.jpg,mel\n", {"label": "dx"}, "says something else"),
        ("image_id,dx\nISIC_0000,\n", {"label": "dx"}, "no class for"),
        ("image_id,dx\ntwice,nv\n", {"label": "dx"}, "may be"),
        ("", {"label": "dx"}, "does not exist or is empty"),
        ("image_id,dx\nISIC_0000,nv\n", {}, r'manifest = "meta.csv" and label ='),
    ],
)
def test_a_table_of_labels_that_does_not_fit_is_refused(tmp_path, table, params, said):
    skin(tmp_path)
    picture(tmp_path / "part_1" / "twice.jpg", 1)
    picture(tmp_path / "part_2" / "twice.jpg", 2)
    shutil.rmtree(tmp_path / "part_3", ignore_errors=True)
    (tmp_path / "meta.csv").write_text(table)
    if not params:  # images that lie flat, and nobody said where their classes are
        for folder in ("part_1", "part_2"):
            for file in (tmp_path / folder).iterdir():
                file.rename(tmp_path / f"{folder}_{file.name}")
            (tmp_path / folder).rmdir()
    with pytest.raises(DataError, match=said):
        make(tmp_path, **({"manifest": "meta.csv"} if params else {}), **params).index("test")
