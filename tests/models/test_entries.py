"""Finding and reading entries, and what their digest follows. Oracle: the contract of what changes it and what not."""

import subprocess
import sys

import pytest

from benchmark.errors import SpecError, UnknownNameError, UsageError
from benchmark.files import file_sha256
from benchmark.models.entries import find_entries, load_entry

TOML = """
name = "{name}"
input_shape = [1, 8, 8]
classes = 10
factory = "model:build"
{more}
"""
CODE = "from torch import nn\n\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"


def write(root, name="one", more="", code=CODE):
    folder = root / name
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "entry.toml").write_text(TOML.format(name=name, more=more))
    (folder / "model.py").write_text(code)
    return folder


def digest_of(root, name="one"):
    return load_entry(name, [root]).digest()


def test_entries_are_found_in_folders_and_as_folders_and_extra_ones_hide_shipped_ones(tmp_path):
    write(tmp_path, "one")
    mine = write(tmp_path, "digits_cnn")
    assert find_entries([tmp_path])["one"] == tmp_path / "one"
    assert find_entries([tmp_path / "one"])["one"] == tmp_path / "one"
    assert load_entry("digits_cnn", [tmp_path]).folder == mine
    assert load_entry("digits_cnn").folder != mine


def test_the_working_directory_comes_before_the_repository(tmp_path, monkeypatch):
    mine = write(tmp_path / "baselines", "digits_cnn")
    monkeypatch.chdir(tmp_path)
    assert load_entry("digits_cnn").folder == mine
    assert "digits_mlp" in find_entries()


def test_unknown_entry_names_the_near_match_and_where_it_was_looked_for(tmp_path):
    write(tmp_path)
    with pytest.raises(UnknownNameError, match=r"did you mean 'digits_cnn'.*looked in") as caught:
        load_entry("digits_cn", [tmp_path])
    assert str(tmp_path) in str(caught.value)


def test_folder_without_entries_and_wrong_name_are_refused(tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        find_entries([tmp_path / "none"])
    with pytest.raises(UsageError, match=r"holds no entry\.toml"):
        find_entries([tmp_path])
    write(tmp_path).rename(tmp_path / "two")
    with pytest.raises(SpecError, match="name = 'one', but the folder is 'two'"):
        load_entry("two", [tmp_path])


@pytest.mark.parametrize(
    "more",
    ['description = "x"', 'licence = "MIT"', 'paper = "p"', 'author = "a"', 'dataset = "d"', "# a comment",
     'output = "logits"', "[preprocessing]\ngrey = false"],
)  # fmt: skip
def test_labels_and_defaults_written_out_leave_the_digest(tmp_path, more):
    write(tmp_path)
    before = digest_of(tmp_path)
    write(tmp_path, more=more)
    assert digest_of(tmp_path) == before


@pytest.mark.parametrize(
    "more",
    ["kwargs = { width = 3 }", 'output = "logit1"', 'gradcam_layer = "0"', "[preprocessing]\nmean = 0.1\nstd = 0.5",
     "[preprocessing]\ngrey = true"],
)  # fmt: skip
def test_model_fields_change_the_digest(tmp_path, more):
    write(tmp_path)
    before = digest_of(tmp_path)
    write(tmp_path, more=more)
    assert digest_of(tmp_path) != before


def test_code_and_weights_change_the_digest_and_the_place_does_not(tmp_path):
    folder = write(tmp_path / "a", more='[weights]\nfile = "w.bin"')
    absent = digest_of(tmp_path / "a")
    (folder / "w.bin").write_bytes(b"1")
    first = digest_of(tmp_path / "a")
    other = write(tmp_path / "b", more=f'[weights]\npath = "{folder / "w.bin"}"')
    assert digest_of(tmp_path / "b") == first
    (folder / "w.bin").write_bytes(b"2")
    second = digest_of(tmp_path / "a")
    (folder / "layers.py").write_text("x = 1\n")
    third = digest_of(tmp_path / "a")
    (folder / "README.md").write_text("text")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "old.py").write_text("x")
    assert digest_of(tmp_path / "a") == third
    assert len({absent, first, second, third}) == 4
    assert other.is_dir()


