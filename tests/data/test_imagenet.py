"""ImageNet's layouts. Oracles: the list of classes, boxes drawn by hand, and 600 real images with known labels."""

import csv

import numpy as np
import pytest
from PIL import Image

from benchmark.data.base import Grid, datasets
from benchmark.data.reading.ilsvrc import robustbench_images
from benchmark.errors import DataError, SpecError

WNIDS = {"n01440764": 0, "n01443537": 1, "n15075141": 999, "n02951358": 472}
STEM = "ILSVRC2012_val_0000000"


def picture(path, size=(20, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), 200, np.uint8)).save(path, format="PNG")


def make(root, **params):
    return datasets.make("imagenet", {"path": root, **params})


def solution(root):
    lines = ["ImageId,PredictionString", f"{STEM}1,n15075141 2 3 8 9 ", f"{STEM}2,n01443537 0 0 20 10"]
    (root / "LOC_val_solution.csv").write_text("\n".join(lines))


def devkit(root):
    from scipy.io import savemat

    data = root / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    synsets = np.array([(1, "n01443537"), (2, "n15075141")], dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")])
    savemat(data / "meta.mat", {"synsets": synsets.reshape(-1, 1)})
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n1\n")


def caffe(root):
    (root / "val.txt").write_text(f"{STEM}1.JPEG 999\n{STEM}2.JPEG 1\n")


def xml(root):
    folder = root / "Annotations" / "CLS-LOC" / "val"
    folder.mkdir(parents=True)
    for i, wnid, box in ((1, "n15075141", (2, 3, 8, 9)), (2, "n01443537", (0, 0, 20, 10))):
        corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
        (folder / f"{STEM}{i}.xml").write_text(
            f"<annotation><size><width>20</width><height>10</height></size><object><name>{wnid}</name>"
            f"<bndbox>{corners}</bndbox></object></annotation>"
        )


def test_the_index_of_a_folder_among_those_present_is_not_the_class(tmp_path):
    for wnid in ("n15075141", "n01443537"):
        picture(tmp_path / "val" / wnid / f"{wnid}.JPEG")
    for root in (tmp_path, tmp_path / "val"):  # whose folder of the split, or that folder itself
        index = make(root).index("val")
        assert index.labels.tolist() == [1, 999]
        assert len(index.classes) == 1000
        assert "2 of the 1,000 classes occur" in index.notes
    assert make(tmp_path).known_as("val")[0][:2] == ("n01440764", "tench, Tinca tinca")


@pytest.mark.parametrize("names", [solution, devkit, caffe, xml])
@pytest.mark.parametrize("inner", ["val", "ILSVRC/Data/CLS-LOC/val"])
def test_flat_images_get_their_classes_from_whatever_names_them(tmp_path, names, inner):
    for i in (1, 2):
        picture(tmp_path / inner / f"{STEM}{i}.JPEG")
    with pytest.raises(DataError, match=r"names the class of ILSVRC2012_val_00000001\.JPEG"):
        make(tmp_path).index("val")
    names(tmp_path)
    data = make(tmp_path)
    index = data.index("val")
    assert index.labels.tolist() == [999, 1]
    assert index.masks == (names in (solution, xml))
    if index.masks:
        masks = data.load("val", index.ids, Grid(), masks=True).masks
        expected = np.zeros((10, 20), bool)
        expected[3:9, 2:8] = True
        assert np.array_equal(masks[0, 0], expected)
        assert masks[1].all()
        assert data.load("val", index.ids, Grid(size=(10, 10), fit="crop"), masks=True).masks[0, 0, 5].sum() == 3


def test_boxes_of_a_picture_of_another_size_are_refused(tmp_path):
    picture(tmp_path / "val" / f"{STEM}1.JPEG", size=(10, 10))
    picture(tmp_path / "val" / f"{STEM}2.JPEG")
    xml(tmp_path)
    data = make(tmp_path)
    index = data.index("val")
    with pytest.raises(DataError, match="20x10 pixels, the file has 10x10"):
        data.load("val", index.ids[:1], Grid(), masks=True)


def test_a_list_of_images_restricts_the_split(tmp_path):
    for i, wnid in enumerate(("n15075141", "n01443537", "n01440764")):
        picture(tmp_path / "val" / wnid / f"{STEM}{i}.JPEG")
    (tmp_path / "ids.txt").write_text(f"n01440764/{STEM}2.JPEG\n{STEM}0.JPEG\n")
    assert make(tmp_path, ids="ids.txt").index("val").labels.tolist() == [0, 999]
    (tmp_path / "ids.txt").write_text(f"{STEM}2.JPEG\n{STEM}7.JPEG\n")
    with pytest.raises(DataError, match=r"1 are not there: ILSVRC2012_val_00000007"):
        make(tmp_path, ids="ids.txt").index("val")
    with pytest.raises(DataError, match="put the list there"):
        make(tmp_path, ids="none.txt").index("val")


def test_robustbenchs_images_where_all_of_them_are_there(tmp_path, monkeypatch):
    """Facts: 5,000 numbers, each once, of 1 to 50,000; the first and the last as its list has them."""
    numbers = [int(name.removeprefix("ILSVRC2012_val_")) for name in robustbench_images()]
    assert (len(set(numbers)), numbers[0], numbers[-1]) == (5000, 11, 49999)
    few = robustbench_images()[:4]
    monkeypatch.setattr("benchmark.data.imagenet.robustbench_images", lambda: few)
    picture(tmp_path / "one.png")
    for number in (*numbers[:4], 50_000):
        place = tmp_path / "val" / ("n01440764" if number % 2 else "n15075141") / f"ILSVRC2012_val_{number:08d}.JPEG"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(tmp_path / "one.png")
    assert sorted(name[-13:-5] for name in make(tmp_path, ids="robustbench").index("val").ids) == [n[-8:] for n in few]
    (tmp_path / "val" / "n01440764" / "ILSVRC2012_val_00000011.JPEG").unlink()
    part = make(tmp_path, ids="robustbench").index("val")
    assert len(part.ids) == 4  # all that are there, the one that is not in its list among them
    assert any("not all of RobustBench's 5,000 images" in note for note in part.notes)


def test_what_is_no_imagenet_is_refused(tmp_path):
    picture(tmp_path / "val" / "n99999999" / "a.JPEG")
    with pytest.raises(DataError, match="n99999999"):
        make(tmp_path).index("val")
    with pytest.raises(DataError, match="or sort the images into folders"):
        make(tmp_path / "val" / "n99999999").index("train")
    with pytest.raises(SpecError, match="fixed 1,000"):
        make(tmp_path, label="class")
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\na,n01440764 1 2\n")
    picture(tmp_path / "flat" / "val" / "a.JPEG")
    (tmp_path / "flat" / "LOC_val_solution.csv").write_text("ImageId,PredictionString\na,n01440764 1 2\n")
    with pytest.raises(DataError, match="line 2: expected `wnid x0 y0 x1 y1`"):
        make(tmp_path / "flat").index("val")


def test_600_real_images_and_their_boxes(real_data):
    root = real_data("imagenet_val")
    data = make(root)
    index = data.index("val")
    with (root / "boxes.csv").open() as file:
        rows = list(csv.DictReader(file))
    known = {row["file"]: int(row["label"]) for row in rows}
    assert len(index.ids) == 600
    assert all(known.get(name, label) == label for name, label in zip(index.ids, index.labels, strict=True))
    some = [name for name in index.ids if sum(row["file"] == name for row in rows) == 1][:5]
    batch = data.load("val", some, Grid(size=(227, 227)), masks=True)
    for mask, name in zip(batch.masks, some, strict=True):
        row = next(row for row in rows if row["file"] == name)
        area = (float(row["x1"]) - float(row["x0"])) * (float(row["y1"]) - float(row["y0"]))
        assert abs(mask.sum() - area) <= 2 * 227
