"""Processes of their own that need not import torch: forks of one that has (Python's fork server).

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
from collections.abc import Callable, Mapping
from multiprocessing import context, forkserver, reduction, resource_tracker
from pathlib import Path
from types import ModuleType, SimpleNamespace

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
        os.environ.update(self.environment, ASSAY_FORKS=forkserver._forkserver._forkserver_address)
        for number, stream in self.streams.items():
            os.dup2(stream.number, number)
            os.close(stream.number)
        forkserver._forkserver.ensure_running = resource_tracker.ensure_running  # the one that this is a fork of
        super().run()


class Context(context.ForkServerContext):
    """Where pools take their processes from."""

    Process = Process


POOLS = SimpleNamespace(get_context=lambda method: Context())  # in place of ``multiprocessing`` where a pool is made


def draw_once(folder: Path) -> None:
    """Of this process and its forks: many tests run one suite, and half of a tiny run is drawing what is known."""
    from benchmark.drawing.curves import as_png
    from benchmark.report import write
    from benchmark.store.atomic import write_atomic

    def picture(draw, note):
        if note is None:
            return as_png(draw(), note)
        file = folder / f"{note}.png"
        if not file.is_file():
            write_atomic(file, as_png(draw(), note))
        return file.read_bytes()

    write.picture = picture


def ray_workers() -> None:
    """Nodes that this process starts fork their workers too: half of a short run on Ray is what those import."""
    from ray._private.parameter import RayParams

    given = RayParams.update_if_absent

    def update_if_absent(self, **defaults):
        if "worker_path" in defaults:
            defaults["worker_path"] = str(Path(__file__).with_name("ray_worker.py"))
        given(self, **defaults)

    if given.__name__ != update_if_absent.__name__ or given.__module__ != __name__:
        RayParams.update_if_absent = update_if_absent


def _ready(folder: str) -> None:
    """As a new interpreter that is started in a folder; the workers of its pools are forks as well."""
    import numpy as np

    from benchmark.schedule import pool

    os.chdir(folder)
    sys.path.insert(0, folder)
    np.random.seed()
    pool.multiprocessing = POOLS


def command(folder: str, args: list[str]) -> None:
    """What ``python -m benchmark.cli.main`` does."""
    from benchmark.cli.main import main

    _ready(folder)
    sys.argv = ["assay", *args]
    main()


def code(folder: str, text: str) -> None:
    """What ``python -c`` does."""
    _ready(folder)
    sys.argv = ["-c"]
    sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(text, "<string>", "exec"), sys.modules["__main__"].__dict__)


def run(
    target: Callable[..., None],
    folder: os.PathLike[str] | str,
    *args: object,
    timeout: float,
    environment: Mapping[str, str] = os.environ,
) -> subprocess.CompletedProcess[str]:
    """Run :func:`command` or :func:`code`; exit code and what it said are as :func:`subprocess.run` gives them."""
    serve()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = Process(target=target, args=(str(folder), *args))
        process.environment = dict(environment)
        process.streams = {1: Stream(out.fileno()), 2: Stream(err.fileno())}
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([target.__name__, *map(str, args)], timeout)
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode().replace("\r\n", "\n"))
        return subprocess.CompletedProcess([target.__name__, *map(str, args)], process.exitcode, *said)


def serve() -> str:
    """Start the process that all are forked from, once; its address, for :func:`client` of other processes."""
    multiprocessing.set_forkserver_preload(["tests.preloaded"])
    forkserver._forkserver.ensure_running()
    return forkserver._forkserver._forkserver_address


def join(address: str) -> None:
    """Fork from a process that another one started, which keeps it alive."""
    server = forkserver._forkserver
    server._forkserver_address = address
    server._forkserver_alive_fd = os.open(os.devnull, os.O_RDONLY)
    server.ensure_running = resource_tracker.ensure_running


def client(address: str) -> None:
    """``python -c "from tests.warm import client; client(ADDRESS)" ARGS``: ``assay ARGS`` for scripts of a shell."""
    join(address)
    process = Process(target=command, args=(os.getcwd(), sys.argv[1:]))  # noqa: PTH109
    process.start()
    process.join()
    sys.exit(process.exitcode)
