"""The shipped suites on a GPU beside the CPU: the same verdicts, and what they take (``-m speed``; skips without CUDA).

Oracle: the same suite on the CPU. Ranks must be the same, and every rate within the other's 95 % interval. Seconds and
peak memory are those in the records. ASSAY_GPU names the device (default ``cuda:0``).
"""

from __future__ import annotations

import os
import subprocess
import sys

import pandas as pd
import pytest

from benchmark.store.folder import Store

SUITES = ("digits", "universal", "explanations", "mri")
DEVICE = os.environ.get("ASSAY_GPU", "cuda:0")
pytestmark = [pytest.mark.speed, pytest.mark.timeout(7200)]


def run(suite, device, out):
    """(leaderboard, heads of its cells that were computed)."""
    command = [sys.executable, "-m", "benchmark.cli.main", "run", suite, "--device", device, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    store = Store(out / suite)
    heads = list(store.heads(cell["hash"] for cell in store.plan()["cells"]).values())
    return pd.read_csv(out / suite / "leaderboard.csv").set_index("model").sort_index(), heads


def apart(a, b):
    """Columns with an interval in which two leaderboards of the same samples lie outside of one another's."""
    found = []
    for name in a:
        if f"{name}_low" in a and name in b:
            outside = (a[name] < b[f"{name}_low"] - 1e-9) | (a[name] > b[f"{name}_high"] + 1e-9)
            outside |= (b[name] < a[f"{name}_low"] - 1e-9) | (b[name] > a[f"{name}_high"] + 1e-9)
            found += [f"{model}: {name} {a[name][model]:.4g}, {b[name][model]:.4g}" for model in a.index[outside]]
    return found


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_gives_the_same_verdicts_on_a_gpu(suite, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    if DEVICE != "cpu" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    (cpu, before), (gpu, after) = (run(suite, device, tmp_path / device.replace(":", "")) for device in ("cpu", DEVICE))
    seconds = [sum(head["seconds"] for head in heads) for heads in (before, after)]
    memory = [max(head["peak_memory_mb"] for head in heads) for heads in (before, after)]
    devices = sorted({head["provenance"]["device"] for head in [*before, *after] if head["provenance"]})
    with capsys.disabled():
        print(
            f"\n| {suite} | {len(before)} | {seconds[0]:.0f} | {seconds[1]:.0f} | {seconds[0] / seconds[1]:.1f} |"
            f" {memory[0]:.0f} | {memory[1]:.0f} | {', '.join(devices)} |"
        )
    assert cpu["rank"].fillna(-1).to_dict() == gpu["rank"].fillna(-1).to_dict()
    assert not apart(cpu, gpu)
