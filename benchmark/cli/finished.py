"""A finished run that has nothing new to say: its report is read, not made.

What a run printed is remembered with everything that it was made from: suites, entries, data, the code and the versions
of what computes and reports, every file in the results folders, and the terminal. Where all that is as it was, nothing
would be computed and every table would have the bytes that it has.
"""

from __future__ import annotations

import io
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from benchmark.data.base import Dataset
from benchmark.errors import DataError
from benchmark.files import recall, remember
from benchmark.registry import digest, library_version, plugin_code, wing_libraries
from benchmark.schedule.request import Options, PlannedEntry, suite_dataset
from benchmark.spec.suite import SuiteSpec

MAKERS = ("numpy", "pandas", "scipy", "matplotlib", "pyarrow", "rich", "jinja2", "foolbox", "torchattacks", "captum",
          "zennit", "quantus", "torch", "torchvision", "scikit-learn", "kornia")  # fmt: skip
PASSING = frozenset({".lock", "run.json", "progress.json", "report.html"})
TERMINAL = ("COLUMNS", "LINES", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING", "LANG", "LC_ALL")

Asked = Sequence[tuple[SuiteSpec, Options, Sequence[PlannedEntry]]]


@dataclass
class Said:
    """What was said of a suite.

    Attributes:
        start: the line before the run but for the counts.
        cells: how many it has.
        report: the printed tables and what stands below them.
        where: the last line: where the leaderboard lies.
    """

    start: str
    cells: int
    report: str
    where: str


@dataclass
class Finished:
    """What a whole command said: of the suite and its parts."""

    suites: list[Said] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """What the same command says again, a text at a time."""
        for said in self.suites:
            yield f"{said.start}; {said.cells} cells known, 0 to compute\n"
            yield said.report
            yield f"computed 0, known {said.cells}, failed 0, skipped 0\n{said.where}\n"


def remembered_run(asked: Asked) -> Finished | None:
    """What the command said, where nothing has changed since; None where something may have."""
    memo = recall("finished", _place(asked))
    if memo is None or memo.get("key") != _key(asked):
        return None
    return Finished([Said(**each) for each in memo["suites"]])


def remember_run(asked: Asked, finished: Finished) -> None:
    """Remember what was said."""
    key = _key(asked)
    if key is not None:
        remember("finished", _place(asked), {"key": key, **asdict(finished)})


@contextmanager
def heard() -> Iterator[io.StringIO]:
    """Inside the block what is printed is also kept."""
    kept, before = io.StringIO(), sys.stdout
    sys.stdout = _Both(before, kept)
    try:
        yield kept
    finally:
        sys.stdout = before


class _Both:
    """A stream that writes to two; in everything else the first."""

    def __init__(self, first: TextIO, second: io.StringIO) -> None:
        self._first, self._second = first, second

    def write(self, text: str) -> int:
        self._second.write(text)
        return self._first.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._first, name)


def _place(asked: Asked) -> list[str]:
    return [str((options.out / suite.name).resolve()) for suite, options, _ in asked]


def _key(asked: Asked) -> str | None:
    """Digest of all that a report stands on; None where a part cannot be looked at, or somebody runs there."""
    try:
        parts = [_of_suite(suite, options, entries) for suite, options, entries in asked]
    except (OSError, DataError):
        return None
    code = [[str(file), *_stat(file)] for file in sorted(Path(__file__).parents[1].rglob("*.py"))]
    makers = (*MAKERS, *wing_libraries())
    versions = {name: library_version(name) for name in makers} | {"python": platform.python_version()}
    terminal = [sys.stdout.isatty(), sys.stdout.encoding, {name: os.environ.get(name) for name in TERMINAL}]
    terminal.append(list(os.get_terminal_size(sys.stdout.fileno())) if sys.stdout.isatty() else [])
    return digest([parts, code, versions, plugin_code(), terminal])


def _of_suite(suite: SuiteSpec, options: Options, entries: Sequence[PlannedEntry]) -> list[Any]:
    data: Dataset = suite_dataset(suite)
    index = data.index(suite.dataset.split)
    folder = (options.out / suite.name).resolve()
    if (folder / "run.json").exists():
        raise OSError("another run is at work there")
    try:
        fitted = data.fingerprint(suite.dataset.fit_split)
    except DataError:
        fitted = ""
    chosen = [list(options.models), list(options.only), options.limit, options.keep_inputs]
    who = [[entry.name, entry.digest, entry.row, str(entry.folder), entry.facts, entry.about] for entry in entries]
    return [suite.model_dump(mode="json"), chosen, who, data.identity(), index.digest, fitted, _files(folder)]


def _files(folder: Path) -> list[list[Any]]:
    """Every file in a results folder, with its size and times."""
    files = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name not in PASSING and not name.endswith(".tmp"):
                file = Path(place) / name
                files.append([str(file), *_stat(file)])
    return files


def _stat(file: Path) -> tuple[int, int, int, int]:
    stat = file.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
