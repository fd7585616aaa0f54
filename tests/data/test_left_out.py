"""Nothing is left out without a word. Oracles: what was put there, counted by hand; csv for the manifests."""

import csv
import io
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark.data.base import Grid, datasets
from benchmark.data.reading.manifest import near_columns, read_table
from benchmark.errors import DataError


def picture(path, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)


def make(root, **params):
    return datasets.make("folder", {"path": root, **params})


@pytest.fixture
def pets(tmp_path):
    for i in range(4):
        picture(tmp_path / f"test/{'cat' if i % 2 else 'dog'}/{i}.png", 100 + i)
    return tmp_path


def manifest(root, rows, delimiter=",", encoding="utf-8", newline="\n", quote=csv.QUOTE_MINIMAL):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=quote).writerows(rows)
    (root / "manifest.csv").write_bytes(out.getvalue().encode(encoding))


ROWS = [["file", "patient"], *[[f"test/{'cat' if i % 2 else 'dog'}/{i}.png", f"p{i // 2}"] for i in range(4)]]


# -- debris, other files, empty folders --------------------------------------------------------------------------------

DEBRIS = ["__MACOSX/cat/._1.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints/1-checkpoint.png"]


@pytest.mark.parametrize("name", DEBRIS)
@pytest.mark.parametrize("where", ["", "test/", "test/cat/"])
def test_debris_is_left_out_and_counted(pets, name, where):
    clean = make(pets).index("test")
    path = pets / where / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x00\x05\x16\x07")
    index = make(pets).index("test")
    assert (index.ids, index.classes, index.digest) == (clean.ids, clean.classes, clean.digest)
    top = name.split("/")[0]
    assert index.notes == (f"left out: 1 hidden file or debris of a system ({top})",)


def test_debris_beside_classes_without_split_folders(tmp_path):
    for i in range(40):
        picture(tmp_path / f"{'ab'[i % 2]}/{i}.png", i + 70)
    (tmp_path / "__MACOSX/a").mkdir(parents=True)
    (tmp_path / "__MACOSX/a/._0.png").write_bytes(b"\x00")
    index = make(tmp_path).index("test")
    assert index.classes == ("a", "b")
    assert index.notes == ("left out: 1 hidden file or debris of a system (__MACOSX)",)


def test_other_files_nested_folders_and_loose_images_are_counted(pets):
    (pets / "test/cat/notes.txt").write_text("x")
    (pets / "test/cat/1.heic").write_bytes(b"x")
    picture(pets / "test/dog/old/9.png")
    picture(pets / "test/8.png")
    (pets / "README.md").write_text("not among the images: not counted")
    (note,) = make(pets).index("test").notes
    assert "1 image outside the class folders (8.png)" in note
    assert "2 files that are no images by their names (.heic (1), .txt (1))" in note
    assert "1 folder inside a class folder (old)" in note


def test_empty_class_folders_are_named(pets):
    (pets / "test/emu").mkdir()
    (pets / "train/cat").mkdir(parents=True)
    picture(pets / "train/dog/0.png")
    (note,) = make(pets).index("test").notes
    assert note == "class folders without an image: test/emu, train/cat; emu is not counted as a class"
    assert make(pets).index("test").classes == ("cat", "dog")


def test_notes_follow_what_lies_there_although_the_index_is_cached(pets):
    assert make(pets).index("test").notes == ()
    (pets / "test/cat/Thumbs.db").write_bytes(b"x")
    assert make(pets).index("test").notes
    (pets / "test/cat/Thumbs.db").unlink()
    assert make(pets).index("test").notes == ()
    picture(pets / "train/ant/0.png")
    assert make(pets).index("test").classes == ("ant", "cat", "dog")  # a class of another split moves the indices


# -- manifests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_way_to_write_a_manifest(pets, delimiter, encoding, newline):
    manifest(pets, ROWS, delimiter, encoding, newline, csv.QUOTE_ALL if encoding == "utf-8-sig" else csv.QUOTE_MINIMAL)
    index = make(pets).index("test")
    assert dict(zip(index.ids, index.groups, strict=True)) == dict(ROWS[1:])
    assert index.notes == ()


