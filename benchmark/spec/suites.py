"""Finding and loading suites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmark.errors import SpecError, UnknownNameError, UsageError
from benchmark.resources import folders
from benchmark.spec.entry import check_name
from benchmark.spec.suite import SuiteSpec
from benchmark.spec.toml import read_toml


def find_suites() -> dict[str, Path]:
    """Names to files of all suites, the working directory's first."""
    found: dict[str, Path] = {}
    for folder in folders("suites"):
        for file in sorted(folder.glob("*.toml")):
            found.setdefault(file.stem, file)
    return found


def load_suite(name: str) -> SuiteSpec:
    """A suite by name, or by path where it ends in ``.toml``.

    Raises:
        UnknownNameError: no such suite, with the near matches.
        SpecError: the file is not a valid suite.
    """
    if name.endswith(".toml"):
        file = Path(name)
        if not file.is_file():
            raise UsageError(f"no suite file {name}")
    else:
        suites = find_suites()
        if name not in suites:
            where = ", ".join(str(folder) for folder in folders("suites"))
            raise UnknownNameError("suite", name, suites, where)
        file = suites[name]
    suite = read_toml(file, SuiteSpec)
    if suite.name and suite.name != file.stem:
        raise SpecError(f"{file}: name is {suite.name!r}, the file is called {file.stem!r}; make them agree")
    try:
        check_name(file.stem)
    except ValueError as error:
        raise SpecError(f"{file}: {error}, got {file.stem!r}") from None
    return suite.model_copy(update={"name": file.stem})


def parse_pairs(pairs: list[str], option: str) -> dict[str, Path]:
    """``NAME=PATH`` options as a mapping.

    Raises:
        UsageError: an option without ``=``.
    """
    found = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise UsageError(f"{option} {pair}: expected NAME=PATH, such as {option} chest_xray=data/chest_xray")
        found[name] = Path(path)
    return found


def with_data(suite: SuiteSpec, data: Mapping[str, Path]) -> SuiteSpec:
    """The suite with its dataset's path from ``--data``.

    Raises:
        UnknownNameError: ``--data`` names a dataset that the suite does not use.
    """
    for name in data:
        if name != suite.dataset.label:
            raise UnknownNameError("dataset", name, [suite.dataset.label], f"--data, suite {suite.name!r}")
    if suite.dataset.label not in data:
        return suite
    path = data[suite.dataset.label]
    return suite.model_copy(update={"dataset": suite.dataset.model_copy(update={"path": path})})
