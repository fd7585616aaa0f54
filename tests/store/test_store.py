"""Oracles: round trips, and the files themselves after a fault."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import LockedError, StoreError
from benchmark.store.atomic import write_atomic
from benchmark.store.folder import Store
from benchmark.store.record import Record, strings


def record(name="a" * 64, n=3, **changes):
    rows = {"sample": strings([f"s{i}" for i in range(n)]), "value": np.arange(n) / 3, "ok": np.ones(n, bool)}
    return Record(hash=name, spec={"samples": [f"s{i}" for i in range(n)]}, rows=rows, **changes)


def test_rows_and_artefacts_come_back_as_they_were(tmp_path):
    store = Store(tmp_path)
    arrays = {"inputs": np.random.default_rng(0).random((2, 1, 3, 3), dtype=np.float32)}
    store.write(record(artefacts={"perturbed": arrays}))
    rows = store.rows("a" * 64)
    assert rows["sample"].tolist() == ["s0", "s1", "s2"]
    np.testing.assert_array_equal(rows["value"], np.arange(3) / 3)
    np.testing.assert_array_equal(store.artefact("a" * 64, "perturbed")["inputs"], arrays["inputs"])


def test_changed_bytes_are_refused(tmp_path):
    store = Store(tmp_path)
    store.write(record())
    other = record()
    other.rows["value"] = other.rows["value"] + 1
    Store(tmp_path / "other").write(other)
    (tmp_path / "other/cells" / f"{'a' * 64}.parquet").replace(store.cells / f"{'a' * 64}.parquet")
    with pytest.raises(StoreError, match="has changed since it was written"):
        store.rows("a" * 64)


def test_a_json_cut_off_or_of_another_schema_is_no_record(tmp_path):
    store = Store(tmp_path)
    store.write(record())
    file = store.cells / f"{'a' * 64}.json"
    whole = file.read_text()
    file.write_text(whole[:40])
    assert store.head("a" * 64) is None
    file.write_text(json.dumps(json.loads(whole) | {"schema_version": 99}))
    assert store.head("a" * 64) is None


def test_new_rows_never_stand_beside_an_old_json(tmp_path, monkeypatch):
    """A cell computed again and killed between its two files has no record, rather than one that contradicts itself."""
    store = Store(tmp_path)
    store.write(record())

    def killed(path, data, **_):
        if path.suffix == ".json":
            raise KeyboardInterrupt
        return write_atomic(path, data)

    monkeypatch.setattr("benchmark.store.folder.write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write(record(n=5))
    assert store.head("a" * 64) is None


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    write_atomic(tmp_path / "x", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        write_atomic(tmp_path / "x", b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_pack_from_cells_and_from_the_pack_alone_are_the_same_bytes(tmp_path):
    store = Store(tmp_path)
    names = [letter * 64 for letter in "abc"]
    store.write(record(names[0]))
    store.write(Record(hash=names[1], spec={}, status="failed", reason="boom"))
    third = record(names[2], n=2)
    third.rows["extra"] = np.array([1, 2])
    store.write(third)
    assert store.pack(names) == 3
    first = (tmp_path / "records.parquet").read_bytes()
    for file in store.cells.iterdir():
        file.unlink()
    assert store.pack(names) == 3
    assert (tmp_path / "records.parquet").read_bytes() == first
    packed = store.packed()
    assert isinstance(packed, pd.DataFrame)
    assert packed["json"].notna().sum() == 3
    assert len(packed) == 3 + 3 + 2


def test_a_second_run_is_refused_and_told_of_the_first(tmp_path):
    store = Store(tmp_path)
    code = (
        "from pathlib import Path; from benchmark.store.folder import Store; from benchmark.errors import LockedError\n"
        f"try:\n with Store(Path({str(tmp_path)!r})).locked('second'): print('entered')\n"
        "except LockedError as error: print(error)"
    )
    with store.locked("process 1 on host"):
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "in use by process 1 on host" in out
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "entered\n"
    )
    assert not (tmp_path / "run.json").exists()


def test_the_holder_is_who_holds_the_lock_not_who_left_a_note(tmp_path):
    store = Store(tmp_path)
    assert store.holder() == ""
    with store.locked("process 1 on host"):
        assert store.holder() == "process 1 on host"
    (tmp_path / "run.json").write_text("process 2 on host")  # what a run leaves that was killed
    assert store.holder() == ""
    with store.locked("process 3 on host"):
        assert store.holder() == "process 3 on host"


def test_locked_error_is_a_usage_error():
    from benchmark.errors import UsageError

    assert issubclass(LockedError, UsageError)