@given(
    st.lists(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1), min_size=1, max_size=6),
    st.sampled_from([",", ";", "\t", "|"]),
)
@settings(max_examples=40, deadline=None)
def test_what_csv_writes_is_read(tmp_path_factory, values, delimiter):
    """Round trip with the csv module, values with delimiters and quotes included."""
    root = tmp_path_factory.mktemp("table")
    rows = [["file", "note"], *[[f"{i}.png", value] for i, value in enumerate(values)]]
    manifest(root, rows, delimiter)
    table = read_table(root / "manifest.csv", ["file"], "x")
    assert [list(row.values()) for row in table.rows] == [[name, value.strip()] for name, value in rows[1:]]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([["filename", "patient"], ["test/cat/1.png", "p"]], r"no column 'file'.*rename 'filename' to 'file'"),
        ([["name of it", "patient"], ["test/cat/1.png", "p"]], "no column 'file', it has name of it, patient"),
        (
            [["file", "Patient_ID"], ["test/cat/1.png", "p"]],
            r'column \'Patient_ID\' but no \'patient\': say group = "Patient_ID"',
        ),
        ([["file", "pateint"], ["test/cat/1.png", "p"]], "column 'pateint' but no 'patient'"),
        ([["file", "groups"], ["test/cat/1.png", "p"]], "column 'groups' but no 'group'"),
        ([["file", "mask_path"], ["test/cat/1.png", "p"]], r'no \'mask\': say mask = "mask_path"'),
        ([["file", "patient"], ["test/cat/1.png"]], "line 2: 1 values, expected 2"),
        ([["file", "patient"], ["a", "b"], ["test/cat/1.png", "p", "q"]], "line 3: 3 values, expected 2"),
        ([["file", "file"], ["a", "b"]], "two columns 'file'"),
        ([["file", "patient"], ["", "p"]], "line 2: no value in the column 'file'"),
        ([*ROWS, ["test/cat/1.png", "other"]], r"line 6: a second row for 'test/cat/1\.png' says something else"),
        (ROWS[:3], r"no row for the file 'test/cat/3\.png' \(2 files of 4 without one\)"),
        ([["file", "patient"]], "no row for the file"),
    ],
)
def test_manifests_that_are_refused(pets, rows, said):
    manifest(pets, rows)
    with pytest.raises(DataError, match=said):
        make(pets).index("test")


def test_an_empty_manifest_and_one_that_is_no_text(pets):
    for content, said in (
        (b"", "is empty"),
        ("file,patient\nl\xe4\n".encode("latin-1"), "line 2: byte 0xe4 is no UTF-8"),
        (b"PK\x03\x04\x00\x00", "is no text|is no UTF|zero bytes"),
        (b'file,patient\n"test/cat', "line 2 cannot be read as CSV"),
    ):
        (pets / "manifest.csv").write_bytes(content)
        with pytest.raises(DataError, match=said):
            make(pets).index("test")
    (pets / "manifest.csv").unlink()
    (pets / "manifest.csv").mkdir()
    with pytest.raises(DataError, match="it is a folder, expected a file"):
        make(pets).index("test")


def test_rows_without_a_file_and_rows_twice_alike_are_counted_or_taken(pets):
    manifest(pets, [*ROWS, ["train/cat/77.png", "p9"], ["train/cat/78.png", "p9"], ROWS[1]])
    index = make(pets).index("test")
    assert index.notes == ("2 rows of the manifest (of 6) without a file: train/cat/77.png, train/cat/78.png",)


