"""A plan in the making: the suite with its task, data and entries, and the cells so far. Touches no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmark.data.base import Grid
from benchmark.data.reading.classes import BY_INDEX
from benchmark.errors import DataError
from benchmark.schedule.matching import check_labels, matched
from benchmark.schedule.plan import ref, sample_order
from benchmark.schedule.request import PlannedEntry, suite_dataset
from benchmark.spec.cell import Cell, DatasetRef
from benchmark.spec.suite import SuiteSpec
from benchmark.tasks.base import tasks


class Draft:
    """What the builders of cells share.

    Attributes:
        entries: those that get a row; ``by_name`` holds the others too.
        samples: ids of the test split, in the suite's order.
        outputs: entry to :attr:`Cell.outputs`.
        cells: planned so far, in order.
    """

    def __init__(self, suite: SuiteSpec, entries: Sequence[PlannedEntry]) -> None:
        self.suite, self.entries = suite, [entry for entry in entries if entry.row]
        self.by_name = {entry.name: entry for entry in entries}
        self.task = tasks.make(suite.task, suite.task_params, f"suite {suite.name!r}, [task_params]")
        self.task.check_installed(f"suite {suite.name!r}, task")
        self.dataset = suite_dataset(suite)
        try:
            self.index = self.dataset.index(suite.dataset.split)
        except DataError as error:
            label = suite.dataset.label
            raise DataError(str(error).replace("--data NAME=PATH", f"--data {label}=PATH")) from None
        self.samples = sample_order(self.index, suite.seed, suite.dataset.samples)
        self.task.check_grid(Grid.of(suite.dataset))
        check_labels(self.index, self.task, suite.dataset.label)
        self.outputs = {entry.name: self._outputs(entry) for entry in entries}
        self.test = self.dataset_ref(suite.dataset.split)
        self.cells: list[Cell] = []
        self._keys: set[tuple[str, str, str]] = set()

    def _outputs(self, entry: PlannedEntry) -> tuple[int, ...]:
        """Which output of the entry is each class of the dataset; empty where they are in the same order."""
        spec = self.suite.dataset
        if not self.task.needs_classes or not self.index.classes or spec.classes == BY_INDEX:
            return ()
        known_as = self.dataset.known_as(spec.split)
        return matched(entry.name, entry.classes, entry.class_count, known_as, named=self.index.named)

    def dataset_ref(self, split: str) -> DatasetRef:
        """The suite's dataset on its grid, as cells hold it."""
        spec = self.suite.dataset
        return DatasetRef(
            name=spec.label,
            plugin=ref(self.dataset),
            path=spec.path,
            split=split,
            size=spec.size,
            channels=spec.channels,
            fit=spec.fit,
            crop=spec.crop,
            range=spec.range,
            classes=spec.classes,
            digest=self.dataset.index(split).digest,
        )

    def base(self, entry: PlannedEntry) -> dict[str, Any]:
        """The fields of a cell that every kind has."""
        run = self.suite.run
        return {
            "task": ref(self.task),
            "entry": entry.digest,
            "dataset": self.test,
            "outputs": self.outputs[entry.name],
            "model": entry.name,
            "folder": entry.folder,
            "batch_size": run.batch_size,
            "time_limit": run.time_limit,
            "keep_inputs": run.keep_inputs,
            "keep_inputs_mb": run.keep_inputs_mb,
        }

    def within(self, samples: tuple[str, ...], limit: int | None) -> tuple[str, ...]:
        """The part of a chunk that lies in the first ``limit`` samples."""
        start = self.samples.index(samples[0])
        return samples if limit is None else samples[: max(0, limit - start)]

    def add(self, cell: Cell) -> Cell:
        """Plan a cell, unless it is planned already (another entry reads it)."""
        key = (cell.hash, cell.model, cell.probe)
        if key not in self._keys:
            self._keys.add(key)
            self.cells.append(cell)
        return cell

    def clean(self, entry: PlannedEntry, samples: tuple[str, ...]) -> Cell:
        """The cell of kind ``clean`` of a chunk."""
        return self.add(Cell(kind="clean", samples=samples, **self.base(entry)))
