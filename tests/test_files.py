"""Digests of files, and what is remembered of them. Oracle: the content, read again; stat's fields under our hands."""

from __future__ import annotations

import hashlib
import os
import shutil
import time

import pytest

from benchmark import files
from benchmark.data.base import Grid, datasets
from benchmark.errors import DataError, SpecError
from benchmark.files import file_sha256, reading, rehashing, remembered, stamp, stamps

LARGE = 1 << 20


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def sha(byte: bytes) -> str:
    return hashlib.sha256(byte * LARGE).hexdigest()


def write(file, byte: bytes, like=None):
    """A large file; with ``like`` of its times, as archives and ``cp -p`` leave them."""
    file.write_bytes(byte * LARGE)
    if like is not None:
        os.utime(file, ns=(like.st_atime_ns, like.st_mtime_ns))
    return file


def in_place(file, byte):
    write(file, byte, file.stat())


def by_replacement(file, byte):
    other = write(file.with_suffix(".new"), byte, file.stat())
    other.replace(file)


def by_link(file, byte):
    """The path leads to another file of the same name, size and time, as where two branches or two stores are used."""
    folder = file.parent / "other"
    folder.mkdir()
    other = write(folder / file.name, byte, file.stat())
    file.unlink()
    file.symlink_to(other)


def by_a_link_of_the_folder(file, byte):
    old, new = file.parent.parent / "a", file.parent.parent / "b"
    new.mkdir()
    write(new / file.name, byte, (old / file.name).stat())
    file.parent.unlink()
    file.parent.symlink_to(new)


@pytest.mark.parametrize("change", [in_place, by_replacement, by_link, by_a_link_of_the_folder])
def test_another_content_under_the_same_name_size_and_time_has_another_digest(tmp_path, change):
    (tmp_path / "a").mkdir()
    (tmp_path / "now").symlink_to(tmp_path / "a")
    file = write(tmp_path / "now" / "w.bin", b"a")
    assert file_sha256(file) == sha(b"a")
    before = file.stat()
    change(file, b"b")
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert file_sha256(file) == sha(b"b")


def test_a_digest_is_computed_once(tmp_path, monkeypatch):
    file = write(tmp_path / "w.bin", b"a")
    file_sha256(file)
    monkeypatch.setattr(files, "_sha256", lambda *_: pytest.fail("computed again"))
    assert file_sha256(file) == sha(b"a")


def test_a_change_within_a_tick_of_the_kernels_clock_is_seen(tmp_path):
    """Property: whatever is written right after a stamp was taken changes it (the stamp waits for the tick to end)."""
    file = tmp_path / "w.bin"
    for i in range(5):
        file.write_bytes(b"%d" % i)
        before = stamp(file)
        file.write_bytes(b"%d" % (i + 5))
        os.utime(file, ns=(before[4], before[4]))
        assert stamp(file) != before


def test_nothing_is_remembered_across_users_or_machines(tmp_path, monkeypatch, cache):
    """Two people who share a cache folder, and one cache on a network disk: each computes for itself."""
    made = []

    def make():
        made.append(1)
        return {"n": len(made)}

    assert remembered("kind", ["key"], "it", make) == {"n": 1} == remembered("kind", ["key"], "it", make)
    with monkeypatch.context() as other:
        other.setattr("os.getuid", lambda: 12345)
        assert remembered("kind", ["key"], "it", make) == {"n": 2}
    with monkeypatch.context() as other:
        other.setattr("platform.node", lambda: "another-machine")
        assert remembered("kind", ["key"], "it", make) == {"n": 3}
    assert remembered("kind", ["key"], "it", make) == {"n": 1}


@pytest.mark.skipif(os.getuid() != 0, reason="needs to give files away")
def test_a_file_of_the_cache_that_another_user_put_there_is_not_believed(tmp_path, cache):
    file = write(tmp_path / "w.bin", b"a")
    file_sha256(file)
    (entry,) = (cache / "sha256").iterdir()
    entry.write_text('{"sha256": "wrong"}')
    assert file_sha256(file) == "wrong"
    os.chown(entry, 12345, -1)
    assert file_sha256(file) == sha(b"a")


def test_a_damaged_cache_and_one_that_cannot_be_written_only_cost_time(tmp_path, cache, monkeypatch):
    file = write(tmp_path / "w.bin", b"a")
    file_sha256(file)
    (entry,) = (cache / "sha256").iterdir()
    for damage in ("", "[1, 2]", "{", "\x00"):
        entry.write_text(damage)
        assert file_sha256(file) == sha(b"a")
    monkeypatch.setenv("ASSAY_CACHE", str(file / "below a file"))
    assert file_sha256(file) == sha(b"a")