def test_a_file_without_a_group_or_a_mask_is_counted(pets):
    manifest(pets, [ROWS[0], *ROWS[1:4], [ROWS[4][0], " "]])
    index = make(pets).index("test")
    assert index.notes == ("1 file without a group (patient), each taken as one of its own: test/cat/3.png",)
    assert set(index.groups) == {"p0", "p1", "test/cat/3.png"}
    picture(pets / "m.png", 255)
    manifest(pets, [["file", "mask"], *[[row[0], "m.png" if i else ""] for i, row in enumerate(ROWS[1:])]])
    index = make(pets).index("test")
    assert not index.masks
    assert index.notes == ("masks are not used: 1 file of 4 without one in the column 'mask': test/dog/0.png",)


def test_a_manifest_of_which_nothing_is_used_says_so(pets):
    manifest(pets, [["file", "weather"], ["test/cat/1.png", "rain"]])
    (note,) = make(pets).index("test").notes
    assert note == "manifest.csv: none of its columns (file, weather) names groups or masks, so it is not used"


def test_a_table_under_another_name_is_named_and_can_be_read(pets):
    (pets / "meta.tsv").write_text("file\tpatient\n" + "".join(f"{name}\t{who}\n" for name, who in ROWS[1:]))
    (pets / "README.md").write_text("x")
    index = make(pets).index("test")
    assert index.notes == (
        "not read: meta.tsv; groups and masks are looked for in manifest.csv (parameter `manifest`)",
    )
    read = make(pets, manifest="meta.tsv").index("test")
    assert (read.notes, set(read.groups)) == ((), {"p0", "p1"})


def test_columns_that_are_near_and_that_are_not():
    wanted = ["patient", "mask", "track"]
    near = [
        "Patient",
        "patients",
        "patient_id",
        "PatientID",
        "Mask",
        "masks",
        "mask_file",
        "pateint",
        "tracks",
        "Track no",
    ]
    assert set(near_columns(near, wanted)) == set(near)
    assert not near_columns(
        ["patience", "mask_fraction", "subtype", "source_path", "orig_width", "label", "age"], wanted
    )


def test_paths_in_a_manifest_as_windows_and_macs_write_them(pets):
    picture(pets / "test/cat/u\u0308.png", 120)  # decomposed, as a Mac stores it
    rows = [[row[0].replace("/", "\\"), row[1]] for row in ROWS[1:]]
    manifest(pets, [ROWS[0], *rows, ["./test/cat/\u00fc.png", "p7"]])
    index = make(pets).index("test")
    assert index.groups[index.ids.index("test/cat/u\u0308.png")] == "p7"
    assert index.notes == ("1 row of the manifest (of 5) without a file: test/cat/\u00fc.png",) or not index.notes


# -- faults of files ---------------------------------------------------------------------------------------------------


def test_one_unreadable_file_costs_its_chunk_alone(pets):
    whole = make(pets).index("test")
    (pets / "test/cat/7.png").symlink_to("nowhere.png")
    data = make(pets)
    index = data.index("test")
    assert set(index.ids) == {*whole.ids, "test/cat/7.png"}
    assert any("1 file that cannot be read" in note and "a link to nowhere.png" in note for note in index.notes)
    assert data.load("test", whole.ids, Grid()).inputs.shape[0] == 4
    with pytest.raises(DataError, match=r"7\.png cannot be read: it is a link to nowhere\.png, which does not exist"):
        data.load("test", index.ids, Grid())
    broken = index.digest
    picture(pets / "test/cat/nowhere.png", 9)
    assert make(pets).index("test").digest != broken


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(pets):
    (pets / "test/cat/1.png").chmod(0)
    index = make(pets).index("test")
    assert any("there is no permission to read it" in note for note in index.notes)
    (pets / "test/cat/1.png").chmod(0o644)
    assert make(pets).index("test").digest != index.digest


def test_a_file_that_changes_during_a_run_is_noticed(pets):
    data = make(pets)
    ids = data.index("test").ids
    data.load("test", ids, Grid())
    picture(pets / ids[1], 7)
    assert data.load("test", ids[:1], Grid()).ids == ids[:1]
    with pytest.raises(DataError, match=r"1\.png changed .* run the same command again|3\.png changed"):
        data.load("test", ids, Grid())
    assert make(pets).load("test", ids, Grid())


