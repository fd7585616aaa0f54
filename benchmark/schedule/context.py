"""What a worker keeps between cells: one loaded model, the dataset, the last batches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from benchmark.data.base import Batch, Dataset, Grid, datasets
from benchmark.errors import DataError, EntryError
from benchmark.spec.cell import Cell
from benchmark.tasks.base import tasks

if TYPE_CHECKING:
    from benchmark.metrics.base import Explained
    from benchmark.models.entries import Entry
    from benchmark.models.wrap import Model


class Results(Protocol):
    """Where a cell reads what it ``needs`` (the store, or memory)."""

    def rows(self, cell: str) -> Mapping[str, NDArray[Any]]:
        """Per-sample columns of a done cell."""

    def artefact(self, cell: str, name: str) -> Mapping[str, NDArray[Any]]:
        """Named arrays of an artefact."""


ModelLoader = Callable[[Cell, str], "tuple[Model, Any]"]


def load_entry_model(cell: Cell, device: str) -> tuple[Model, Any]:
    """Build the cell's entry from its folder: (model, entry spec).

    Raises:
        EntryError: it cannot be built or loaded, or has changed since the plan was made.
    """
    from benchmark.models.entries import read_entry

    assert cell.folder is not None, "a cell of an in-memory module needs its own loader"
    return build_checked(read_entry(cell.folder), cell, device)


def build_checked(entry: Entry, cell: Cell, device: str) -> tuple[Model, Any]:
    """Build an entry for a cell: (model, entry spec).

    Raises:
        EntryError: it cannot be built or loaded, or is not the one that the cell was planned for.
    """
    from benchmark.models.build import build_model

    if entry.digest() != cell.entry:
        raise EntryError(f"entry {cell.model!r} has changed since this run was planned; run the same command again")
    return build_model(entry, device), entry.spec


@dataclass
class Context:
    """What a worker keeps between cells.

    Attributes:
        results: where needed results are read.
        device: ``"cpu"``, ``"cuda:0"``, …
        loader: builds a cell's model.
        evidence: what metrics look at, of the last explain cells.
        outputs: clean outputs of the last samples, shared by the metrics of all explainers.
    """

    results: Results
    device: str = "cpu"
    loader: ModelLoader = load_entry_model
    _model: tuple[str, Any, Any] | None = None
    _failed: dict[str, BaseException] = field(default_factory=dict)
    _datasets: dict[str, Dataset] = field(default_factory=dict)
    _batches: OrderedDict[tuple[Any, ...], Batch] = field(default_factory=OrderedDict)
    evidence: OrderedDict[tuple[Any, ...], Explained] = field(default_factory=OrderedDict)
    outputs: OrderedDict[tuple[Any, ...], dict[str, Any]] = field(default_factory=OrderedDict)

    def model(self, cell: Cell) -> tuple[Model, Any]:
        """The cell's model and entry spec; one model stays loaded."""
        key = f"{cell.model}:{cell.entry}"
        if key in self._failed:
            raise self._failed[key]
        if self._model is None or self._model[0] != key:
            self._model = None
            self.evidence.clear()  # it holds the model
            self.outputs.clear()
            try:
                model, spec = self.loader(cell, self.device)
            except Exception as error:
                self._failed[key] = error
                raise
            self._model = (key, model, spec)
        return self._model[1], self._model[2]

    def dataset(self, cell: Cell) -> Dataset:
        """The cell's dataset plugin."""
        spec = cell.dataset
        key = f"{spec.plugin.model_dump_json()}:{spec.path}"
        if key not in self._datasets:
            path = {"path": spec.path} if spec.path is not None else {}
            self._datasets[key] = datasets.make(spec.plugin.use, {**spec.plugin.params, **path})
        return self._datasets[key]

    def batch(self, cell: Cell) -> Batch:
        """The cell's samples on the suite's grid, as its task presents them, with masks where known; a few are kept.

        Raises:
            DataError: an unreadable image, or a dataset that has changed since the plan was made.
        """
        spec = cell.dataset
        key = (cell.task.model_dump_json(), spec.digest, spec.split, spec.size, spec.channels, cell.samples)
        if key not in self._batches:
            dataset, grid = self.dataset(cell), Grid(size=spec.size, channels=spec.channels)
            if dataset.index(spec.split).digest != spec.digest:
                raise DataError(f"dataset {spec.name!r} has changed since this run was planned; run the command again")
            batch = dataset.load(spec.split, cell.samples, grid, masks=True)
            self._batches[key] = tasks.make(cell.task.use, cell.task.arguments()).present(batch)
            while len(self._batches) > 4:
                self._batches.popitem(last=False)
        self._batches.move_to_end(key)
        return self._batches[key]
