"""What runs on a node of a Ray cluster: one actor a slot, one device an actor, the same ``run_cell``."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.data.base import Dataset
from benchmark.errors import DataError
from benchmark.schedule.cluster import software
from benchmark.schedule.context import Context, build_checked
from benchmark.schedule.shipping import Folder, Order, Unpacker, shipped_entry
from benchmark.spec.cell import Cell
from benchmark.store.elsewhere import Elsewhere
from benchmark.store.encoded import Files, encode
from benchmark.store.folder import Store


@dataclass(frozen=True)
class ActorSettings:
    """What an actor is told at its start.

    Attributes:
        gpu: the share of a GPU that it holds; 0: none.
        threads: CPU threads of torch.
        include: plugin files to import.
        records: ``driver``, ``shared``, or the URL of this suite's records.
        folder: the results folder, for ``shared``.
    """

    gpu: float
    threads: int
    include: tuple[Folder, ...]
    records: str
    folder: Path


class Facts(NamedTuple):
    """What an actor says of itself once it can work.

    Attributes:
        node: Ray's id of its node; ``host``: the node's name.
        device: the name of what it computes on; ``why``: for people, where that is not what was asked for.
        versions: of Assay, Python and the libraries that records name, and a digest of Assay's source.
        note: what it reads in the results folder's ``run.json``, for ``shared``.
    """

    node: str
    host: str
    device: str
    why: str
    versions: dict[str, str]
    note: str


class Answer(NamedTuple):
    """How a cell ended; ``files`` is the record where the driver is to write it."""

    status: str
    reason: str
    seconds: float
    batch_size: int
    files: Files | None


class NodeContext(Context):
    """A context whose datasets must lie on this node."""

    def dataset(self, cell: Cell) -> Dataset:
        path = cell.dataset.path
        if path is not None and not path.exists():
            raise DataError(
                f"dataset {cell.dataset.name!r}: {path} does not exist on node {platform.node()};"
                " data do not travel: every node needs them at the path that --data names"
            )
        return super().dataset(cell)


def load_shipped(cell: Cell, device: str) -> tuple[Any, Any]:
    """Build the cell's entry from its unpacked folder: (model, entry spec)."""
    assert cell.folder is not None
    return build_checked(shipped_entry(cell.folder), cell, device)


class Worker:
    """The actor. Its calls run one after the other, in the order in which they were sent."""

    def __init__(self, settings: ActorSettings) -> None:
        self.settings = settings
        self.last: tuple[str, int, Answer] | None = None
        if not settings.gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")

    def ready(self) -> Facts:
        """Import what cells need; says where and what this actor is.

        Raises:
            UsageError: a plugin file that cannot be imported here.
        """
        import ray
        import torch
        from tqdm import tqdm

        from benchmark.registry import include
        from benchmark.schedule.provenance import device_name

        torch.set_num_threads(self.settings.threads)
        tqdm.set_lock(threading.RLock())
        device, why = "cpu", ""
        if self.settings.gpu and torch.cuda.is_available():
            device = "cuda:0"
        elif self.settings.gpu:
            why = "Ray gives a worker a GPU there, but torch sees none: it computes on the CPU"
        self.inbox = Unpacker(ray.get)
        include([next(self.inbox.unpacked(folder).iterdir()) for folder in self.settings.include])
        shared = self.settings.records == "shared"
        self.store = Store(self.settings.folder)
        self.elsewhere = Elsewhere(self.settings.records) if "://" in self.settings.records else None
        share = min(1.0, self.settings.gpu) if device != "cpu" else 1.0
        if share < 1:  # a neighbour's memory is not this one's to take
            torch.cuda.set_per_process_memory_fraction(share, device)
        self.context = NodeContext(self.store if shared else self.inbox, device, load_shipped, share=share)
        note = ""
        with contextlib.suppress(OSError):
            note = (self.settings.folder / "run.json").read_text() if shared else ""
        node = ray.get_runtime_context().get_node_id()
        return Facts(node, platform.node(), device_name(device), why, software(), note)

    def prepare(self, order: Order) -> None:
        """Load the cell's model, so that the cell's time limit starts after that; its cell tells of a failure."""
        with contextlib.suppress(Exception, SystemExit):
            cell = self.inbox.cell(order)
            self.context.model(cell)
            self.context.batch(cell)

    def run(self, order: Order) -> Answer:
        """Run a cell, and read the samples of the one ``ahead`` meanwhile; its record is returned, or written.

        Raises:
            PoisonedError: nothing more can run in this process; there is no record.
            StoreError: the record could not be written; the run stops.
        """
        from benchmark.schedule.cell import run_cell

        if order.ahead is not None:
            self.context.read_ahead(order.ahead)
        record = run_cell(self.inbox.cell(order), self.context, order.attempt, order.batch_size)
        _, files = encode(record)
        if self.settings.records == "shared":
            self.store.write_files(record.hash, files)
        elif self.elsewhere is not None:
            self.elsewhere.put(record.hash, files)
        own = files if self.settings.records == "driver" else None
        answer = Answer(record.status, record.reason, record.seconds, record.batch_size, own)
        self.last = (record.hash, order.attempt, answer)
        return answer

    def answer_again(self, cell: str, attempt: int) -> Answer | None:
        """The last answer, where it is that cell's: for a driver that could not hear it."""
        return self.last[2] if self.last is not None and self.last[:2] == (cell, attempt) else None