def test_rehashing_reads_anew_and_names_what_differs(tmp_path, cache):
    file, other = write(tmp_path / "w.bin", b"a"), write(tmp_path / "v.bin", b"c")
    file_sha256(file), file_sha256(other)
    entry = next(e for e in (cache / "sha256").iterdir() if sha(b"a") in e.read_text())
    entry.write_text(f'{{"sha256": "{sha(b"b")}"}}')  # as after a restore that set everything back
    assert file_sha256(file) == sha(b"b")
    with rehashing() as found:
        assert file_sha256(file) == sha(b"a")
        file_sha256(other)
        file_sha256(file)
    assert found.differing == [f"{file}: not what was remembered of it under the same name, size and times"]
    assert found.lines()[0] == "content digests computed anew: 2; 1 of them differ from what was remembered"
    assert file_sha256(file) == sha(b"a")
    with rehashing() as found:
        file_sha256(file)
    assert found.lines() == ["content digests computed anew: 1; none differs from what was remembered"]


def test_a_file_that_changes_while_it_is_read_is_named(tmp_path, monkeypatch):
    file = write(tmp_path / "w.bin", b"a")
    real = hashlib.file_digest

    def and_somebody_writes(stream, name):
        found = real(stream, name)
        write(file, b"b")
        return found

    monkeypatch.setattr("hashlib.file_digest", and_somebody_writes)
    with pytest.raises(DataError, match=r"w\.bin changed while it was read"):
        file_sha256(file)


def test_data_that_change_while_an_index_is_built_or_a_run_goes_on_are_refused(tmp_path, monkeypatch):
    import numpy as np

    file = tmp_path / "d.npz"
    arrays = {"x_test": np.zeros((4, 8, 8), np.uint8), "y_test": np.arange(4)}
    np.savez(file, **arrays)
    data = datasets.make("npz", {"path": file})
    ids = data.index("test").ids
    data.load("test", ids, Grid())
    np.savez(file, **arrays | {"x_test": np.ones((4, 8, 8), np.uint8)})
    with pytest.raises(DataError, match=r"d\.npz changed while it was read, or during this run"):
        data.load("test", ids, Grid())
    slow = datasets.make("npz", {"path": file})
    build = type(slow).build_index

    def and_somebody_writes(self, split):
        index = build(self, split)
        np.savez(file, **arrays)
        return index

    monkeypatch.setattr(type(slow), "build_index", and_somebody_writes)
    with pytest.raises(DataError, match=r"d\.npz changed while it was read"):
        slow.index("test")


def test_two_copies_of_a_set_with_equal_stats_are_two_sets(tmp_path):
    """Folders swapped by ``mv``: name, size and mtime of every file are the same, one pixel is not."""
    from PIL import Image

    for name, value in (("a", 0), ("b", 255)):
        for label in ("x", "y"):
            (tmp_path / name / "test" / label).mkdir(parents=True)
            file = tmp_path / name / "test" / label / "1.bmp"
            Image.new("L", (8, 8), value).save(file)
            os.utime(file, ns=(10**18, 10**18))
    shutil.copytree(tmp_path / "a", tmp_path / "data")
    first = datasets.make("folder", {"path": tmp_path / "data"}).index("test").digest
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "b").rename(tmp_path / "data")
    assert datasets.make("folder", {"path": tmp_path / "data"}).index("test").digest != first


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.symlink_to("nowhere"), "is a link to nowhere, which does not exist"),
        (lambda p: p.mkdir(), "is a folder, expected a file"),
        (lambda p: None, "does not exist; correct the path"),
        (lambda p: p.write_bytes(b"\xff\xfe\xff"), "is not text in UTF-8"),
    ],
)
def test_what_reading_raises_is_an_error_that_names_the_file(tmp_path, make, words):
    file = tmp_path / "f.txt"
    make(file)
    with pytest.raises(SpecError, match=words) as caught, reading(file, SpecError):
        file.read_text(encoding="utf-8")
    assert str(file) in str(caught.value)
    if not file.exists():
        with pytest.raises(DataError, match=r"f\.txt"):
            stamps([file])


def test_a_stamp_waits_no_longer_than_a_tick(tmp_path):
    """Not for files of long ago, nor for those whose clock is ahead; of many fresh ones once."""
    many = [tmp_path / str(i) for i in range(200)]
    for file in many:
        file.write_bytes(b"x")
    start = time.perf_counter()
    stamps(many)
    assert time.perf_counter() - start < 2
