"""Python use: run a suite, or evaluate a plain module, in this process; the records are the command line's."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.errors import UsageError
from benchmark.registry import digest
from benchmark.schedule.context import Context, load_entry_model
from benchmark.schedule.engine import Job, Watcher, run_here
from benchmark.schedule.plan import PlannedEntry
from benchmark.schedule.run import Options, Prepared, execute_plan, planned_entries, prepare, resolve, resolve_all
from benchmark.spec.entry import EntrySpec, check_name
from benchmark.spec.suites import load_suite
from benchmark.tasks.base import tasks

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from benchmark.report.board import Leaderboard
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
    """

    leaderboard: Leaderboard
    explanations: pd.DataFrame
    counts: dict[str, int]
    folder: Path
    parts: tuple[Run, ...] = ()

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {n}" for name, n in self.counts.items())
        return f"{self.leaderboard!r}\ncells: {counts}; records: {self.folder}"

    def _repr_html_(self) -> str:
        from benchmark.report.board_html import run_html

        return run_html(self.leaderboard, self.explanations, self.counts, [p.leaderboard for p in self.parts])


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
        runs.append(_run(spec, device, watcher or Watcher(), own, None))
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
    device: str = "cpu",
    watcher: Watcher | None = None,
    **options: Any,
) -> Run:
    """Evaluate a plain module on a suite, in this process; the suite's own entries are left to their records.

    Args:
        module: takes float32 (N, C, H, W) in [0, 1] on the suite's grid (after ``mean`` and ``std``), returns logits
            (N, K), or one logit (N, 1) with ``one_logit``. For a suite of reconstruction it is called
            ``module(y, physics)``, as in deepinv, and returns images (N, 2, H, W). It is copied and left as it was.
        suite: name, or path of a suite.toml.
        name: the row's name (default: the class's, in lower case).
        mean, std: per channel, applied inside.
        gradcam_layer, gradcam_layout: as in ``entry.toml``.
        options: fields of :class:`benchmark.schedule.run.Options`.

    Raises:
        UsageError: a name that an entry of the suite has, or an unknown suite or option.
    """
    import copy

    from benchmark.models.wrap import Model, Reconstructor

    name = name or type(module).__name__.lower()
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(f"name {name!r}: {error}") from None
    task = load_suite(suite).task
    image = not tasks.lookup(task)[0].images
    if image and (len(mean) or len(std) or one_logit or gradcam_layer):
        raise UsageError(f"suite {suite!r}, task {task!r}: mean, std, one_logit and gradcam_layer are a classifier's")
    own = copy.deepcopy(module).to(device).float()
    of_classifier = {"mean": mean, "std": std, "one_logit": one_logit, "gradcam_layer": gradcam_layer}
    given = {"gradcam_layout": gradcam_layout} if gradcam_layout else {}  # keys of modules without one stay
    of_classifier |= given
    wrapped = (Reconstructor(own) if image else Model(own, **of_classifier)).to(device)  # type: ignore[arg-type]
    settings = {"mean": list(mean), "std": list(std), "one_logit": one_logit, "gradcam_layer": gradcam_layer}
    settings |= given
    spec = EntrySpec.model_construct(  # a module in memory has no entry.toml to be checked
        name=name,
        task=task,
        input_shape=(),
        classes=0,
        factory="",
        output="image" if image else "logit1" if one_logit else "logits",
        gradcam_layer=gradcam_layer,
        gradcam_layout=gradcam_layout,
    )
    entry = PlannedEntry(name, module_digest(module, settings), spec.task)
    chosen = _options({"models": (name,), **options})
    return _run(resolve(suite, chosen), device, watcher or Watcher(), chosen, (entry, wrapped, spec))


def leaderboard(suite: str, *, out: str | Path = "results") -> Leaderboard:
    """A suite's leaderboard from its records alone; nothing is computed and no table written.

    Args:
        suite: name of a folder in ``out``.

    Raises:
        NoRecordsError: there is nothing to show.
    """
    from benchmark.report.board import Leaderboard

    return Leaderboard.read(Path(out) / suite)


def module_digest(module: nn.Module, settings: dict[str, Any]) -> str:
    """sha256 over the state, the source of the classes inside, and the preprocessing of a module in memory."""
    sources = {}
    for part in module.modules():
        cls = type(part)
        if cls.__module__.startswith("torch."):
            continue
        try:
            sources[cls.__qualname__] = inspect.getsource(cls)
        except (OSError, TypeError):  # defined in an interactive session
            sources[cls.__qualname__] = cls.__module__
    state = {
        key: hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
        for key, value in module.state_dict().items()
    }
    return digest({"state": state, "repr": repr(module), "sources": sources, "settings": settings})


def _run(spec: SuiteSpec, device: str, watcher: Watcher, options: Options, memory: Any) -> Run:
    from benchmark.report.board import Leaderboard
    from benchmark.report.write import write_report

    if memory is not None and memory[0].name in spec.entries:
        raise UsageError(f"suite {spec.name!r} has an entry {memory[0].name!r}; give this module another name")
    others = planned_entries(spec, replace(options, models=()) if memory else options, watcher)
    entries = [*others, memory[0]] if memory is not None else others
    prepared: Prepared = prepare(spec, entries, options)

    def load(cell: Cell, on: str) -> tuple[Any, Any]:
        if memory is not None and cell.entry == memory[0].digest:
            return memory[1], memory[2]
        return load_entry_model(cell, on)

    def engine(job: Job) -> None:
        run_here(job, Context(job.store, device, load))

    execute_plan(prepared, options, watcher, engine)
    results, board, explained, _ = write_report(prepared.store.folder)
    return Run(Leaderboard.of(results, board), explained, prepared.board.counts(), prepared.store.folder)


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
