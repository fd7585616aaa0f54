"""Classes by name. Oracles: torchvision's lists and ImageFolder, permutations that are undone, a real set's list."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmark.data._classes import class_indices, class_list, in_order
from benchmark.data.base import Grid, datasets, open_dataset
from benchmark.errors import DataError, SpecError


def folders(root, names, each=1, split="test"):
    for k, name in enumerate(names):
        for i in range(each):
            path = root / split / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 4), 100 + k, np.uint8)).save(path)
    return root


def make(root, **params):
    return datasets.make("folder", {"path": root, **params})


# -- order -------------------------------------------------------------------------------------------------------------


def test_numbers_whose_orders_differ_are_refused_until_one_is_chosen(tmp_path):
    folders(tmp_path, [str(k) for k in range(12)])
    with pytest.raises(DataError, match=r"'10' or '2'.*order = \"text\".*order = \"number\""):
        make(tmp_path).index("test")
    as_text = make(tmp_path, order="text").index("test")
    by_number = make(tmp_path, order="number").index("test")
    assert as_text.classes == tuple(sorted(map(str, range(12))))
    assert by_number.classes == tuple(map(str, range(12)))
    assert as_text.digest != by_number.digest
    for index in (as_text, by_number):
        assert [index.classes[k] for k in index.labels] == [name.split("/")[1] for name in index.ids]


def test_text_order_is_torchvisions_image_folder(tmp_path):
    from torchvision.datasets import ImageFolder

    folders(tmp_path, [*map(str, range(12)), "100", "007"])
    expected = ImageFolder(tmp_path / "test").classes
    assert list(make(tmp_path, order="text").index("test").classes) == expected


@given(st.sets(st.integers(0, 300), min_size=1, max_size=15))
def test_only_numbers_whose_orders_differ_are_asked_about(numbers):
    names = [str(n) for n in numbers]
    differ = sorted(names) != sorted(names, key=int)
    assert in_order(names, "number", "x") == sorted(names, key=int)
    assert in_order(names, "text", "x") == sorted(names)
    if differ:
        with pytest.raises(DataError, match="order"):
            in_order(names, None, "x")
    else:
        assert in_order(names, None, "x") == sorted(names)


def test_padded_numbers_and_words_need_no_choice(tmp_path):
    folders(tmp_path, [f"{k:02d}" for k in range(12)])
    assert make(tmp_path).index("test").classes == tuple(f"{k:02d}" for k in range(12))
    assert in_order(["1", "10", "2", "cat"], None, "x") == ["1", "10", "2", "cat"]
    with pytest.raises(DataError, match="'cat' is no number"):
        in_order(["1", "cat"], "number", "x")


def test_order_is_refused_where_there_are_no_class_folders():
    with pytest.raises(SpecError, match=r"order = 'text' is for datasets of class folders"):
        open_dataset("digits", {}, order="text")


# -- lists -------------------------------------------------------------------------------------------------------------


def test_named_lists_are_torchvisions():
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    imagenet = class_list("imagenet-1k")
    assert class_indices(_IMAGENET_CATEGORIES, imagenet, "x") == list(range(1000))
    assert class_indices(imagenet.names, imagenet, "x") == list(range(1000))
    assert class_list("cifar10").names[3] == "cat"
    assert len(class_list("cifar100").names) == 100
    assert list(class_list("cifar100").names) == sorted(class_list("cifar100").names)


def test_imagenet_ids_are_those_of_a_real_set(real_data):
    lines = (real_data("imagenet_val") / "synset_words.txt").read_text().splitlines()
    assert list(class_list("imagenet-1k").names) == [line.split()[0] for line in lines]


def test_words_of_several_classes_are_refused_alone_and_found_beside_the_other():
    imagenet = class_list("imagenet-1k")
    with pytest.raises(DataError, match="crane is not in the list"):
        class_indices(["crane"], imagenet, "x")
    assert class_indices(["crane", "crane bird"], imagenet, "x") == [517, 134]
    assert class_indices(["Cardigan", "cardigan"], imagenet, "x") == [264, 474]  # a dog and a jacket
    assert class_indices(["great_white_shark"], imagenet, "x") == [2]
    with pytest.raises(DataError, match="are one class"):
        class_indices(["tench", "n01440764"], imagenet, "x")
    with pytest.raises(DataError, match="unicorn is not in the list of classes imagenet-1k"):
        class_indices(["unicorn", "tench"], imagenet, "x")


@given(st.permutations(range(8)))
def test_places_undo_any_order(order):
    names = tuple("abcdefgh")
    listed = class_list_of(names)
    assert class_indices([names[k] for k in order], listed, "x") == list(order)


def class_list_of(names):
    from benchmark.data._classes import ClassList

    return ClassList("here", tuple(names), tuple((name,) for name in names))


def test_a_subset_gets_the_indices_of_the_whole(tmp_path):
    folders(tmp_path, ["n02123045", "n01440764", "n02510455"], each=2)
    plain = open_dataset("folder", {}, path=tmp_path).index("test")
    data = open_dataset("folder", {}, path=tmp_path, classes="imagenet-1k")
    index = data.index("test")
    assert sorted(set(index.labels.tolist())) == [0, 281, 388]  # tench, tabby, giant panda
    assert (len(index.classes), index.classes[388]) == (1000, "n02510455")
    assert index.digest != plain.digest
    batch = data.load("test", index.ids, Grid())
    by_name = {"n01440764": 0, "n02123045": 281, "n02510455": 388}
    assert batch.labels.tolist() == [by_name[name.split("/")[1]] for name in batch.ids]
    assert set(open_dataset("folder", {}, path=tmp_path, classes="by-index").index("test").labels.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lines.txt", "zebra\n\nant\nbee\n"),
        ("bom.txt", "\ufeffzebra\r\nant\r\nbee\r\n"),
        ("list.json", json.dumps(["zebra", "ant", "bee"])),
        ("index.json", json.dumps({"2": ["n00000002", "bee"], "0": ["n00000000", "zebra"], "1": ["n00000001", "ant"]})),
        ("synsets.txt", "n00000000 zebra, horse\nn00000001\tant\nn00000002 bee\n"),
    ],
)
def test_files_of_classes(tmp_path, name, text):
    folders(tmp_path, ["ant", "Zebra"])
    (tmp_path / name).write_bytes(text.encode())
    index = open_dataset("folder", {}, path=tmp_path, classes=str(tmp_path / name)).index("test")
    assert dict(zip(index.ids, index.labels.tolist(), strict=True)) == {"test/Zebra/0.png": 0, "test/ant/0.png": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "lists no class"), ("a\nb\na\n", "the class 'a' twice"), ("{", "as JSON"), ("x\n", "ant, bee are not in")],
)
def test_lists_that_do_not_fit(tmp_path, text, said):
    folders(tmp_path, ["ant", "bee"])
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=said):
        open_dataset("folder", {}, path=tmp_path, classes=str(tmp_path / "list.txt")).index("test")
    with pytest.raises(DataError, match="neither 'imagenet-1k'"):
        open_dataset("folder", {}, path=tmp_path, classes="imagenet1k")
    with pytest.raises(DataError, match="it is a folder"):
        open_dataset("folder", {}, path=tmp_path, classes=str(tmp_path))


def test_numbers_of_an_array_are_indices_of_a_list(tmp_path):
    np.savez(tmp_path / "a.npz", x_test=np.zeros((3, 4, 4), np.uint8), y_test=np.array([3, 0, 9]))
    index = open_dataset("npz", {}, path=tmp_path / "a.npz", classes="cifar10").index("test")
    assert (index.labels.tolist(), index.classes[9]) == ([3, 0, 9], "truck")
    np.savez(tmp_path / "b.npz", x_test=np.zeros((3, 4, 4), np.uint8), y_test=np.array([3, 0, 10]))
    with pytest.raises(DataError, match="labels up to 10, cifar10 lists 10 classes"):
        open_dataset("npz", {}, path=tmp_path / "b.npz", classes="cifar10").index("test")


def test_a_real_subset_of_imagenet(real_data):
    root = real_data("imagenet_val")
    index = open_dataset("folder", {}, path=root, classes="imagenet-1k").index("val")
    true = {line.split()[0]: k for k, line in enumerate((root / "synset_words.txt").read_text().splitlines())}
    assert index.labels.tolist() == [true[name.split("/")[1]] for name in index.ids]
    assert len(index.ids) == 600
