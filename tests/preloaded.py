"""What the process behind :mod:`tests.warm` imports once, for all that are forked from it. Imported there alone."""

import atexit
import functools
import gc
import importlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import typer.main

from benchmark.attacks.base import attacks
from benchmark.data.base import datasets
from benchmark.explainers.base import explainers
from benchmark.metrics.base import metrics
from benchmark.schedule import cluster, worker
from benchmark.tasks.base import tasks
from tests import warm

for name in ("torchvision", "foolbox", "captum.attr", "pandas", "pyarrow.parquet", "scipy.stats", "sklearn.datasets",
             "matplotlib.figure", "deepinv", "pebble", "rich.table", "jinja2", "benchmark.api", "benchmark.cli.main",
             "benchmark.schedule.cell", "benchmark.schedule.pool", "benchmark.report.leaderboard",
             "benchmark.report.write", "benchmark.models.build", "benchmark.tasks.execute"):  # fmt: skip
    importlib.import_module(name)
for registry in (attacks, datasets, explainers, metrics, tasks):
    registry.classes()
os.fsync = lambda file: None  # this and the next as in conftest
typer.main.get_command = functools.cache(typer.main.get_command)
typer.main.get_command(importlib.import_module("benchmark.cli.main").app)
PICTURES = Path(tempfile.mkdtemp(prefix="pictures-"))
atexit.register(shutil.rmtree, PICTURES, ignore_errors=True)  # forks end without it
warm.draw_once(PICTURES)


def die_with(parent: int) -> None:
    """A fork's parent is the process behind it, not the one that asked for it: that one is watched."""

    def watch() -> None:
        while os.path.exists(f"/proc/{parent}"):  # noqa: PTH110
            time.sleep(0.1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def import_ray(real=cluster.import_ray):
    """As it was; its workers are forks."""
    ray = real()
    warm.ray_workers()
    return ray


worker.die_with, cluster.import_ray = die_with, import_ray
gc.collect()
gc.freeze()  # else the first collection of every fork copies all pages
