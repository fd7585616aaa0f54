"""Every wrong request and every broken part, through the command line: clear words, right exit code, nothing lost."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from tests.conftest import LINEAR_MODEL, write_entry

ATTACK = """
import os, signal, time
from pathlib import Path
from benchmark.attacks.base import Attack, Perturbed, Threat, attacks

@attacks.register("hostile")
class Hostile(Attack):
    whole_batch = True
    marker: str = ""
    what: str = "stuck"

    @property
    def threat(self):
        return Threat(norm="linf", kind="fixed")

    def run(self, model, inputs, labels, *, eps, generator, fitted=None):
        if self.what == "stuck":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(0.2)
        if self.what == "slow":
            time.sleep(1.0)
            return Perturbed(inputs)
        marker = Path(self.marker)
        if not marker.exists() or self.what == "always":
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Perturbed(inputs)
"""


def hostile(workplace, what, **params):
    """The tiny suite with one more attack from an included file."""
    (workplace.root / "hostile.py").write_text(ATTACK)
    params = {"what": what, **params}
    text = ", ".join(f'{key} = "{value}"' for key, value in params.items())
    suite = workplace.root / "suites" / "tiny.toml"
    suite.write_text(
        suite.read_text()
        + '\n[[attacks]]\nname = "hostile"\nuse = "hostile"\nbudgets = ["0.1"]\n'
        + f"params = {{ {text} }}\ntime_limit = 4\n"
    )
    return ("run", "tiny", "--include", "hostile.py")


def reasons(workplace, probe="hostile"):
    return [head["reason"] for head in workplace.heads() if head["spec"]["probe"] == probe and head["reason"]]


# -- exit code 2: a request that cannot be carried out as written ---------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "args", "words"),
    [
        ("", "", ["tinny"], ["unknown suite 'tinny'", "did you mean 'tiny'"]),
        ("", "", ["tiny", "--models", "on"], ["unknown entry 'on'", "'one'"]),
        ("", "", ["tiny", "--only", "deepfol"], ["unknown probe 'deepfol'", "'deepfool'"]),
        ("", "", ["tiny", "--data", "digit=x"], ["unknown dataset 'digit'", "'digits'"]),
        ("", "", ["tiny", "--limit", "0"], ["--limit 0"]),
        ('use = "deepfool"', 'use = "deepfoool"', ["tiny"], ["unknown attack 'deepfoool'", "'deepfool'"]),
        ("LinfFastGradientAttack", "LinfFastGradient", ["tiny"], ["unknown attack", "LinfFastGradientAttack"]),
        ('use = "saliency"', 'use = "salience"', ["tiny"], ["unknown explainer 'salience'", "'saliency'"]),
        ('use = "sparseness"', 'use = "sparsenes"', ["tiny"], ["unknown metric 'sparsenes'", "'sparseness'"]),
        ('use = "digits"', 'use = "digit"', ["tiny"], ["unknown dataset 'digit'", "'digits'"]),
        ('budgets = ["0.05", "0.1"]', 'budgts = ["0.05"]', ["tiny"], ["line 20", "'attacks.0.budgts'", "'budgets'"]),
        ("samples = 20", "samples = 20 20", ["tiny"], ["not valid TOML", "line 7"]),
        ('budgets = ["0.05", "0.1"]', 'budgets = ["0.1", "0.10000001"]', ["tiny"], ["print alike as 0.1"]),
        ('budgets = ["0.05", "0.1"]', 'budgets = ["0.05", "0.2"]\nparams = { step = 3 }', ["tiny"], ["'step'"]),
        ('name = "deepfool"', 'name = "fgsm"', ["tiny"], ["two probe names are 'fgsm'"]),
        ('name = "deepfool"', 'name = "../x"', ["tiny"], ["a name is made of"]),
        ('entries = ["one", "two"]', 'entries = ["one", "tow"]', ["tiny"], ["unknown entry 'tow'", "'two'"]),
    ],
)
def test_wrong_requests_exit_2_with_the_near_match(workplace, old, new, args, words):
    if old:
        workplace.edit(old, new)
    done = workplace.assay("run", *args, code=2)
    for word in words:
        assert word in done.stderr, done.stderr
    assert not (workplace.root / "results").exists()


@pytest.mark.parametrize(("device", "words"), [("gpu", "expected auto, cpu"), ("cuda:99", "no cuda:99 here")])
def test_a_device_that_is_not_there_exits_2(workplace, device, words):
    done = workplace.assay("run", "tiny", "--device", device, code=2)
    assert words in done.stderr
    assert not workplace.heads()


def test_report_without_records_exits_2_and_writes_nothing(workplace):
    done = workplace.assay("report", "tiny", code=2)
    assert "run the suite first" in done.stderr
    assert not (workplace.root / "results").exists()


# -- exit code 1: a broken part costs its own cells, the others go on --------------------------------------------------


def broken_entry(workplace, case):
    folder = workplace.root / "baselines" / "two"
    if case == "raises":
        write_entry(folder, model="def build():\n    raise RuntimeError('no such layer')\n")
        return "no such layer"
    if case == "shape":
        write_entry(folder, model=LINEAR_MODEL.replace("Linear(64, 10)", "Linear(64, 7)"))
        return "10"
    if case == "nan":
        write_entry(folder, extra="kwargs = { scale = nan }")
        return "nan"
    from safetensors.numpy import save_file

    weights = {"1.weight": np.zeros((10, 64), np.float32), "1.bias": np.zeros(10, np.float32)}
    save_file(weights, folder / "weights.safetensors")
    data = (folder / "weights.safetensors").read_bytes()
    if case == "truncated":
        (folder / "weights.safetensors").write_bytes(data[: len(data) // 2])
        write_entry(folder, extra='[weights]\nfile = "weights.safetensors"')
        return "weights.safetensors"
    digest = hashlib.sha256(b"other").hexdigest()
    write_entry(folder, extra=f'[weights]\nfile = "weights.safetensors"\nsha256 = "{digest}"')
    return "sha256"


@pytest.mark.parametrize("case", ["raises", "truncated", "sha256", "shape", "nan"])
def test_a_broken_entry_fails_alone(workplace, case):
    words = broken_entry(workplace, case)
    done = workplace.assay("run", "tiny", code=1)
    heads = workplace.heads()
    broken = [head for head in heads if head["spec"]["model"] == "two"]
    assert broken
    assert all(head["status"] == "failed" for head in broken)
    assert all(words in head["reason"].lower() for head in broken), broken[0]["reason"]
    assert all(head["status"] == "done" for head in heads if head["spec"]["model"] == "one")
    assert "failed" in done.stdout
    assert "one" in (workplace.root / "results/tiny/leaderboard.csv").read_text()


@pytest.mark.parametrize("case", ["missing", "empty", "broken"])
def test_a_bad_dataset_folder_is_named(workplace, case, tmp_path):
    root = tmp_path / "images"
    if case != "missing":
        for name in ("a", "b"):
            (root / "test" / name).mkdir(parents=True)
    if case == "broken":
        for i in range(6):
            pixels = np.random.default_rng(i).integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "test" / "ab"[i % 2] / f"{i}.png")
        (root / "test" / "a" / "bad.png").write_bytes(b"not a picture")
    workplace.edit(
        'use = "digits"',
        f'use = "folder"\nname = "mine"\nsize = 8\nchannels = 1\nclasses = "by-index"\npath = "{root}"',
    )
    done = workplace.assay("run", "tiny", code=1)
    assert "images" in done.stderr if case != "broken" else "bad.png" in done.stdout + done.stderr, done.stderr


@pytest.mark.long
def test_a_stuck_attack_ends_within_its_limit_and_the_rest_goes_on(workplace):
    args = hostile(workplace, "stuck")
    start = time.monotonic()
    workplace.assay(*args, "--models", "one", "--workers", "1", code=1)
    spent = time.monotonic() - start
    assert all("time limit" in reason for reason in reasons(workplace))
    seconds = [head["seconds"] for head in workplace.heads() if head["spec"]["probe"] == "hostile"]
    assert len(seconds) == 2
    assert spent < 2 * (4 + 10) + 60  # two stuck cells, and starting Python and torch three times
    assert sum(head["status"] == "done" for head in workplace.heads()) == len(workplace.heads()) - 2


@pytest.mark.long
def test_a_killed_worker_is_tried_once_more_in_the_run(workplace):
    args = hostile(workplace, "once", marker=str(workplace.root / "marker"))
    workplace.assay(*args, "--models", "one", "--workers", "1", fresh=True)  # a worker as users have it: spawned
    attempts = sorted(head["attempts"] for head in workplace.heads() if head["spec"]["probe"] == "hostile")
    assert attempts == [1, 2]


def test_a_cell_that_always_kills_its_worker_fails_alone_and_is_parked(workplace):
    args = hostile(workplace, "always", marker=str(workplace.root / "marker"))
    workplace.assay(*args, "--models", "one", "--workers", "1", code=1)
    heads = workplace.heads()
    assert [head["attempts"] for head in heads if head["status"] == "failed"] == [2, 2]
    assert all("died" in reason for reason in reasons(workplace))
    before = workplace.times()
    done = workplace.assay(*args, "--models", "one", code=1)
    assert "parked" in done.stderr
    assert workplace.times() == before


def children(pid):
    out = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in out.splitlines()]
    found, stack = [], [pid]
    while stack:
        parent = stack.pop()
        new = [child for child, of in pairs if of == parent]
        found += new
        stack += new
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _heeds_ctrl_c():
    """What a shell puts in the background ignores Ctrl-C, and so would its children: tests run there too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_slow(workplace):
    """A run in an interpreter of its own, its worker spawned; one entry, since every worker imports for seconds."""
    args = (*hostile(workplace, "slow"), "--models", "one", "--workers", "1")
    with (workplace.root / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            workplace.command(*args),
            cwd=workplace.root,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            preexec_fn=_heeds_ctrl_c,  # noqa: PLW1509 - no threads here
        )
    deadline = time.monotonic() + 90
    while len(workplace.times() if (workplace.root / "results/tiny/cells").exists() else {}) < 3:
        assert process.poll() is None, (workplace.root / "stderr").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return args, process


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")
def test_a_run_killed_midway_leaves_no_worker_and_resumes(workplace):
    args, process = start_slow(workplace)
    workers = children(process.pid)
    assert workers
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in workers if alive(pid)]
    before = workplace.times()
    workplace.assay(*args)
    after = workplace.times()
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)