def test_an_importable_factory_enters_with_its_distribution(tmp_path, monkeypatch):
    folder = write(tmp_path)
    (folder / "model.py").unlink()
    text = (folder / "entry.toml").read_text()
    (folder / "entry.toml").write_text(text.replace("model:build", "torchvision.models:resnet18"))
    before = digest_of(tmp_path)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.0")
    assert digest_of(tmp_path) != before


def test_large_files_are_hashed_again_only_when_they_change(tmp_path):
    file = tmp_path / "w.bin"
    file.write_bytes(b"a" * (1 << 20))
    first = file_sha256(file)
    assert file_sha256(file) == first
    file.write_bytes(b"b" * (1 << 20))
    assert file_sha256(file) != first


def test_digest_needs_no_torch():
    code = (
        "import sys\nfrom benchmark.models.entries import load_entry\nprint(load_entry('digits_cnn').digest())\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == load_entry("digits_cnn").digest()


@pytest.mark.parametrize(
    ("more", "file"),
    [("", "one/scale.json"), ("", "one/deep/table.npy"), ('kwargs = { f = "net.pt" }', "one/net.pt"),
     ('kwargs = { a = [{ b = "parts/" }] }', "one/parts/part.bin"), ("", "outside_helper.py"),
     ("", "outside_package/constants.py")],
)  # fmt: skip
def test_what_the_code_may_read_changes_the_digest(tmp_path, monkeypatch, more, file):
    """Helper files in the folder, files that kwargs name, and modules on the path that the code imports."""
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path, more=more, code="import outside_helper\n" + CODE)
    for name in ("outside_helper.py", "outside_package/__init__.py", "outside_package/constants.py", file):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("import outside_package\n" if name == "outside_helper.py" else "")
    first = digest_of(tmp_path)
    (tmp_path / file).write_text("SCALE = 2\n")
    assert digest_of(tmp_path) != first


def test_a_network_around_another_entrys_follows_that_entry(tmp_path, monkeypatch):
    """``of = NAME`` of a factory of ours names an entry: its architecture is part of the network."""
    root = tmp_path / "baselines"
    write(root, "inner")
    monkeypatch.chdir(tmp_path)
    folder = write(root, "around", 'kwargs = { of = "inner", layer = "0" }')
    text = (folder / "entry.toml").read_text().replace("model:build", "benchmark.models.projection:build")
    (folder / "entry.toml").write_text(text)
    (folder / "model.py").unlink()
    first = digest_of(root, "around")
    write(root, "inner", code=CODE.replace("Flatten()", "Flatten(), nn.ReLU()"))
    assert digest_of(root, "around") != first


@pytest.mark.parametrize("file", [".scale", "scale.tmp", "README.json", "notes.md", "training.csv", "LICENSE"])
def test_words_and_hidden_files_count_where_the_code_names_them(tmp_path, file):
    folder = write(tmp_path, code=CODE)
    (folder / file).write_text("1")
    before = digest_of(tmp_path)
    (folder / file).write_text("2")
    assert (digest_of(tmp_path) != before) == (file == "README.json")  # which is no words
    write(tmp_path, code=f"NAME = {file!r}\n{CODE}")
    before = digest_of(tmp_path)
    (folder / file).write_text("3")
    assert digest_of(tmp_path) != before


@pytest.mark.parametrize(
    "read", ['os.environ["ASSAY_SIGN"]', 'os.environ.get("ASSAY_SIGN", "1")', 'os.getenv("ASSAY_SIGN")']
)
def test_environment_variables_that_the_code_reads_count(tmp_path, monkeypatch, read):
    write(tmp_path, code=f"import os\n{CODE}\nSIGN = {read}\n")
    found = []
    for value in ("1", "-1"):
        monkeypatch.setenv("ASSAY_SIGN", value)
        found.append(digest_of(tmp_path))
    monkeypatch.setenv("ASSAY_OTHER", "x")
    assert found[0] != found[1] == digest_of(tmp_path)


def test_an_entrys_file_that_is_a_folder_is_named(tmp_path):
    (tmp_path / "one" / "entry.toml").mkdir(parents=True)
    with pytest.raises(SpecError, match=r"one/entry\.toml cannot be read: it is a folder, expected a file"):
        load_entry("one", [tmp_path])
