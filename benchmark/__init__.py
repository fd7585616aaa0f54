"""Assay: how little it takes to break a neural network, and whether what is said about why it decides is true.

The whole public API, loaded when first used:

    benchmark.run("digits")                      run a suite in this process, write its tables
    benchmark.evaluate(module, "digits")         the same for a plain ``torch.nn.Module``
    benchmark.leaderboard("digits")              its leaderboard, from records alone
    benchmark.load_suite("digits")               a suite as a pydantic model
    benchmark.load_entry("digits_cnn")           a model entry
    benchmark.build_model(entry)                 its network, called on inputs in [0, 1]
    benchmark.attacks.base.attacks, …            the registries (data, explainers, metrics and tasks alike)
    benchmark.run_cell(cell, context)            one cell to one record
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.api import Run, evaluate, leaderboard, run
    from benchmark.models.build import build_model
    from benchmark.models.entries import load_entry
    from benchmark.report.leaderboard import Leaderboard
    from benchmark.schedule.cell import run_cell
    from benchmark.spec.suites import load_suite

_WHERE = {
    "Run": "benchmark.api",
    "evaluate": "benchmark.api",
    "leaderboard": "benchmark.api",
    "run": "benchmark.api",
    "build_model": "benchmark.models.build",
    "Leaderboard": "benchmark.report.leaderboard",
    "load_entry": "benchmark.models.entries",
    "run_cell": "benchmark.schedule.cell",
    "load_suite": "benchmark.spec.suites",
}

__all__ = [
    "Leaderboard",
    "Run",
    "build_model",
    "evaluate",
    "leaderboard",
    "load_entry",
    "load_suite",
    "run",
    "run_cell",
]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'benchmark' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
