"""Python use: run a suite, or evaluate a plain module, in this process; the records are the command line's."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.errors import UsageError
from benchmark.schedule.context import Context, load_entry_model
from benchmark.schedule.engine import Job, run_here
from benchmark.schedule.matching import matched_entry
from benchmark.schedule.plan import sample_order
from benchmark.schedule.request import Options, PlannedEntry, planned_entries, resolve, resolve_all, suite_dataset
from benchmark.schedule.run import Prepared, execute_plan, prepare
from benchmark.schedule.watcher import Watcher
from benchmark.spec.entry import check_name
from benchmark.spec.suites import load_suite
from benchmark.store.record import last_line
from benchmark.tasks.base import tasks

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from benchmark.data.base import Batch, Dataset
    from benchmark.models.given import Given
    from benchmark.report.leaderboard import Leaderboard
    from benchmark.spec.cell import Cell
    from benchmark.spec.suite import SuiteSpec


@dataclass
class Run:
    """What a run left: tables, counts, and where the records lie.

    Attributes:
        leaderboard: a row a model; ``leaderboard.to_pandas()`` is the table.
        explanations: a row a model and explainer.
        counts: cells known, done, failed and skipped.
        folder: results folder of the suite.
        parts: what the suite's parts left.
        notes: what was said of a module in memory.
        failures: why cells failed, with how many.
        remarks: which means of the explanations have no interval, and what they must not be read as.
    """

    leaderboard: Leaderboard
    explanations: pd.DataFrame
    counts: dict[str, int]
    folder: Path
    parts: tuple[Run, ...] = ()
    notes: tuple[str, ...] = ()
    failures: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {n}" for name, n in self.counts.items())
        lines = [f"{self.leaderboard!r}", f"cells: {counts}; records: {self.folder}", *self.notes]
        return "\n".join([*lines, *(f"{n} cells failed: {reason}" for reason, n in self.failures.items())])

    def _repr_html_(self) -> str:
        from benchmark.report.leaderboard_html import run_html

        parts = [part.leaderboard for part in self.parts]
        return run_html(self.leaderboard, self.explanations, self.counts, parts, self.remarks)


class Speaker(Watcher):
    """Says what is worth a line on standard error."""

    def said(self, text: str) -> None:
        print(text, file=sys.stderr)


def run(suite: str, *, device: str = "cpu", watcher: Watcher | None = None, **options: Any) -> Run:
    """Run a suite (and its parts) in this process and write its tables.

    Args:
        suite: name, or path of a suite.toml.
        device: ``"cpu"`` or ``"cuda:0"``.
        options: fields of :class:`benchmark.schedule.run.Options`, such as ``models``, ``only``, ``limit``, ``out``.

    Raises:
        UsageError: an unknown suite, entry, probe, or option.
    """
    from benchmark.report.combined import write_combined

    runs = []
    for spec, own in resolve_all(suite, _options(options)):
        runs.append(_run(spec, device, watcher or Speaker(), own, None))
    write_combined([run.folder for run in runs])
    return replace(runs[0], parts=tuple(runs[1:]))


def evaluate(
    module: nn.Module,
    suite: str,
    *,
    name: str = "",
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    one_logit: bool = False,
    gradcam_layer: str = "",
    gradcam_layout: Literal["", "channels-first", "channels-last", "tokens", "class-token"] = "",
    classes: Sequence[str] = (),
    cast: bool = True,
    device: str = "cpu",
    watcher: Watcher | None = None,
    **options: Any,
) -> Run:
    """Evaluate a plain module on a suite, in this process; the suite's own entries are left to their records.

    Args:
        module: takes what the suite's task asks with: images as float32 (N, C, H, W) in [0, 1] on the suite's grid
            (after ``mean`` and ``std``). It returns logits (N, K), or one logit (N, 1) with ``one_logit``; of another
            task, what its networks return (:meth:`benchmark.tasks.base.Task.wrap`). It is copied and left as it was.
        suite: name, or path of a suite.toml.
        name: the row's name (default: the class's, in lower case).
        mean, std: per channel, applied inside.
        gradcam_layer, gradcam_layout: as in ``entry.toml``.
        classes: names of the module's classes, in the order of its outputs: they are compared with the data's.
        cast: a module of another floating-point type is cast to float32; False: it is run as it is.
        watcher: told of everything (default: what is worth a line goes to standard error).
        options: fields of :class:`benchmark.schedule.run.Options`.

    The module is checked as ``assay check`` does, on samples of the suite; what that finds is said, and stands in
    ``Run.notes``.

    Raises:
        UsageError: a name that an entry of the suite has, or an unknown suite or option.
        EntryError: the module raises on the suite's inputs, or its outputs are not what the suite needs.
        DataError: the suite's data are missing.
    """
    from benchmark.models.given import take
    from benchmark.models.kinds import networks_of
    from benchmark.schedule.numerics import default_numerics

    name = name or type(module).__name__.lower()
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(f"name {name!r}: {error}") from None
    task = load_suite(suite).task
    if not networks_of(task).preprocessed and (len(mean) or len(std) or one_logit or gradcam_layer):
        raise UsageError(f"suite {suite!r}, task {task!r}: mean, std, one_logit and gradcam_layer are a classifier's")
    chosen = _options({"models": (name,), **options})
    spec, watcher = resolve(suite, chosen), watcher or Speaker()
    if name in spec.entries:
        raise UsageError(f"suite {spec.name!r} has an entry {name!r}; give this module another name")
    settings = {"mean": mean, "std": std, "one_logit": one_logit, "gradcam_layer": gradcam_layer}
    settings |= {"gradcam_layout": gradcam_layout} if gradcam_layout else {}
    with default_numerics():
        data = suite_dataset(spec)
        given = take(
            module,
            first_samples(spec, data),
            name=name,
            task=task,
            settings=settings,
            classes=classes,
            data_classes=data.index(spec.dataset.split).classes,
            match=lambda own: matched_entry(own, data, spec.dataset.split, spec.dataset.classes),
            cast=cast,
            device=device,
        )
    for note in given.notes:
        watcher.said(note)
    return _run(spec, device, watcher, chosen, given)


def leaderboard(suite: str, *, out: str | Path = "results") -> Leaderboard:
    """A suite's leaderboard from its records alone; nothing is computed and no table written.

    Args:
        suite: name of a folder in ``out``.

    Raises:
        NoRecordsError: there is nothing to show.
    """
    from benchmark.report.leaderboard import Leaderboard

    return Leaderboard.read(Path(out) / suite)


def first_samples(suite: SuiteSpec, data: Dataset, count: int = 64) -> Batch:
    """The first of a suite's samples as its task presents them.

    Raises:
        DataError: the data are missing or cannot be read.
    """
    from benchmark.data.base import Grid

    spec = suite.dataset
    ids = sample_order(data.index(spec.split), suite.seed, spec.samples)[:count]
    return tasks.make(suite.task, suite.task_params).present(data.load(spec.split, ids, Grid.of(spec)))


def _run(spec: SuiteSpec, device: str, watcher: Watcher, options: Options, given: Given | None) -> Run:
    from benchmark.report.explanations import explanation_remarks
    from benchmark.report.leaderboard import Leaderboard
    from benchmark.report.write import write_report
    from benchmark.spec.suites import data_paths

    entries = planned_entries(spec, replace(options, models=()) if given else options, watcher, alone=not given)
    if given is not None:
        own, names = given.spec, () if isinstance(given.spec.classes, int) else given.spec.classes
        count = 2 if own.output == "logit1" else own.class_count
        entries.append(PlannedEntry(own.name, given.key.digest, own.task, classes=names, class_count=count))
    prepared: Prepared = prepare(spec, entries, options)

    def load(cell: Cell, on: str) -> tuple[Any, Any]:
        if given is not None and cell.entry == given.key.digest:
            return given.model, given.spec
        return load_entry_model(cell, on)

    def engine(job: Job) -> None:
        run_here(job, Context(job.store, device, load))

    execute_plan(prepared, options, watcher, engine)
    failures = Counter(last_line(end.reason) for end in prepared.ledger.finished.values() if end.status == "failed")
    for reason, n in failures.items():
        watcher.said(f"{spec.name}: {n} cells failed: {reason}")
    results, board, explained, _ = write_report(prepared.store.folder, data_paths(spec, options.data))
    return Run(
        Leaderboard.of(results, board),
        explained,
        prepared.ledger.counts(),
        prepared.store.folder,
        notes=given.notes if given is not None else (),
        failures=dict(failures),
        remarks=tuple(explanation_remarks(results)),
    )


def _options(given: dict[str, Any]) -> Options:
    from benchmark.registry import near_key

    known = Options.__dataclass_fields__
    for key in given:
        if key not in known:
            raise UsageError(f"unknown option {key!r}{near_key(key, known)}")
    values = dict(given)
    for key in ("models", "only"):
        if isinstance(values.get(key), str):
            values[key] = (values[key],)
    if "out" in values:
        values["out"] = Path(values["out"])
    if "data" in values:
        values["data"] = {name: Path(path) for name, path in values["data"].items()}
    if "entries" in values:
        values["entries"] = tuple(Path(path) for path in values["entries"])
    return Options(**values)
