"""The command line in this process."""

import sys

import pytest

from benchmark.cli.main import main


@pytest.fixture
def assay(workplace, monkeypatch, capsys):
    """The command line in this process (a new one imports torch for seconds), in the workplace's folder."""
    monkeypatch.chdir(workplace.root)

    def run(*args, code=0):
        monkeypatch.setattr(sys, "argv", ["assay", *[str(arg) for arg in args]])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code, f"exit {ended.value.code}\n{out}\n{err}"
        return " ".join(out.split()), " ".join(err.split())

    return run
