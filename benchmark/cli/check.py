"""``assay check``: what is wrong with an entry, and what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import Data, Entries, Include

if TYPE_CHECKING:
    from rich.console import Console

    from benchmark.data.base import Batch
    from benchmark.models.entries import Entry
    from benchmark.models.kinds import Result
    from benchmark.spec.suite import DatasetSpec

PATIENCE = 5.0  # seconds before a check says in a log what it is at
STYLES = {"ok": "green", "note": "yellow", "fail": "red", "skip": "dim"}


def check(
    name: Annotated[str, typer.Argument(help="The entry's name.")],
    suite: Annotated[str, typer.Option(help="Suite whose dataset and grid are used (default: the entry's).")] = "",
    samples: Annotated[int, typer.Option(min=2, help="How many samples are tried.")] = 256,
    budget: Annotated[float, typer.Option(min=0, help="Seconds; a slow network is tried on fewer samples.")] = 120.0,
    device: Annotated[str, typer.Option(help="cpu or cuda:0.")] = "cpu",
    entries: Entries = [],  # noqa: B006
    data: Data = [],  # noqa: B006
    include: Include = [],  # noqa: B006
) -> None:
    """Load a model entry and say what is wrong with it; exit code 1 where something is."""
    from benchmark.cli.console import table_console
    from benchmark.errors import EntryError
    from benchmark.models.check import Effort, check_entry
    from benchmark.models.entries import load_entry
    from benchmark.models.kinds import Result
    from benchmark.models.obtain import ensure_weights
    from benchmark.registry import include as include_files
    from benchmark.spec.suites import parse_pairs

    include_files(include)
    console, where = table_console(), parse_pairs(data, "--data")
    entry = load_entry(name, entries)
    try:
        ensure_weights(entry, lambda line: console.print(line, markup=False, highlight=False), where)
        on = labelled(entry, suite, where, samples)
        console.print(on.said, markup=False, highlight=False)
        with looking() as said:
            effort = Effort(budget, said)
            results = check_entry(entry, on.batch, device, classes=on.classes, outputs=on.outputs, effort=effort)
    except EntryError as error:
        results = [Result("weights", "fail", str(error), "correct what the message names, then check again")]
    show(console, entry, results)
    if any(result.status == "fail" for result in results):
        raise typer.Exit(1)


@contextmanager
def looking() -> Iterator[Callable[[str, int], None]]:
    """Say what is looked into: one line that is written over in a terminal; elsewhere a line, where it takes long."""
    from rich.console import Console

    start = time.monotonic()
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("building") as status:
            yield lambda what, samples: status.update(f"{what} ({samples} samples)")
        return

    def said(what: str, samples: int) -> None:
        if time.monotonic() - start > PATIENCE:
            console.print(f"{time.monotonic() - start:.0f} s: {what} ({samples} samples)", highlight=False)

    yield said


def show(console: Console, entry: Entry, results: list[Result]) -> None:
    """Print the table: one line a question."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{entry.name} ({entry.folder})", title_justify="left")
    for head in ("", "check", "found", "what to do"):
        table.add_column(head, overflow="fold")  # a digest or a path is never cut
    for result in results:
        style = STYLES[result.status]
        table.add_row(f"[{style}]{result.status}[/]", escape(result.name), escape(result.finding), escape(result.todo))
    console.print(table)


@dataclass(frozen=True)
class Labelled:
    """Samples to check an entry on.

    Attributes:
        said: a line that says which.
        batch: None where there are none.
        classes: names of their classes.
        outputs: which output of the entry each class is, where it names them in another order.
    """

    said: str
    batch: Batch | None = None
    classes: tuple[str, ...] = ()
    outputs: tuple[int, ...] = ()


def labelled(entry: Entry, suite: str, where: Mapping[str, Path], samples: int) -> Labelled:
    """Samples of the suite's (or the entry's own) dataset.

    Raises:
        EntryError: the entry names other classes than the data.
        SpecError: the data are of another kind than the entry's task asks with.
    """
    from benchmark.data.base import Grid, datasets, open_dataset
    from benchmark.errors import DataError, SpecError
    from benchmark.schedule.matching import MAPPED, matched_entry
    from benchmark.seeds import derive
    from benchmark.spec.suites import load_suite
    from benchmark.tasks.base import tasks

    task = tasks.make(entry.spec.task, load_suite(suite).task_params if suite else {})
    spec = dataset_of(entry, suite)
    if spec is None:
        return Labelled(f"no dataset is known for {entry.name}: random inputs are used")
    path = where.get(spec.label, spec.path)
    holds = datasets.lookup(spec.use)[0].inputs
    if holds != task.inputs:
        raise SpecError(
            f"entry {entry.name!r}: its task {entry.spec.task!r} asks with {task.inputs!r}, dataset {spec.label!r}"
            f" holds {holds!r}; name a suite of that task with --suite"
        )
    try:
        dataset = open_dataset(spec.use, spec.params, path=path, classes=spec.classes, order=spec.order)
        index = dataset.index(spec.split)
        ids = sorted(index.ids, key=lambda name: derive("check", name))[:samples]
        size = spec.size
        if size is None and (spec.use == "folder" or task.needs_size):
            size = (entry.spec.input_shape[1], entry.spec.input_shape[2])
        grid = Grid.of(spec).model_copy(update={"size": size})
        batch = task.present(dataset.load(spec.split, ids, grid))
    except DataError as error:
        if suite or spec.label in where:
            raise
        return Labelled(f"the data {spec.label!r} cannot be read, so random inputs are used: {error}")
    outputs = matched_entry(entry.spec, dataset, spec.split, spec.classes) if task.needs_classes else ()
    said = f"{len(ids)} samples of {spec.label}, split {spec.split}, {batch.inputs.shape[1:]}"
    said += "".join(f"\ndata: {note}" for note in index.notes) + (f"\n{entry.name} {MAPPED}" if outputs else "")
    return Labelled(said, batch, index.classes, outputs)


def dataset_of(entry: Entry, suite: str) -> DatasetSpec | None:
    """The dataset of the suite; else of a suite that names the entry's dataset; else the plugin of that name."""
    from benchmark.data.base import datasets
    from benchmark.errors import UsageError
    from benchmark.spec.suite import DatasetSpec
    from benchmark.spec.suites import find_suites, load_suite

    if suite:
        return load_suite(suite).dataset
    recipe = entry.spec.recipe
    if recipe is not None:
        data = recipe.data
        return DatasetSpec(use=data.use, name=data.name, path=data.path, split=data.test, params=data.params)
    if entry.spec.dataset in datasets.names():
        return DatasetSpec(use=entry.spec.dataset)
    for name in find_suites():
        try:
            dataset = load_suite(name).dataset
        except UsageError:
            continue  # another suite's fault is not this entry's
        if entry.spec.dataset and dataset.label == entry.spec.dataset:
            return dataset
    return None
