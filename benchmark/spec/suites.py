"""Finding and loading suites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.errors import SpecError, UnknownNameError, UsageError
from benchmark.resources import folders
from benchmark.spec.entry import check_name
from benchmark.spec.suite import SuiteSpec
from benchmark.spec.toml import read_toml, validate


def find_suites() -> dict[str, Path]:
    """Names to files of all suites, the working directory's first."""
    suites: dict[str, Path] = {}
    for folder in folders("suites"):
        for file in sorted(folder.glob("*.toml")):
            suites.setdefault(file.stem, file)
    return suites


def load_suite(name: str) -> SuiteSpec:
    """A suite by name (``deepfool``, a variant or a part as ``deepfool-mnist``), or by path where it ends in ``.toml``.

    Raises:
        UnknownNameError: no such suite, with the near matches.
        SpecError: the file is not a valid suite.
    """
    if name.endswith(".toml"):
        file = Path(name)
        if not (file.is_file() or file.is_symlink() or file.is_dir()):
            raise UsageError(f"no suite file {name}")
    else:
        suites = find_suites()
        base = next((known for known in sorted(suites, key=len, reverse=True) if name.startswith(f"{known}-")), "")
        if name not in suites and base:  # a variant by its results' name
            suite, label = load_suite(base), name.removeprefix(f"{base}-")
            if label in {**suite.variants, **suite.parts}:
                return variant(suite, label)
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
    suite = suite.model_copy(update={"name": file.stem})
    for label in {**suite.variants, **suite.parts}:
        variant(suite, label)  # refused now, not when somebody has the data
    return suite


def suites_of(dataset: str) -> list[str]:
    """Names of the suites on a dataset, by its label; those of a threat model first."""
    found = []
    for name in find_suites():
        try:
            suite = load_suite(name)
        except UsageError:
            continue  # another suite's fault
        if dataset and suite.dataset.label == dataset:
            found.append((suite.threat is None, name))
    return [name for _, name in sorted(found)]


def parse_pairs(pairs: list[str], option: str) -> dict[str, Path]:
    """``NAME=PATH`` options as a mapping.

    Raises:
        UsageError: an option without ``=``.
    """
    parsed = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise UsageError(f"{option} {pair}: expected NAME=PATH, such as {option} chest_xray=data/chest_xray")
        parsed[name] = Path(path)
    return parsed


def with_data(suite: SuiteSpec, data: Mapping[str, Path]) -> SuiteSpec:
    """The suite with its dataset's path from ``--data``; a variant's label chooses that variant.

    Raises:
        UnknownNameError: ``--data`` names a dataset that the suite does not use.
    """
    chosen = [name for name in data if name in suite.variants]
    if len(chosen) > 1:
        raise UsageError(f"--data {', '.join(chosen)}: suite {suite.name!r} takes one of its variants at a time")
    suite = variant(suite, chosen[0]) if chosen else suite
    for name in data:
        if name != suite.dataset.label:
            known = [suite.dataset.label, *suite.variants]
            raise UnknownNameError("dataset", name, known, f"--data, suite {suite.name!r}")
    if suite.dataset.label not in data:
        return suite
    path = data[suite.dataset.label]
    return suite.model_copy(update={"dataset": suite.dataset.model_copy(update={"path": path})})


def data_paths(suite: SuiteSpec, given: Mapping[str, Path] | None = None) -> dict[str, Path]:
    """Dataset label to where it lies: as a suite, its parts and its variants say, or as ``--data`` does."""
    every = [suite, *parts(suite), *(variant(suite, label) for label in suite.variants)]
    own = {spec.dataset.label: spec.dataset.path for spec in every if spec.dataset.path is not None}
    return {**own, **(given or {})}


def parts(suite: SuiteSpec) -> list[SuiteSpec]:
    """The parts of a suite, in its order."""
    return [variant(suite, label) for label in suite.parts]


def variant(suite: SuiteSpec, label: str) -> SuiteSpec:
    """A variant or a part of the suite, called ``<suite>-<label>``; a variant's dataset answers to
    ``--data <label>=PATH``.

    Raises:
        SpecError: its keys do not make a valid suite.
    """
    kind = "variants" if label in suite.variants else "parts"
    where = f"suite {suite.name!r}, [{kind}.{label}]"
    base = suite.model_dump(mode="json", exclude={"variants", "parts"})
    own = {key: _chosen(base, key, value, where) for key, value in getattr(suite, kind)[label].items()}
    spec = validate(_narrowed({**base, **own, "name": f"{suite.name}-{label}"}, base), SuiteSpec, where)
    if kind == "variants" and spec.dataset.label != label:
        spec = spec.model_copy(update={"dataset": spec.dataset.model_copy(update={"name": label})})
    return spec


def _chosen(base: dict[str, Any], key: str, value: Any, where: str) -> Any:
    """Of the suite's probes or metrics those that are named; any other value as it is."""
    if key not in ("attacks", "explainers", "metrics") or not isinstance(value, list):
        return value
    known = {probe["name"]: probe for probe in base[key]}
    for name in value:
        if isinstance(name, str) and name not in known:
            raise UnknownNameError(key, name, known, where)
    return [known[name] if isinstance(name, str) else name for name in value]


def _narrowed(data: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Explainers no longer ask for attacks and metrics of the suite that the part left out."""

    def names(of: dict[str, Any], key: str) -> set[Any]:
        return {probe.get("name") for probe in of[key] if isinstance(probe, dict)}

    gone = {key: names(base, key) - names(data, key) for key in ("attacks", "metrics")}
    own = {"attacked": "attacks", "metrics": "metrics"}

    def kept(probe: Any) -> Any:
        lists = {
            key: [name for name in probe[key] if name not in gone[of]]
            for key, of in own.items()
            if isinstance(probe, dict) and probe.get(key)
        }
        return {**probe, **lists} if lists else probe

    return {**data, "explainers": [kept(probe) for probe in data["explainers"]]}
