"""The command line in a process of its own that need not import torch: a fork of one that has (Python's fork server).

What the command sees is what a new interpreter would see: its own memory and registries as they are after the imports,
the folder, environment and streams that it is given. What it does not show: what is imported when, and what is said
while importing; tests of that ask for a new interpreter.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from multiprocessing import context, forkserver, reduction, resource_tracker
from types import SimpleNamespace

CAN = hasattr(os, "fork") and sys.platform == "linux"


class Stream:
    """A file descriptor that goes with a process to where it runs."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self):
        return _received, (reduction.DupFd(self.number),)


def _received(duplicate) -> Stream:
    return Stream(duplicate.detach())


class Process(context.ForkServerProcess):
    """A fork that takes over the environment and the streams of the process that starts it."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.environment = dict(os.environ)
        self.streams = {number: Stream(number) for number in (1, 2)}

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self.environment)
        for number, stream in self.streams.items():
            os.dup2(stream.number, number)
            os.close(stream.number)
        forkserver._forkserver.ensure_running = resource_tracker.ensure_running  # the one that this is a fork of
        super().run()


class Context(context.ForkServerContext):
    """Where pools take their processes from."""

    Process = Process


def _command(args: list[str]) -> None:
    """The command line, as ``python -m benchmark.cli.main`` runs it; the workers of its pool are forks as well."""
    import numpy as np

    from benchmark.cli.main import main
    from benchmark.schedule import pool

    np.random.seed()
    pool.multiprocessing = SimpleNamespace(get_context=lambda method: Context())
    sys.path.insert(0, os.getcwd())  # noqa: PTH109
    sys.argv = ["assay", *args]
    main()


def assay(
    args: list[str], folder: os.PathLike[str] | str, timeout: float, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``assay`` in a folder; exit code and what it said are as :func:`subprocess.run` gives them."""
    multiprocessing.set_forkserver_preload(["tests.preloaded"])
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Process(target=_moved, args=(str(folder), args))
        process.environment = process.environment if environment is None else environment
        process.streams = {1: Stream(out.fileno()), 2: Stream(err.fileno())}
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["assay", *args], timeout)
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode().replace("\r\n", "\n"))
        return subprocess.CompletedProcess(["assay", *args], process.exitcode, *said)


def _moved(folder: str, args: list[str]) -> None:
    os.chdir(folder)
    _command(args)
