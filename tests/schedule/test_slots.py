"""Slots: shares of a device, a lost CUDA context, what ``assay status`` tells of a run. Oracles: property, control."""

from __future__ import annotations

import contextlib
import json
import mmap
import subprocess
import sys
import time

import pytest
import torch

import benchmark
from benchmark.attacks.base import attacks
from benchmark.cli.status import show_seconds
from benchmark.errors import PoisonedError, UsageError
from benchmark.registry import include
from benchmark.schedule import pool
from benchmark.schedule.devices import devices
from benchmark.schedule.engine import Job
from benchmark.schedule.provenance import peak_memory_mb, reset_peak_memory
from benchmark.store.folder import Store
from tests.conftest import REPOSITORY

TOYS = REPOSITORY / "tests" / "toys"
SUITE = """
entries = ["one"]

[dataset]
use = "digits"
samples = 20

[run]
chunk = 10

[[attacks]]
name = "lost"
use = "toy-poison"
budgets = ["0.05", "0.1", "0.2"]
"""


def lines(workplace):
    return [line.split() for line in (workplace.root / "log.txt").read_text().splitlines()]


def run(workplace, params, *args, code=0):
    workplace.suite("poison", f"{SUITE}params = {{ log = '{workplace.root / 'log.txt'}', {params} }}\n")
    include = ("--include", TOYS / "poison_attack.py")
    return workplace.assay("run", "poison", "--workers", 1, *include, *args, code=code)


def test_a_lost_cuda_context_costs_only_its_own_cells(workplace):
    """Control: within one process everything after it fails; the others are done only where it was replaced."""
    done = run(workplace, "at = 0.1", code=1)
    status = {(h["spec"]["eps"], h["spec"]["samples"][0]): h for h in workplace.heads("poison")}
    failed = [head for head in status.values() if head["status"] == "failed"]
    assert {head["spec"]["eps"] for head in failed} == {"1/10"}
    assert len(failed) == 2
    assert len(status) == 8
    assert all("device-side assert triggered" in head["reason"] and head["attempts"] == 2 for head in failed)
    assert "once more" in done.stderr
    poisoned = {process for process, eps in lines(workplace) if eps == "0.1"}
    assert len(poisoned) == 4  # two cells, twice each, and no process lost two
    last = {process: [eps for p, eps in lines(workplace) if p == process][-1] for process in poisoned}
    assert set(last.values()) == {"0.1"}


def test_a_context_lost_by_chance_costs_nothing(workplace):
    run(workplace, "at = 0.1, once = true")
    assert {head["status"] for head in workplace.heads("poison")} == {"done"}
    assert sorted(head["attempts"] for head in workplace.heads("poison"))[-1] == 2


def test_in_one_process_the_cell_fails_and_the_run_stops(workplace, monkeypatch):
    include([TOYS / "poison_attack.py"])
    monkeypatch.chdir(workplace.root)
    workplace.suite("poison", f"{SUITE}params = {{ log = '{workplace.root / 'log.txt'}', at = 0.2 }}\n")
    with pytest.raises(PoisonedError, match="device-side assert"):
        benchmark.run("poison")
    assert sum(head["status"] == "failed" for head in workplace.heads("poison")) == 1
    sys.modules[type(attacks.make("toy-poison", {})).__module__]._lost.clear()  # this process goes on with other tests


