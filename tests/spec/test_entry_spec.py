"""entry.toml and the resolver. Oracle: the line and the key at fault, planted here."""

import pytest

from benchmark.errors import SpecError
from benchmark.resources import folders
from benchmark.spec.entry import EntrySpec
from benchmark.spec.toml import read_toml

GOOD = """name = "one"
input_shape = [3, 32, 32]
classes = ["cat", "dog"]
factory = "model:build"

[preprocessing]
mean = [0.5, 0.5, 0.5]
std = [0.2, 0.2, 0.2]

[weights]
file = "w.pt"

[recipe]
data = { use = "folder", name = "pets" }
"""


def read(root, text):
    file = root / "entry.toml"
    file.write_text(text)
    return read_toml(file, EntrySpec)


def test_a_good_entry_is_read(tmp_path):
    spec = read(tmp_path, GOOD)
    assert spec.class_count == 2
    assert spec.preprocessing.mean == (0.5, 0.5, 0.5)
    assert spec.recipe.data.label == "pets"
    one_number = GOOD.replace("[0.5, 0.5, 0.5]", "0.5").replace("[0.2, 0.2, 0.2]", "0.2")
    assert read(tmp_path, one_number).preprocessing.std == (0.2,)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("classes =", "clases =", 3, "unknown key 'clases': did you mean 'classes'"),
        ("mean =", "meen =", 7, "unknown key 'preprocessing.meen': did you mean 'mean'"),
        ("std = [0.2, 0.2, 0.2]", "std = [0.2, 0.2]", None, "the same number of values"),
        ("std = [0.2, 0.2, 0.2]", "std = [0.2, 0.2, 0]", None, "std must be above 0"),
        (
            "[0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]",
            "[1, 1]\nstd = [1, 1]",
            None,
            "2 values, input_shape has 3 channels",
        ),
        ("[preprocessing]", "[preprocessing]\nresize = 64", None, "leave resize out"),
        ('"model:build"', '"model.build"', 4, "expected 'module:callable'"),
        ('name = "one"', 'name = "One/.."', 1, "a name is made of a-z"),
        ('file = "w.pt"', 'file = "w.pt"\npath = "x"', None, "one of file, path and url"),
        ('file = "w.pt"', 'url = "https://example.org/w.pt"', None, "need their sha256"),
        ('file = "w.pt"', 'file = "w.pt"\nsha256 = "abc"', None, "64 hexadecimal digits"),
        ('use = "folder", ', "", None, "'recipe.data.use' is missing"),
        ("input_shape = [3, 32, 32]", "input_shape = [3, 32, 32", None, "not valid TOML"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, old, new, line, said):
    assert old in GOOD
    with pytest.raises(SpecError, match=said.replace("[", r"\[")) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert "entry.toml" in str(caught.value)
    if line is not None:
        assert f"line {line}:" in str(caught.value)


def test_resize_that_agrees_is_fine(tmp_path):
    text = GOOD.replace("[preprocessing]", "[preprocessing]\nresize = 32")
    assert read(tmp_path, text).preprocessing.resize == (32, 32)


def test_the_resolver_looks_in_the_working_directory_first_and_names_nothing_twice(tmp_path, monkeypatch):
    shipped = folders("baselines")
    assert len(shipped) == len(set(shipped)) >= 1
    monkeypatch.chdir(tmp_path)
    assert tmp_path / "baselines" not in folders("baselines")  # only folders that exist
    (tmp_path / "baselines").mkdir()
    assert folders("baselines")[0] == tmp_path / "baselines"
    monkeypatch.chdir(shipped[0].parent)
    assert folders("baselines") == shipped
