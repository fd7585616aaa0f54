"""What several tests share: the command line in a folder of its own, a tiny suite, where real data lies."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import typer.main
from hypothesis import settings

from tests import warm

# before torch is imported: two workers of two threads each on two cores wait for one another at every small operation
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it for its workers, and tables honour it
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # new interpreters (installed packages, Ray's workers) need not compile

os.fsync = lambda file: None  # what a test writes need not survive a power cut; tens of thousands of waits

settings.register_profile("patient", deadline=None)  # a busy machine is no fault
settings.load_profile("patient")

REPOSITORY = Path(__file__).parents[1]
UNTRACKED = ("cells", "artefacts", ".lock", "run.json", "progress.json", "*.html")  # what a clone's results lack


typer.main.get_command = functools.cache(typer.main.get_command)  # commands do not change; a third of a short one


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Neighbours stay on one worker, so that what a module shares is made once; an idle worker takes from the other."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Workers that run everything fork from one process, whose imports they wait for anyway."""
    if warm.CAN and node.config.args_source is node.config.ArgsSource.TESTPATHS:
        node.workerinput["forks"] = warm.serve()


def pytest_configure(config) -> None:
    if "forks" in getattr(config, "workerinput", {}):
        warm.join(config.workerinput["forks"])


def pytest_collection_finish() -> None:
    """Whatever is there after the imports stays: the collector need not walk over it again (two fifths of the time)."""
    gc.collect()
    gc.freeze()


LINEAR_MODEL = """
import torch
from torch import nn

def build(seed=0, scale=1.0):
    torch.manual_seed(seed)
    linear = nn.Linear(64, 10)
    with torch.no_grad():
        linear.weight.mul_(scale)
    return nn.Sequential(nn.Flatten(), linear)
"""

TINY_SUITE = """
title = "tiny"
entries = ["one", "two"]

[dataset]
use = "digits"
samples = 20

[threat]
norm = "linf"
eps = "0.1"

[run]
chunk = 10
time_limit = 60

[[attacks]]
name = "fgsm"
use = "foolbox:LinfFastGradientAttack"
budgets = ["0.05", "0.1"]

[[attacks]]
name = "deepfool"
use = "deepfool"

[[metrics]]
name = "sparseness"
use = "sparseness"

[[explainers]]
name = "saliency"
use = "saliency"

[[explainers]]
name = "random"
use = "random"
"""


def data_folder(name: str) -> Path:
    """A folder of real development data; the test is skipped where it is absent."""
    root = Path(os.environ.get("ASSAY_DATA", REPOSITORY.parent / "shared" / "data"))
    folder = root / name
    if not folder.exists():
        pytest.skip(f"no {name} in {root} (set ASSAY_DATA)")
    return folder


def write_entry(folder: Path, model: str = LINEAR_MODEL, extra: str = "") -> Path:
    """A model entry on the digits in ``folder``; its name is the folder's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(textwrap.dedent(model))
    (folder / "entry.toml").write_text(
        f'name = "{folder.name}"\ndataset = "digits"\ninput_shape = [1, 8, 8]\nclasses = 10\n'
        f'factory = "model:build"\n{textwrap.dedent(extra)}'
    )
    return folder


class Workplace:
    """A folder with suites/ and baselines/ of its own, and the command line in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "suites").mkdir()
        self.suite("tiny", TINY_SUITE)
        write_entry(root / "baselines" / "one", extra="kwargs = { seed = 1 }")
        write_entry(root / "baselines" / "two", extra="kwargs = { seed = 2 }")

    def copy(self, root: Path) -> Workplace:
        """All of it in another folder, for a test to change; records keep their times."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        other = Workplace.__new__(Workplace)
        other.root = root
        return other

    def suite(self, name: str, text: str) -> Path:
        """Write a suite."""
        file = self.root / "suites" / f"{name}.toml"
        file.write_text(text)
        return file

    def edit(self, old: str, new: str, name: str = "tiny") -> None:
        """Change a suite."""
        file = self.root / "suites" / f"{name}.toml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def command(self, *args: object) -> list[str]:
        """The command line as a subprocess is given it."""
        return [sys.executable, "-m", "benchmark.cli.main", *[str(arg) for arg in args]]

    def assay(
        self, *args: object, code: int | None = 0, timeout: float = 240, fresh: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run ``assay`` here; fails unless it exits with ``code``. ``fresh`` asks for a new interpreter."""
        if warm.CAN and not fresh:
            done = warm.run(warm.command, self.root, [str(arg) for arg in args], timeout=timeout)
        else:
            done = subprocess.run(
                self.command(*args), cwd=self.root, capture_output=True, text=True, timeout=timeout, check=False
            )
        assert code is None or done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def python(self, *args: object) -> subprocess.CompletedProcess[str]:
        """Run Python here."""
        command = [sys.executable, *[str(arg) for arg in args]]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=240, check=False)

    def heads(self, suite: str = "tiny") -> list[dict]:
        """The JSONs of all records."""
        import json

        return [json.loads(file.read_text()) for file in (self.root / "results" / suite / "cells").glob("*.json")]

    def times(self, suite: str = "tiny") -> dict[str, int]:
        """Modification times of all records, to see which were computed again."""
        return {file.stem: file.stat().st_mtime_ns for file in (self.root / "results" / suite / "cells").glob("*.json")}


@pytest.fixture(scope="session", autouse=True)
def _pictures(tmp_path_factory):
    if "benchmark.report.write" in sys.modules:  # else nothing here makes a report
        warm.draw_once(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def workplace(tmp_path):
    return Workplace(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A workplace in which the tiny suite was run; tests read it, or change a copy."""
    place = Workplace(tmp_path_factory.mktemp("finished"))
    place.assay("run", "tiny", "--workers", 1)
    return place
