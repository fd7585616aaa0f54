"""What a worker keeps between cells: loaded models, the dataset, the last batches."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from benchmark.code import along
from benchmark.data.base import Batch, Dataset, Grid, open_dataset
from benchmark.data.reading.classes import BY_INDEX
from benchmark.errors import DataError, EntryError
from benchmark.schedule.faults import out_of_memory
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


def size_of(model: Any) -> int:
    """Bytes of a model's parameters and buffers; 0 of what is no module."""
    tensors = [*model.parameters(), *model.buffers()] if hasattr(model, "parameters") else []
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def model_key(cell: Cell) -> str:
    """Which model a cell needs: ``NAME:DIGEST``, and the order of its outputs where it is not its own."""
    order = f":{','.join(map(str, cell.outputs))}" if cell.outputs else ""
    return f"{cell.model}:{cell.entry}{order}"


def reordered(model: Model, outputs: tuple[int, ...]) -> Model:
    """The model with its outputs in the dataset's order; see :meth:`benchmark.models.wrap.Model.reordered`."""
    return model.reordered(outputs)


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

    changed = EntryError(f"entry {cell.model!r} has changed since this run was planned; run the same command again")
    if entry.digest() != cell.entry:
        raise changed
    model = build_model(entry, device)
    if beside := entry.beside():
        raise EntryError(
            f"entry {cell.model!r}: its code imports {', '.join(beside)} from a place that it puts on sys.path itself;"
            " no key can cover that: set PYTHONPATH, install it, or put the file into the entry's folder"
        )
    if entry.digest() != cell.entry:  # while it was read
        raise changed
    return model, entry.spec


CPU_MODEL_BYTES = 1 << 30
BATCH_BYTES = 1 << 28  # of inputs that are kept for the next cells; the last batch is kept whatever its size
GPU_SHARE = 0.25  # of a slot's device memory, for models that wait for their next cell