def test_ctrl_c_stops_cleanly_and_the_same_command_resumes(workplace):
    args, process = start_slow(workplace)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    err = (workplace.root / "stderr").read_text()
    assert "Interrupted" in err
    assert "Traceback" not in err
    before = workplace.times()
    workplace.assay(*args)
    after = workplace.times()
    assert {name: after[name] for name in before} == before


@pytest.mark.long
def test_two_runs_on_one_folder(workplace):
    args, process = start_slow(workplace)
    second = workplace.assay(*args, code=2)
    assert f"process {process.pid}" in second.stderr
    assert process.wait(timeout=120) == 0


def test_a_full_disk_ends_the_run_and_keeps_what_was_finished(workplace):
    out = workplace.root / "full"
    out.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(out)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        workplace.edit("chunk = 10", 'chunk = 1\nkeep_inputs = "all"')
        done = workplace.assay("run", "tiny", "--out", out, code=1)
        assert "No space left" in done.stderr
        assert "Traceback" not in done.stderr
        cells = out / "tiny" / "cells"
        kept = {file.stem: file.stat().st_mtime_ns for file in cells.glob("*.json")}
        assert kept
        subprocess.run(["mount", "-o", "remount,size=50m", str(out)], check=True)
        workplace.assay("run", "tiny", "--out", out)
        assert {name: (cells / f"{name}.json").stat().st_mtime_ns for name in kept} == kept
    finally:
        subprocess.run(["umount", str(out)], check=False)


def test_an_unwritable_results_folder_is_said(workplace):
    (workplace.root / "results").write_text("a file, not a folder")
    done = workplace.assay("run", "tiny", code=1)
    assert "--out" in done.stderr
    assert os.path.isfile(workplace.root / "results")  # noqa: PTH113
