"""How long a suite will take of which nothing was computed yet: calls a sample, times the measured cost of one call.

Calls are counted by running the suite itself on two samples with a small network in place of every entry; what a call
costs is measured on each entry. An attack that stops early needs other numbers of calls on another network, so it is an
estimate of the order, printed as such.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.base import Batch, Grid
from benchmark.errors import AssayError
from benchmark.inputs import IMAGE
from benchmark.metrics.base import metrics
from benchmark.registry import digest
from benchmark.schedule.context import Context, load_entry_model
from benchmark.schedule.costs import key_of
from benchmark.schedule.engine import Job, run_here
from benchmark.schedule.ledger import Finished
from benchmark.schedule.plan import sample_order
from benchmark.schedule.request import Options, PlannedEntry, suite_dataset
from benchmark.schedule.run import Prepared, prepare
from benchmark.schedule.watcher import Watcher
from benchmark.spec.cell import Cell
from benchmark.spec.entry import EntrySpec
from benchmark.spec.suite import SuiteSpec
from benchmark.tasks.base import tasks

if TYPE_CHECKING:
    from benchmark.models.wrap import Model

STAND_IN = "stand-in"
BUDGET = 30.0  # seconds for counting calls
SAMPLES = 2
NO_CALLS = {"name", "title", "description", "dataset", "published", "variants", "parts"}  # depend on these of a suite
MARGIN = 4.0  # of the stand-in, of 10 classes: about what trained networks of the digits have
FITTED = 16  # training samples that a fit is counted on

Calls = dict[tuple[Any, ...], tuple[float, float, float]]
_counted: dict[str, Calls] = {}  # by what decides them, once a process: parts of a suite may differ in data alone


@dataclass
class Estimate:
    """Seconds of one worker.

    Attributes:
        seconds: of the cells that an estimate exists for.
        cells: how many these are.
        a_call: seconds that one sample takes in a forward, by model.
        passes: (forwards, backwards) a sample of all these cells together, by model.
    """

    seconds: float = 0.0
    cells: int = 0
    a_call: dict[str, float] = field(default_factory=dict)
    passes: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass
class _Counted(Watcher):
    """Forwards and backwards a sample and seconds a cell, by what cells have in common, until the time is up."""

    model: Model
    until: float
    calls: Calls = field(default_factory=dict)

    def started(self, slot: int, cell: Cell) -> None:
        self.model.counter.forwards = self.model.counter.backwards = 0

    def ended(self, finished: Finished) -> None:
        counter, n = self.model.counter, max(1, len(finished.cell.samples))
        if finished.status == "done":
            calls = (counter.forwards / n, counter.backwards / n, finished.seconds)
            self.calls.setdefault(key_of(finished.cell)[1:], calls)


def estimated(prepared: Prepared, threads: int = 1) -> Estimate:
    """Estimate the cells of a run that nothing is known of.

    Args:
        prepared: the run.
        threads: CPU threads of a worker.

    Returns:
        what could be estimated; nothing of a task that is not about classes of images, or where the entries cannot
        be built.
    """
    unknown = [cell for cell in prepared.selected if cell.hash in prepared.ledger.attempts]
    unknown = [cell for cell in unknown if prepared.ledger.costs.seconds(cell) is None]
    estimate = Estimate()
    pictures = tasks.lookup(prepared.plan.suite.task)[0].inputs == IMAGE  # the stand-in is a network of these
    if not unknown or not prepared.plan.index.classes or not pictures:
        return estimate
    with cpu_threads(threads):
        return _estimated(prepared.plan.suite, unknown, len(prepared.plan.index.classes))


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Inside the block torch uses as many threads as a worker does."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _estimated(suite: SuiteSpec, unknown: Sequence[Cell], classes: int) -> Estimate:
    estimate, calls = Estimate(), counted(suite, classes)
    costs: dict[str, tuple[float, float]] = {}
    used: dict[str, NDArray[np.float64]] = {}
    seen: dict[str, set[str]] = {}
    for cell in unknown:
        key = key_of(cell)[1:]
        if key not in calls:
            continue
        if cell.model not in costs:
            costs[cell.model] = cost_of(cell, suite)
        forward, backward = costs[cell.model]
        if forward:
            forwards, backwards, beside = calls[key]
            estimate.seconds += beside + len(cell.samples) * (forwards * forward + backwards * backward)
            estimate.cells += 1
            used[cell.model] = used.get(cell.model, np.zeros(2)) + len(cell.samples) * np.array([forwards, backwards])
            seen.setdefault(cell.model, set()).update(cell.samples)
    estimate.passes = {model: tuple((sums / len(seen[model])).tolist()) for model, sums in used.items()}
    estimate.a_call = {model: forward for model, (forward, _) in costs.items() if forward}
    return estimate


def counted(suite: SuiteSpec, classes: int) -> Calls:
    """Forwards and backwards a sample of every kind of cell, as a small network needs them, and the seconds a cell
    that it took: what is done besides calling the network."""
    data, samples = suite_dataset(suite), samples_needed(suite)
    ids = sample_order(data.index(suite.dataset.split), suite.seed, samples)
    try:
        batch = data.load(suite.dataset.split, ids, Grid.of(suite.dataset))
    except AssayError:
        return {}
    small = suite.model_copy(
        update={
            "entries": (STAND_IN,),
            "dataset": suite.dataset.model_copy(update={"samples": samples}),
            "attacks": tuple(
                probe.model_copy(update={"fit_samples": min(FITTED, probe.fit_samples or FITTED)})
                for probe in suite.attacks
                if not (probe.source or probe.sources or probe.of)
            ),
        }
    )
    shape = list(batch.inputs.shape[1:])
    asked = digest([small.model_dump(mode="json", exclude=NO_CALLS), small.dataset.use, shape, classes])
    if asked not in _counted:
        _counted[asked] = _count(small, batch, classes)
    return _counted[asked]


def samples_needed(suite: SuiteSpec) -> int:
    """How many samples calls are counted on: so many that every metric has a value."""
    return max([SAMPLES, *(metrics.lookup(metric.use)[0].least for metric in suite.metrics)])


def _count(small: SuiteSpec, batch: Batch, classes: int) -> Calls:
    model, spec = stand_in(batch, classes)
    watcher = _Counted(model, time.monotonic() + BUDGET)
    with tempfile.TemporaryDirectory(prefix="assay-estimate-") as place:
        try:
            prepared = prepare(small, [PlannedEntry(STAND_IN, "0" * 64, small.task)], Options(out=Path(place)))
        except AssayError:
            return {}
        context = Context(prepared.store, "cpu", lambda *_: (model, spec))
        run_here(Job(prepared.ledger, prepared.store, watcher), context, stop=lambda: time.monotonic() > watcher.until)
    return watcher.calls


def stand_in(batch: Batch, classes: int) -> tuple[Model, EntrySpec]:
    """A convolution with fixed random weights, then a linear layer that gets these samples right: attacks want that."""
    import torch
    from torch import nn

    from benchmark.models.wrap import Model
    from benchmark.seeds import global_seed

    shape = tuple(batch.inputs.shape[1:])
    with global_seed(0):
        features = nn.Sequential(nn.Conv2d(shape[0], 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
        last = nn.Linear(128, classes)
    with torch.no_grad():
        seen = features(torch.as_tensor(batch.inputs))
        logits, labels = last(seen), torch.as_tensor(batch.labels)
        margin = MARGIN + math.log(max(1.0, classes / 10))  # as sure, however many classes
        wanted = logits.scatter(1, labels[:, None], logits.max(1, keepdim=True).values + margin)
        last.weight.add_((torch.linalg.pinv(seen) @ (wanted - logits)).T)
    network = nn.Sequential(*features, last)
    spec = EntrySpec.model_construct(name=STAND_IN, input_shape=shape, classes=classes, factory="", output="logits")
    return Model(network), spec


def cost_of(cell: Cell, suite: SuiteSpec) -> tuple[float, float]:
    """Seconds of a forward and of a backward a sample of the cell's entry, measured; zeros where it cannot be built."""
    import torch

    data = suite_dataset(suite)
    ids = sample_order(data.index(suite.dataset.split), suite.seed, min(cell.batch_size, suite.run.chunk))
    try:
        model, _ = load_entry_model(cell, "cpu")
        model = model.reordered(cell.outputs) if cell.outputs else model
        x = torch.tensor(data.load(suite.dataset.split, ids, Grid.of(suite.dataset)).inputs)
        times = []
        for _ in range(6):  # the first warms up
            y = x.clone().requires_grad_()
            start = time.perf_counter()
            output = model(y)
            middle = time.perf_counter()
            torch.autograd.grad(output.sum(), y)
            times.append((middle - start, time.perf_counter() - middle))
    except Exception:  # code of others: whatever is wrong, the run says it
        return 0.0, 0.0
    forward, backward = (min(part) for part in zip(*times[1:], strict=True))
    return forward / len(x), backward / len(x)
