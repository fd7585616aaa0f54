"""What is asked of a run, before anything is planned: options, suites resolved, entries with their weights.

Kept apart from planning and computing, which need every plugin: a run that has nothing to do ends here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from benchmark.data.base import Dataset, open_dataset
from benchmark.errors import UnknownNameError, UsageError
from benchmark.models.entries import Entry, find_entries, load_entry
from benchmark.models.obtain import ensure_weights
from benchmark.schedule.watcher import Watcher
from benchmark.spec.suite import RunSpec, SuiteSpec
from benchmark.spec.suites import load_suite, parts, with_data


@dataclass(frozen=True)
class Options:
    """What the command line may say about a run; the defaults run the whole suite.

    Attributes:
        models: entries to run (default: the suite's).
        only: probes to run (default: all).
        limit: number of samples, instead of the suite's.
        entries: folders with further entries.
        data: dataset label to path.
        out: folder that holds one folder a suite.
        device, workers, threads, slots_per_device: see :func:`benchmark.schedule.pool.run_pool`.
        fail_fast: start nothing new after the first failure.
        retry_failed: try parked failures again.
        keep_inputs: instead of the suite's.
        engine: ``local`` or ``ray``; ``address`` and ``records``: see :class:`benchmark.schedule.ray.RaySettings`.
    """

    models: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    limit: int | None = None
    entries: tuple[Path, ...] = ()
    data: Mapping[str, Path] = field(default_factory=dict)
    out: Path = Path("results")
    device: str = "auto"
    workers: int | None = None
    threads: int = 1
    slots_per_device: int = 1
    fail_fast: bool = False
    retry_failed: bool = False
    keep_inputs: str | None = None
    engine: str = "local"
    address: str | None = None
    records: str = "driver"


@dataclass(frozen=True)
class PlannedEntry:
    """What the plan needs to know of a model entry; without a ``row`` only its artefacts are used.

    Attributes:
        about: what a fold-out says of a network of a source (``Entry.about``).
        classes: names of its classes, in the order of its outputs; empty where it names none.
        class_count: how many it has; 0 where that is not known.
    """

    name: str
    digest: str
    task: str
    folder: Path | None = None
    row: bool = True
    facts: dict[str, Any] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    class_count: int = 0


def suite_dataset(suite: SuiteSpec) -> Dataset:
    """The suite's dataset plugin."""
    spec, where = suite.dataset, f"suite {suite.name!r}, [dataset.params]"
    dataset = open_dataset(spec.use, spec.params, path=spec.path, classes=spec.classes, order=spec.order, where=where)
    return dataset.check_installed(f"suite {suite.name!r}, dataset")


def resolve_all(name: str, options: Options) -> list[tuple[SuiteSpec, Options]]:
    """The suite and its parts with the command line's overrides, each with the options that concern it.

    ``--models`` and ``--only`` choose the parts that know one of them; an entry that none knows joins the suite itself.

    Raises:
        UsageError: an unknown suite, probe or dataset, or a limit that is not positive.
    """
    base = with_data(load_suite(name), options.data)
    if not base.parts or any(label in base.variants for label in options.data):
        return [(_overridden(base, options), options)]
    suites = [base, *parts(base)]
    probes = {probe for suite in suites for probe in probe_names(suite)}
    unknown = [probe for probe in options.only if probe not in probes]
    if unknown:
        raise UnknownNameError("probe", unknown[0], probes, f"suite {base.name!r}")
    strangers = [model for model in options.models if not any(model in suite.entries for suite in suites)]
    resolved = []
    for suite in suites:
        models = [m for m in options.models if m in suite.entries or (suite is base and m in strangers)]
        only = [probe for probe in options.only if probe in probe_names(suite)]
        if (options.models and not models) or (options.only and not only):
            continue
        own = replace(options, models=tuple(models), only=tuple(only))
        resolved.append((_overridden(suite, own), own))
    return resolved


def resolve(name: str, options: Options) -> SuiteSpec:
    """The suite without its parts, with the command line's overrides.

    Raises:
        UsageError: an unknown suite, probe or dataset, a limit that is not positive, options that do not go together.
    """
    return _overridden(with_data(load_suite(name), options.data), options)


def probe_names(suite: SuiteSpec) -> list[str]:
    """Labels of all probes."""
    return [*(probe.name for probe in suite.attacks), *(probe.name for probe in suite.explainers)]


def check_options(options: Options) -> None:
    """Refuse what could only be refused later, or not at all where nothing is left to compute."""
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit {options.limit}: expected at least 1")
    if options.engine not in ("local", "ray"):
        raise UsageError(f"--engine {options.engine}: expected local or ray")
    if options.engine == "local":
        if options.address is not None or options.records != "driver":
            raise UsageError("--address and --records are for --engine ray")
        if options.device != "auto":
            from benchmark.schedule.devices import devices

            devices(options.device)
    known = get_args(RunSpec.model_fields["keep_inputs"].annotation)
    if options.keep_inputs is not None and options.keep_inputs not in known:
        raise UsageError(f"--keep-inputs {options.keep_inputs}: expected {', '.join(known)}")


def _overridden(suite: SuiteSpec, options: Options) -> SuiteSpec:
    check_options(options)
    if options.limit is not None:
        suite = suite.model_copy(update={"dataset": suite.dataset.model_copy(update={"samples": options.limit})})
    if options.keep_inputs is not None:
        suite = SuiteSpec.model_validate(
            suite.model_dump() | {"run": suite.run.model_dump() | {"keep_inputs": options.keep_inputs}}
        )
    probes = probe_names(suite)
    for probe in options.only:
        if probe not in probes:
            raise UnknownNameError("probe", probe, probes, f"suite {suite.name!r}")
    return suite


def planned_entries(suite: SuiteSpec, options: Options, watcher: Watcher, *, alone: bool = True) -> list[PlannedEntry]:
    """The suite's entries and those of ``--models``, weights at hand.

    Entries that a probe only takes an artefact from (``source``) follow with ``row = False``.

    Args:
        suite, options, watcher: the request.
        alone: nothing but these is run, so that there must be one.

    Raises:
        UsageError: there is none.
        UnknownNameError: no such entry.
        SpecError: an entry's ``output`` is none of its task's.
    """
    known = find_entries(options.entries)
    names = list(dict.fromkeys([*suite.entries, *options.models]))
    if alone and not names:
        raise UsageError(
            f"suite {suite.name!r} brings no model entries: name yours with --models, and their folder with --entries,"
            " such as --entries mine --models my_net"
        )
    missing = [name for name in options.models if name not in known]
    if missing:
        where = ", ".join(str(folder) for folder in options.entries) or "baselines/"
        raise UnknownNameError("entry", missing[0], known, where)
    sources = [name for probe in suite.attacks for name in (probe.source, *probe.sources) if name]
    planned = []
    for name in dict.fromkeys([*names, *sources]):
        entry = load_entry(name, options.entries)
        entry.check_output()
        _weights(entry, watcher, options.data)
        folder, facts = entry.folder.resolve(), entry.facts()
        named = () if isinstance(entry.spec.classes, int) else entry.spec.classes
        count = 2 if entry.spec.output == "logit1" else entry.spec.class_count
        about, row = entry.about(), name in names
        planned.append(PlannedEntry(name, entry.digest(), entry.spec.task, folder, row, facts, about, named, count))
    return planned


def _weights(entry: Entry, watcher: Watcher, data: Mapping[str, Path]) -> None:
    """Fetch or make missing weights; where that fails the entry's cells fail with the reason, all others go on."""
    try:
        ensure_weights(entry, watcher.said, data)
    except UsageError:
        raise
    except Exception as error:
        watcher.said(f"{entry.name}: {error}")