@pytest.mark.parametrize(
    ("device", "workers", "share", "expected"),
    [
        ("cuda:0,cuda:1", None, 1, [("cuda:0", "0", 1.0), ("cuda:0", "1", 1.0)]),
        ("cuda:0,cuda:1", None, 2, [("cuda:0", "0", 0.5), ("cuda:0", "1", 0.5)] * 2),
        ("cuda:1", 3, 1, [("cuda:0", "1", 1 / 3)] * 3),
        ("cpu", 2, 4, [("cpu", "", 1.0)] * 2),
    ],
)
def test_what_each_slot_sees_of_the_devices(tmp_path, monkeypatch, device, workers, share, expected):
    """The settings that worker processes are started with; no process is, and no GPU is asked for."""
    monkeypatch.setattr(pool, "devices", lambda asked: asked.split(","))
    started = []
    monkeypatch.setattr(pool.Slot, "start", lambda slot: started.append(slot.settings))

    class Enough:
        left, total, finished = 9, 9, {}

    class StoppedError(Exception):
        pass

    def stop(*args):
        raise StoppedError

    job = Job(Enough(), Store(tmp_path))
    job.watcher.begin = stop
    with pytest.raises(StoppedError):
        pool.run_pool(job, device, workers, slots_per_device=share)
    assert [(s.device, s.visible, s.share) for s in started] == expected


@pytest.mark.long
def test_status_of_a_run_shows_slots_speed_and_time_left(workplace):
    budgets = ", ".join(f'"0.{k}"' for k in range(10, 40))
    text = SUITE.replace("toy-poison", "toy-busy").replace('"0.05", "0.1", "0.2"', budgets)
    workplace.suite("busy", f"{text}params = {{ seconds = 0.5, wait = true }}\n")
    command = workplace.command("run", "busy", "--workers", 1, "--include", TOYS / "nothing_attack.py")
    running = subprocess.Popen(command, cwd=workplace.root, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 60
        said = ""
        while ("cells a minute" not in said or "· lost @ " not in said) and time.monotonic() < limit:
            time.sleep(0.5)
            said = workplace.assay("status", "busy", code=None).stdout
    finally:
        running.terminate()
        running.wait(30)
    assert "of 62 cells, 0 failed; " in said
    assert "slot 0 (cpu): one · lost @ " in said
    assert " left" in said
    after = workplace.assay("status", "busy").stdout
    assert "not running" in after
    assert "slot 0" not in after  # what a killed run left in progress.json is not believed


def test_a_failure_is_told_with_its_last_line(workplace):
    run(workplace, "at = 0.1", code=1)
    said = workplace.assay("status", "poison").stdout
    assert "failed (2 tries): one · lost: Compile with `TORCH_USE_CUDA_DSA`" in said.replace(", 2 times", "")


def test_peak_memory_is_the_cells_own():
    """A CPU: 200 MB that an earlier cell took are no part of the next one's peak; 200 MB of its own are.

    The memory is the operating system's, not malloc's: that may serve a request from what the process holds anyway.
    """
    with taken(200_000_000):
        before = peak_memory_mb("cpu")
    if not reset_peak_memory("cpu"):
        pytest.skip("this system cannot start a new peak: no /proc/self/clear_refs that takes 5")
    after = peak_memory_mb("cpu")
    assert after < before - 150
    with taken(200_000_000):
        assert peak_memory_mb("cpu") > after + 150


@contextlib.contextmanager
def taken(size):
    """So many bytes of resident memory, given back at the end."""
    with mmap.mmap(-1, size) as block:
        block[:: mmap.PAGESIZE] = b"x" * len(range(0, size, mmap.PAGESIZE))
        yield


def test_seconds_are_shown_as_people_say_them():
    assert [show_seconds(s) for s in (0.4, 119, 121, 7200, 12345)] == [
        "0 s",
        "119 s",
        "2 min",
        "2 h 0 min",
        "3 h 26 min",
    ]


def test_devices_that_are_not_there_are_said():
    with pytest.raises(UsageError, match="expected auto, cpu, or CUDA devices"):
        devices("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no cuda:0 here, torch sees 0 CUDA devices"):
            devices("cuda:0")


def test_records_hold_seconds_and_memory(workplace):
    workplace.assay("run", "tiny", "--workers", 1, "--only", "fgsm", "--models", "one")
    heads = workplace.heads()
    assert all(head["seconds"] > 0 and 50 < head["peak_memory_mb"] < 4000 for head in heads)
    assert json.loads((workplace.root / "results" / "tiny" / "plan.json").read_text())["cells"]