@dataclass
class Context:
    """What a worker keeps between cells.

    Attributes:
        results: where needed results are read.
        device: ``"cpu"``, ``"cuda:0"``, …
        loader: builds a cell's model.
        model_bytes: models that are not in use are dropped, the longest unused first, while all take more than this.
        share: of the device's memory that is this worker's, in (0, 1].
        path: where modules are found, as it was before code of any entry ran.
        evidence: what metrics look at, of the last explain cells.
        outputs: clean outputs of the last samples, shared by the metrics of all explainers.
    """

    results: Results
    device: str = "cpu"
    loader: ModelLoader = load_entry_model
    model_bytes: int | None = None
    share: float = 1.0
    path: list[str] = field(default_factory=lambda: list(sys.path))
    _models: OrderedDict[str, tuple[Any, Any, int]] = field(default_factory=OrderedDict)
    _failed: dict[str, BaseException] = field(default_factory=dict)
    _datasets: dict[str, Dataset] = field(default_factory=dict)
    _batches: OrderedDict[tuple[Any, ...], Batch] = field(default_factory=OrderedDict)
    _ahead: Reading | None = None
    _rows: OrderedDict[str, Mapping[str, NDArray[Any]]] = field(default_factory=OrderedDict)
    evidence: OrderedDict[tuple[Any, ...], Explained] = field(default_factory=OrderedDict)
    outputs: OrderedDict[tuple[Any, ...], dict[str, Any]] = field(default_factory=OrderedDict)

    def model(self, cell: Cell) -> tuple[Model, Any]:
        """The cell's model and entry spec; it stays loaded as long as there is room."""
        key = model_key(cell)
        if key in self._failed:
            raise self._failed[key]
        if key not in self._models:
            try:
                with along(self.path):
                    model, spec = self.loader(cell, self.device)
                if cell.outputs:
                    model = reordered(model, cell.outputs)
            except Exception as error:
                if not out_of_memory(error) or not self._models:
                    self._failed[key] = error
                    raise
                self.keep(())  # the others make room
                return self.model(cell)
            self._models[key] = (model, spec, size_of(model))
        self._models.move_to_end(key)
        while len(self._models) > 1 and sum(size for *_, size in self._models.values()) > self._room():
            self._drop(next(iter(self._models)))
        return self._models[key][0], self._models[key][1]

    def keep(self, models: Collection[str]) -> None:
        """Drop every loaded model (``NAME:DIGEST``) but these."""
        for key in [key for key in self._models if key not in models]:
            self._drop(key)

    def loaded(self) -> list[str]:
        """Models that are loaded (``NAME:DIGEST``), the longest unused first."""
        return list(self._models)

    def _drop(self, key: str) -> None:
        del self._models[key]
        self.evidence.clear()  # both hold models
        self.outputs.clear()

    def _room(self) -> int:
        if self.model_bytes is None:
            self.model_bytes = CPU_MODEL_BYTES
            if self.device.startswith("cuda"):
                import torch

                total = torch.cuda.get_device_properties(self.device).total_memory
                self.model_bytes = int(GPU_SHARE * self.share * total)
        return self.model_bytes

    def dataset(self, cell: Cell) -> Dataset:
        """The cell's dataset plugin."""
        spec = cell.dataset
        key = f"{spec.plugin.model_dump_json()}:{spec.path}:{spec.classes}"
        if key not in self._datasets:
            classes = "" if spec.classes == BY_INDEX else spec.classes
            self._datasets[key] = open_dataset(spec.plugin.use, spec.plugin.params, path=spec.path, classes=classes)
        return self._datasets[key]

    def rows(self, cell: str) -> Mapping[str, NDArray[Any]]:
        """Rows of a needed cell; those of the last cells are kept, since every attack on a chunk reads the same."""
        if cell not in self._rows:
            self._rows[cell] = self.results.rows(cell)
            while len(self._rows) > 8:
                self._rows.popitem(last=False)
        self._rows.move_to_end(cell)
        return self._rows[cell]

    def batch(self, cell: Cell) -> Batch:
        """The cell's samples on the suite's grid, as its task presents them, with masks where known; a few are kept.

        Raises:
            DataError: an unreadable image, or a dataset that has changed since the plan was made.
        """
        key = _batch_key(cell)
        if key not in self._batches:
            read = None
            if self._ahead is not None and self._ahead.key == key:
                read, self._ahead = self._ahead.result(), None
            self._batches[key] = self._read(cell) if read is None else read
            while len(self._batches) > 1 and (len(self._batches) > 4 or self._held() > BATCH_BYTES):
                self._batches.popitem(last=False)
        self._batches.move_to_end(key)
        return self._batches[key]

    def read_ahead(self, cell: Cell) -> None:
        """Begin to read the samples of a cell to come in a thread, unless they are here; what fails is told by the cell
        itself. One batch at most waits, so that memory does not grow with the data."""
        key = _batch_key(cell)
        if key not in self._batches and (self._ahead is None or self._ahead.key != key):
            self._ahead = Reading(key, partial(self._read, cell))

    def _read(self, cell: Cell) -> Batch:
        spec, dataset = cell.dataset, self.dataset(cell)
        if dataset.index(spec.split).digest != spec.digest:
            raise DataError(f"dataset {spec.name!r} has changed since this run was planned; run the command again")
        batch = dataset.load(spec.split, cell.samples, Grid.of(spec), masks=True)
        return tasks.make(cell.task.use, cell.task.arguments()).present(batch)

    def _held(self) -> int:
        """Bytes of the batches that are kept."""
        return sum(batch.inputs.nbytes for batch in self._batches.values())


class Reading:
    """A batch that is read in a thread of its own.

    Attributes:
        key: of the batch.
    """

    def __init__(self, key: tuple[Any, ...], read: Callable[[], Batch]) -> None:
        self.key, self._read = key, read
        self._batch: Batch | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="assay-read-ahead")
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(Exception):  # it is read again, and fails where it is needed
            self._batch = self._read()

    def result(self) -> Batch | None:
        """The batch, once it is read; None where that failed."""
        self._thread.join()
        return self._batch


def _batch_key(cell: Cell) -> tuple[Any, ...]:
    """What decides a batch: the data, the grid, the samples, and how the task presents them."""
    spec = cell.dataset
    return cell.task.model_dump_json(), spec.digest, spec.split, Grid.of(spec), cell.samples
