"""What a run says of its data, and what one unreadable file costs. Oracle: what was put there, counted by hand."""

import json

import numpy as np
import pytest
from PIL import Image

import benchmark
from benchmark.errors import DataError
from benchmark.store.folder import Store
from tests.conftest import write_entry

SUITE = """
entries = ["one"]
[dataset]
use = "folder"
path = "pets"
size = 8
channels = 1
{more}
[run]
chunk = 5
[[attacks]]
name = "none"
use = "identity"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    for k in range(10):
        for i in range(2):
            path = tmp_path / f"pets/test/{k}/{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(k).integers(0, 256, (8, 12), np.uint8)).save(path)
    write_entry(tmp_path / "baselines" / "one")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(place, more=""):
    (place / "s.toml").write_text(SUITE.format(more=more))
    return benchmark.run("s.toml")


def test_one_unreadable_file_costs_its_chunk_and_everything_is_said(place):
    (place / "pets/test/0/9.png").symlink_to("nowhere.png")
    (place / "pets/test/0/Thumbs.db").write_bytes(b"x")
    done = run(place)
    store = Store(done.folder)
    plan = store.plan()
    heads = store.heads(cell["hash"] for cell in plan["cells"])
    broken = {cell for cell, head in heads.items() if "test/0/9.png" in head["spec"]["samples"]}
    assert {cell for cell, head in heads.items() if head["status"] == "failed"} == broken
    assert len(plan["cells"]) - len(broken) == 8  # four of five chunks, clean and attacked
    reasons = [heads[cell]["reason"] for cell in broken if heads[cell]["spec"]["kind"] == "clean"]
    assert all(
        reason.startswith("DataError") and "0/9.png cannot be read: it is a link" in reason for reason in reasons
    )
    said = [
        "data: left out: 1 hidden file or debris of a system (Thumbs.db)",
        "data: 1 file that cannot be read, whose chunks fail: test/0/9.png (it is a link to nowhere.png",
        "data: 20 of 20 images have other proportions than the grid (8x8) and are squeezed to them",
    ]
    text = (done.folder / "leaderboard.md").read_text()
    shown = "\n".join(done.leaderboard.checks)
    for line in said:
        assert line in text
        assert line in shown
    assert len(plan["dataset"]["notes"]) == 3


def test_a_repaired_file_is_computed_and_nothing_old_is_mixed_in(place):
    (place / "pets/test/0/9.png").symlink_to("nowhere.png")
    before = Store(run(place).folder).plan()
    (place / "pets/test/0/9.png").unlink()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(place / "pets/test/0/9.png")
    done = run(place)
    after = Store(done.folder).plan()
    assert done.counts["failed"] == 0
    assert not {c["hash"] for c in before["cells"]} & {c["hash"] for c in after["cells"]}


def test_a_file_that_changes_while_a_run_goes_on_fails_its_cells(place, monkeypatch):
    """The first chunk is computed, then a file of a later one is written anew."""
    from benchmark.data.folder import Folder

    plain, calls = Folder.read, []

    def read(self, split, ids):
        calls.append(ids)
        if len(calls) == 2:
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(place / "pets" / ids[0])
        return plain(self, split, ids)

    monkeypatch.setattr(Folder, "read", read)
    done = run(place)
    heads = Store(done.folder).heads(cell["hash"] for cell in Store(done.folder).plan()["cells"])
    clean = [head for head in heads.values() if head["spec"]["kind"] == "clean"]
    failed = [head for head in clean if head["status"] == "failed"]
    assert (len(clean), len(failed)) == (4, 1)
    assert "changed while it was read, or during this run" in failed[0]["reason"]
    assert calls[1][0] in failed[0]["spec"]["samples"]


def test_how_images_come_to_the_grid_is_in_the_plan(place):
    plan = Store(run(place, 'fit = "pad"').folder).plan()
    assert plan["suite"]["dataset"]["fit"] == "pad"
    (note,) = plan["dataset"]["notes"]
    assert note == '20 of 20 images have other proportions than the grid (8x8) and have black around them (fit = "pad")'


def test_fewer_classes_than_outputs_are_refused_until_their_indices_are_known(place):
    for k in (2, 3, 4):
        for file in (place / f"pets/test/{k}").iterdir():
            file.unlink()
    with pytest.raises(benchmark.errors.EntryError, match="has 10 classes, the dataset 7"):
        run(place)
    (place / "list.json").write_text(json.dumps([str(k) for k in range(10)]))
    plan = Store(run(place, 'classes = "list.json"').folder).plan()
    assert len(plan["dataset"]["classes"]) == 10
    assert any("class folders without an image: 2, 3, 4" in note for note in plan["dataset"]["notes"])
    with pytest.raises(DataError, match="neither 'imagenet-1k'"):
        run(place, 'classes = "nowhere.txt"')
