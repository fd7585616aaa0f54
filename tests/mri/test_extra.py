"""Without its libraries the wing is still listed, with the reason, and says the one command that installs them."""

import shlex
from importlib import metadata

import pytest
from typer.testing import CliRunner

from benchmark import registry
from benchmark.cli import main as cli
from benchmark.mri import EXTRA, LIBRARIES
from benchmark.registry import wing_libraries


@pytest.fixture
def without(monkeypatch):
    """A machine on which these distributions are not installed."""

    def hide(*names):
        real = registry.library_version
        monkeypatch.setattr(registry, "library_version", lambda name: "absent" if name in names else real(name))

    return hide


def invoke(*arguments):
    done = CliRunner().invoke(cli.app, list(arguments))
    return done.exit_code, done.output, done.exception


def test_plugins_are_listed_with_the_reason(without):
    without("deepinv", "nibabel")
    lines = invoke("list", "attacks")[1].splitlines()
    (pnas,), (fgsm,) = ([x for x in lines if x.startswith(name + " ")] for name in ("pnas", "fgsm-90"))
    assert "needs deepinv, not installed here: pip install " in pnas
    assert f"[{EXTRA}]" in pnas
    assert "not installed" not in fgsm
    (nifti,) = [line for line in invoke("list", "datasets")[1].splitlines() if line.startswith("nifti ")]
    assert "needs nibabel" in nifti


def test_a_run_says_the_command_that_installs_it(without, tmp_path):
    without(*LIBRARIES)
    _, _, error = invoke("run", "mri", "--dry-run", "--no-estimate", "--out", str(tmp_path))
    assert type(error).__name__ == "UsageError"
    command = str(error).partition("not installed here: ")[2]
    assert shlex.split(command)[:2] == ["pip", "install"]
    assert shlex.split(command)[-1].endswith(f"[{EXTRA}]")
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_other_suites_run_without_it(without, tmp_path):
    without(*LIBRARIES)
    code, said, _ = invoke("run", "digits", "--dry-run", "--no-estimate", "--out", str(tmp_path))
    assert code == 0, said


def test_a_report_needs_none_of_it(without):
    without(*LIBRARIES)
    code, said, _ = invoke("leaderboard", "mri")
    assert code == 0, said


def test_the_extra_installs_what_the_wing_says():
    """Oracle: the distribution's metadata. The wing is registered as a third party's would be."""
    required = metadata.requires("assay-benchmark") or []
    mine = [line for line in required if f"extra == '{EXTRA}'" in line.replace('"', "'")]
    extra = {line.split(">")[0].strip() for line in mine}
    assert set(LIBRARIES) <= extra
    points = metadata.entry_points(group="assay.plugins")
    assert ("mri", "benchmark.mri.plugins") in {(point.name, point.value) for point in points}
    assert set(LIBRARIES) <= set(wing_libraries())
