"""What a finished run costs: processor time of the whole command, Python's start and imports included.

The peer is ``assay report``, which makes the same report anew from the same records.
"""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

LIMIT = 1.5  # seconds of processor time

pytestmark = pytest.mark.speed


def seconds(*args: object) -> float:
    """Processor time of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "benchmark.cli.main", *map(str, args)], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_finished_run_of_the_default_suite(tmp_path, benchmark):
    run = ("run", "digits", "--out", tmp_path)
    seconds(*run)
    made = seconds("report", "digits", "--out", tmp_path)
    seconds(*run)  # remembers what the report has just written
    read = benchmark.pedantic(lambda: min(seconds(*run) for _ in range(3)), rounds=1)
    benchmark.extra_info.update({"made anew (s)": round(made, 2), "read (s)": round(read, 2)})
    print(f"\nfinished run of digits: read {read:.2f} s of processor time, report made anew {made:.2f} s")
    assert read < LIMIT
