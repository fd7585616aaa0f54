"""Wheel, sdist and editable install, each in a fresh environment and used from an empty folder.

The oracle is the checkout: what is installed must offer exactly the suites and entries that git tracks. The fresh
environments see the running one's libraries through a ``.pth`` file (the heavy ones are not installed again); such a
file does not pull in the other environment's own ``.pth`` files, so that its editable install stays out of sight.
"""

from __future__ import annotations

import csv
import email.parser
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[2]
SUITES = {"digits", "pneumonia"}
ENTRIES = {
    "digits_cnn",
    "digits_cnn_adv",
    "digits_mlp",
    "pneumonia_cnn",
    "pneumonia_cnn_pool",
    "pneumonia_mlp",
    "pneumonia_mlp_deep",
}


def call(*command: object, cwd: Path, cache: Path | None = None) -> str:
    """Run a command without the caller's PYTHONPATH; fails with its output unless it exits with 0."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    if cache is not None:
        env["ASSAY_CACHE"] = str(cache)
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what git tracks, with the dirt that working in it leaves."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: there is no list of the project's files")
    copy = tmp_path_factory.mktemp("checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, copy / name)
    for dirt in (
        "baselines/digits_mlp/__pycache__/model.pyc",
        "results/digits/cells/a.json",
        "results/digits/plan.json",
    ):
        (copy / dirt).parent.mkdir(parents=True, exist_ok=True)
        (copy / dirt).write_bytes(b"{}")
    shutil.copy(REPOSITORY / ".gitignore", copy / ".gitignore")
    return copy


def build(kind: str, source: Path, out: Path) -> Path:
    """Build a ``wheel`` or ``sdist`` with the running environment's hatchling."""
    pytest.importorskip("build", reason="build and hatchling come with the dev extra")
    call(sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", out, source, cwd=source)
    [file] = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return file


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    return build("wheel", checkout, tmp_path_factory.mktemp("wheel"))


@dataclass
class Environment:
    """A fresh virtual environment with the project in it, and an empty folder to work in."""

    root: Path
    work: Path
    source: Path  # where the installed package must lie

    def python(self, code: str) -> str:
        return call(self.root / "bin" / "python", "-c", code, cwd=self.work).strip()

    def assay(self, *args: str) -> str:
        return call(self.root / "bin" / "assay", *args, cwd=self.work, cache=self.work.parent / "cache")


def environment(root: Path, *what: object) -> Path:
    """Make a virtual environment that sees the running one's libraries and install ``what`` into it, offline."""
    venv.create(root, with_pip=False, symlinks=True)
    [site] = root.glob("lib/python*/site-packages")
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "_libraries_of_the_running_environment.pth").write_text("\n".join(sorted(libraries)) + "\n")
    # The other environment's install of the project is visible too: ignore it, so that nobody uninstalls it.
    pip = (sys.executable, "-m", "pip", "--python", root / "bin" / "python", "install", "--quiet", "--no-index")
    call(*pip, "--ignore-installed", "--no-deps", "--no-build-isolation", *what, cwd=root)
    return site


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(request, checkout, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    (root / "empty").mkdir()
    if request.param == "wheel":
        source = environment(root / "venv", request.getfixturevalue("wheel"))
    else:
        site = environment(root / "venv", "-e", checkout)
        assert not (site / "benchmark").exists(), "an editable install copies nothing"
        source = checkout
    return Environment(root / "venv", root / "empty", source)


def first_words(text: str) -> set[str]:
    return {line.split()[0] for line in text.splitlines() if line.strip()}


def test_the_package_is_the_installed_one(installed):
    """Control: without it the other tests could be about the repository."""
    found = installed.python("import benchmark; print(benchmark.__file__)")
    assert Path(found).resolve() == (installed.source / "benchmark" / "__init__.py").resolve()
    assert str(REPOSITORY) not in installed.python("import sys; print(*sys.path, sep='\\n')").splitlines()


def test_suites_and_entries_are_found(installed, checkout):
    entries = {file.parent.name for file in (checkout / "baselines").glob("*/entry.toml")}
    assert entries >= ENTRIES
    assert first_words(installed.assay("list", "entries")) == entries
    suites = {file.stem for file in (checkout / "suites").glob("*.toml")}
    assert suites >= SUITES
    assert first_words(installed.assay("list", "suites")) == suites


def test_show_and_dry_run(installed):
    assert "digits_cnn_adv" in installed.assay("show", "digits")
    assert "to compute" in installed.assay("run", "digits", "--dry-run")
    assert not (installed.work / "results" / "digits" / "cells").exists()


def test_a_small_run(installed):
    """Weights, the worker process and the leaderboard, all from what is installed."""
    tracked = installed.source / "results" / "digits" / "leaderboard.csv"
    before = tracked.read_bytes() if tracked.exists() else None
    installed.assay("run", "digits", "--limit", "20", "--models", "digits_mlp", "--only", "noise", "--workers", "1")
    with (installed.work / "results" / "digits" / "leaderboard.csv").open(newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    row = rows["digits_mlp"]
    assert (row["n"], row["failed"]) == ("20", "0")
    assert float(row["clean_acc"]) > 0.8, "untrained weights would be near 0.1"
    assert (tracked.read_bytes() if tracked.exists() else None) == before, "a run writes where it is started"


def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        head = email.parser.Parser().parsestr(archive.read(name).decode())
        licence = archive.read(name.replace("METADATA", "licenses/LICENSE")).decode()
        scripts = archive.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert head["Name"] == "assay-benchmark"
    assert set(head.get_all("Provides-Extra")) == {"ray", "dev", "speed", "hub", "notebook", "mri", "zoo"}
    assert head["Requires-Python"] == ">=3.11"
    assert (head["License-Expression"], head["License-File"]) == ("Apache-2.0", "LICENSE")
    assert "Apache License" in licence
    assert "assay = benchmark.cli.main:main" in scripts
    assert "mri = benchmark.mri.plugins" in scripts, "a wing registers as a third party would"
    plain = [text for text in head.get_all("Requires-Dist") if "extra ==" not in text]
    assert {"torch>=2.6", "torchvision>=0.21"} <= set(plain)
    assert not [text for text in plain if "@" in text or "==" in text], "nothing is pinned or comes from an address"


def test_the_wheel_holds_what_it_should(wheel, checkout):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = {name for name in names if "/_shipped/" in name}
    tracked = {
        f"benchmark/_shipped/{file.relative_to(checkout).as_posix()}"
        for kind in ("suites", "baselines")
        for file in (checkout / kind).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert shipped == tracked
    assert {name.split("/")[0] for name in names} == {"benchmark", wheel.name.split("-py3")[0] + ".dist-info"}
    assert "benchmark/py.typed" in names
    assert {f"benchmark/report/page/page.{kind}" for kind in ("html.j2", "css", "js")} <= names
    assert not [name for name in names if ("results" in name and not name.endswith(".py")) or name.endswith(".pyc")]


def test_the_sdist_builds_the_same_wheel(checkout, wheel, tmp_path):
    sdist = build("sdist", checkout, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [source] = [folder for folder in tmp_path.iterdir() if folder.is_dir()]
    assert (source / "tests" / "conftest.py").is_file()
    assert not (source / "results" / "digits" / "cells").exists()
    again = build("wheel", source, tmp_path / "again")
    assert contents(again) == contents(wheel)


def contents(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}