def test_an_array_that_changes_during_a_run_is_noticed(tmp_path):
    file = tmp_path / "a.npz"
    np.savez(file, x_test=np.zeros((2, 3, 3)), y_test=np.arange(2))
    data = datasets.make("npz", {"path": file})
    data.index("test")
    np.savez(file, x_test=np.ones((2, 3, 3)), y_test=np.arange(2))
    with pytest.raises(DataError, match="changed"):
        data.load("test", ["test-0000"], Grid())


def test_names_that_are_no_text(pets):
    folder = os.fsencode(pets / "test/cat")
    try:
        os.rename(folder + b"/1.png", folder + b"/\xff\xe9.png")  # noqa: PTH104  (a name of bytes)
    except OSError:
        pytest.skip("this file system takes no such names")
    index = make(pets).index("test")
    assert "test/cat/\\xff\\xe9.png" in index.ids
    assert len(make(pets).load("test", index.ids, Grid())) == 4


FILES = {
    "a.npy": "npy",
    "a.npz": "npz",
    "a.nii": "nifti",
    "a.nii.gz": "nifti",
    "a.h5": "fastmri",
    "a.png": "folder",
    "t10k-images-idx3-ubyte.gz": "mnist-idx",
}
USES = ["folder", "folder-with-masks", "npz", "kspace-npz", "npy", "nifti", "fastmri", "mnist-idx", "stop-signs"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("inside", [False, True])
def test_every_pair_of_dataset_and_file_says_which_would_fit(tmp_path, file, use, inside):
    place = tmp_path / "data"
    place.mkdir()
    (place / file).write_bytes(b"nothing")
    with pytest.raises(DataError) as caught:
        datasets.make(use, {"path": place if inside else place / file}).index("test")
    both = {"npz": ("npz", "kspace-npz"), "folder": ("folder", "folder-with-masks", "stop-signs")}
    fits = both.get(FILES[file], (FILES[file],))
    if use not in fits:
        assert f"is for the dataset {FILES[file]!r}" in str(caught.value), str(caught.value)
    else:
        assert "is for the dataset" not in str(caught.value)


def test_an_error_can_always_be_printed():
    for name in ("a\udcff", "half \ud800", "plain", "\u00fc"):
        str(DataError(f"{name} cannot be read")).encode()
    assert str(DataError("a\udcff")) == "a\\xff"


def test_a_pipe_and_a_loop_are_no_images_and_nothing_waits_for_them(pets):
    os.mkfifo(pets / "test/cat/pipe.png")
    (pets / "test/cat/loop.png").symlink_to("loop.png")
    data = make(pets)
    index = data.index("test")
    assert "left out: 1 file that is no image by its name (.png (1))" in index.notes
    assert any("loop.png" in note and "cannot be read" in note for note in index.notes)
    with pytest.raises(DataError, match="loop"):
        data.load("test", index.ids, Grid())


def test_what_lies_beside_photos_masks_and_volumes_is_counted(tmp_path):
    for i in range(4):
        picture(tmp_path / f"victim_256/{i}.png")
        picture(tmp_path / f"images/test/a/{i}.png")
        picture(tmp_path / f"masks/test/a/{i}.png", 255)
    np.save(tmp_path / "a.npy", np.ones((4, 4)))
    for name in ("victim_256/Thumbs.db", "masks/test/a/._0.png", "notes.json"):
        (tmp_path / name).write_bytes(b"x")
    expected = {
        "stop-signs": "left out: 1 file beside the data (.db (1))",
        "folder-with-masks": "left out: 1 file among the masks (._0.png)",
        "npy": "left out: 1 file beside the data (.json (1))",
    }
    for use, note in expected.items():
        assert note in datasets.make(use, {"path": tmp_path}).index("test").notes, use
    picture(tmp_path / "masks/test/a/9.png", 255)
    assert (
        "1 mask without an image: 9.png" in datasets.make("folder-with-masks", {"path": tmp_path}).index("test").notes
    )
