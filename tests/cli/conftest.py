"""The command line in this process."""

import sys

import pytest

from benchmark.cli.main import main
from benchmark.schedule import pool
from tests import warm


@pytest.fixture
def assay(workplace, monkeypatch, capsys):
    """The command line in this process, in the workplace's folder; workers are forks (new ones import for seconds)."""
    monkeypatch.chdir(workplace.root)
    if warm.CAN:
        warm.serve()
        monkeypatch.setattr(pool, "multiprocessing", warm.POOLS)

    def run(*args, code=0):
        monkeypatch.setattr(sys, "argv", ["assay", *[str(arg) for arg in args]])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code, f"exit {ended.value.code}\n{out}\n{err}"
        return " ".join(out.split()), " ".join(err.split())

    return run
