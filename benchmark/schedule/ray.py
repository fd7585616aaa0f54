"""The Ray engine: one actor a slot on any number of machines; see docs/cluster.md.

The driver gives cells to actors that are there, writes records (or leaves that to the actors), and replaces an actor
that died wherever the cluster has room. An actor that dies costs its cell an attempt, as in the local engine; a node
that dies costs nobody one. A cell that was given back is never written by who had it before: nobody listens to it.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmark.errors import AssayError, PoisonedError, StoreError, UsageError
from benchmark.registry import included_files
from benchmark.schedule.cluster import connected, slots_of, software, unlike
from benchmark.schedule.engine import Job
from benchmark.schedule.incoming import Incoming
from benchmark.schedule.pool import LOAD_LIMIT
from benchmark.schedule.queue import Group, group_of
from benchmark.schedule.ray_actor import ActorSettings, Facts, Worker
from benchmark.schedule.shipping import Order, Packer
from benchmark.spec.cell import Cell

SILENT_LIMIT = 60.0  # seconds that an actor may be unavailable before it counts as dead
GRACE = 2.0  # seconds in which a node may be found dead after one of its actors died
START_LIMIT = 900.0  # seconds without any worker
TELL_AFTER = 30.0  # seconds of them before a person is told
TICK = 0.5  # seconds between looks at clocks and nodes
MAX_STARTS = 3  # an actor that dies before it is ready is started that often
NODE_DEATHS = 3  # a cell that was on that many dying nodes has failed: it may be what kills them


@dataclass(frozen=True)
class RaySettings:
    """How to run on Ray.

    Attributes:
        address: ``HOST:PORT`` or ``auto``; None: ``$RAY_ADDRESS``, else a Ray of its own on this machine.
        device: ``auto`` (GPUs where the cluster has some), ``cuda`` or ``cpu``.
        workers: number of actors (default: one a GPU share, or one every ``threads`` CPUs).
        threads: CPU threads of each.
        slots_per_device: actors that share a GPU.
        records: ``driver``, ``shared``, or the URL of this suite's records.
    """

    address: str | None = None
    device: str = "auto"
    workers: int | None = None
    threads: int = 1
    slots_per_device: int = 1
    records: str = "driver"


@dataclass
class Slot:
    """One actor and what it is doing: starting, idle, loading, working, or silent (unavailable)."""

    number: int
    actor: Any = None
    state: str = "starting"
    facts: Facts | None = None
    future: Any = None
    order: Order | None = None
    cell: Cell | None = None
    loaded: tuple[str, str] | None = None
    group: Group | None = None
    deadline: float = float("inf")
    silent_since: float = 0.0
    ask_at: float = 0.0
    starts: int = 0


@dataclass
class Lost:
    """A cell whose actor died, until it is known whether its node died."""

    cell: Cell
    attempt: int
    node: str
    until: float
    reason: str


def run_ray(job: Job, settings: RaySettings) -> None:
    """Run every cell of the job on Ray.

    Raises:
        UsageError: Ray is not installed, there is no cluster at the address, or its nodes have other versions.
        StoreError: a record could not be written; what was written before is kept.
        AssayError: the cluster takes no worker.
        KeyboardInterrupt: after the actors have been ended.
    """
    with connected(settings.address, settings.workers, settings.threads):
        engine = _Engine(job, settings)
        job.watcher.begin(job.ledger, [engine.label] * len(engine.slots))
        try:
            job.end_blocked()
            engine.loop()
        finally:
            engine.end()
            job.watcher.close()


@dataclass
class _Engine:
    job: Job
    settings: RaySettings
    lost: list[Lost] = field(default_factory=list)
    node_deaths: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        import ray

        self.ray, records = ray, self.settings.records
        self.incoming = Incoming(self.job.store, records)
        self.packer = Packer(None if records == "shared" else self.job.store, ray.put)
        device, threads = self.settings.device, self.settings.threads
        wanted = slots_of(ray.cluster_resources(), device, threads, self.settings.slots_per_device)
        count = max(1, min(self.settings.workers or wanted.count, self.job.ledger.left))
        self.label, folder = wanted.label, self.job.store.folder.resolve()
        include = tuple(self.packer.folder([file]) for file in included_files())
        self.actor_settings = ActorSettings(wanted.gpu, threads, include, records, folder)
        self.kind = ray.remote(Worker).options(
            num_cpus=threads, num_gpus=wanted.gpu, max_restarts=0, max_task_retries=0
        )
        self.slots = [Slot(number) for number in range(count)]
        self.under_way, self.wait_announced = time.monotonic(), False
        for slot in self.slots:
            self._start(slot)

    def loop(self) -> None:
        """Until every cell has ended, or nothing more may start."""
        while True:
            for slot in self.slots:
                if slot.state == "idle" and not self.job.stopped:
                    self._feed(slot)
            if not self.lost and all(slot.cell is None for slot in self.slots):
                if self.job.stopped or not self.job.ledger.left or any(slot.state == "idle" for slot in self.slots):
                    return
                self._check_that_workers_come()
            else:
                self.under_way = time.monotonic()
            self._wait()
            self._look_at_clocks()
            self._look_at_nodes()

    def end(self) -> None:
        """End every actor; the cluster goes on."""
        for slot in self.slots:
            self._kill(slot)

    # -- starting and giving ------------------------------------------------------------------------------------------

    def _start(self, slot: Slot) -> None:
        """Ask for an actor in this slot; Ray places it where there is room."""
        slot.actor = self.kind.remote(self.actor_settings)
        slot.state, slot.facts, slot.loaded, slot.cell, slot.order = "starting", None, None, None, None
        slot.starts += 1
        slot.deadline = float("inf")  # the cluster may have no room yet
        slot.future = slot.actor.ready.remote()

    def _kill(self, slot: Slot) -> None:
        if slot.actor is not None:
            with contextlib.suppress(Exception):
                self.ray.kill(slot.actor, no_restart=True)
        slot.actor = slot.future = None

    def _feed(self, slot: Slot) -> None:
        ledger = self.job.ledger
        busy = {other.loaded[0] for other in self.slots if other is not slot and other.loaded}
        while (cell := ledger.take(slot.loaded[0] if slot.loaded else None, busy, slot.group)) is not None:
            self.job.watcher.started(slot.number, cell)
            ledger.attempts[cell.hash] += 1
            try:
                size = self.job.batches.of(cell, slot.facts.device if slot.facts else "")
                slot.order = self.packer.order(cell, ledger.attempts[cell.hash], size, ledger.ahead(cell))
            except (AssayError, OSError) as error:  # an entry or a needed result that cannot be read here
                self.job.end(cell, "failed", f"{type(error).__name__}: {error}", write=True)
                continue
            slot.cell, slot.group = cell, group_of(cell)
            self._send(slot, loading=slot.loaded != (cell.model, cell.entry))
            return

    def _send(self, slot: Slot, *, loading: bool) -> None:
        assert slot.cell is not None
        slot.state = "loading" if loading else "working"
        slot.deadline = time.monotonic() + (LOAD_LIMIT if loading else slot.cell.time_limit)
        slot.future = (slot.actor.prepare if loading else slot.actor.run).remote(slot.order)

    # -- hearing ------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        by_future = {slot.future: slot for slot in self.slots if slot.future is not None}
        nearest = min((slot.deadline for slot in by_future.values()), default=float("inf"))
        timeout = max(0.0, min(TICK, nearest - time.monotonic()))
        if not by_future:
            time.sleep(timeout)
            return
        done, _ = self.ray.wait(list(by_future), num_returns=1, timeout=timeout)
        for future in done:
            self._hear(by_future[future])

    def _hear(self, slot: Slot) -> None:
        errors = self.ray.exceptions
        future, slot.future = slot.future, None
        try:
            answer = self.ray.get(future)
        except errors.ActorUnavailableError:
            self._unavailable(slot)
        except errors.RayTaskError as error:
            self._raised(slot, error.cause if isinstance(error.cause, BaseException) else error)
        except errors.RayActorError as error:
            self._died(slot, f"the worker process died ({_why(error)})")
        except errors.RayError as error:  # what was answered is lost on the way
            self._died(slot, f"the answer was lost ({type(error).__name__})")
        else:
            self._answered(slot, answer)

    def _answered(self, slot: Slot, answer: Any) -> None:
        state, cell = slot.state, slot.cell
        if state == "starting":
            self._joined(slot, answer)
        elif state == "loading":
            assert cell is not None
            slot.loaded = (cell.model, cell.entry)
            self._send(slot, loading=False)
        elif answer is None:  # after a silence: it never heard of the cell
            self._send(slot, loading=True)
        else:
            slot.state, slot.cell, slot.order, slot.deadline = "idle", None, None, float("inf")
            assert cell is not None
            if answer.status == "done" and not self.job.stopped:
                self._feed(slot)  # first, so that the worker goes on while the record is written
            self.incoming.take(cell, answer.files)
            self.job.batches.keep(cell, slot.facts.device if slot.facts else "", answer.batch_size)
            self.job.end(cell, answer.status, answer.reason, answer.seconds)

    def _joined(self, slot: Slot, facts: Facts) -> None:
        differences = unlike(software(), facts.versions)
        if differences:
            raise UsageError(
                f"node {facts.host} has other versions than this driver: {'; '.join(differences)};"
                " install the same on every node"
            )
        store = self.job.store
        if self.settings.records == "shared" and facts.note != (store.folder / "run.json").read_text():
            raise UsageError(
                f"--records shared: node {facts.host} does not see this run in {store.folder.resolve()};"
                " give --out a folder that all nodes share, or leave --records out"
            )
        if facts.why and not any(other.facts and other.facts.host == facts.host for other in self.slots):
            self.job.watcher.said(f"node {facts.host}: {facts.why}")
        slot.state, slot.facts, slot.starts = "idle", facts, 0

    def _raised(self, slot: Slot, cause: BaseException) -> None:
        cell = slot.cell
        if isinstance(cause, StoreError):
            raise StoreError(str(cause))
        if isinstance(cause, PoisonedError):
            self._died(slot, str(cause))
            return
        if cell is None:
            raise UsageError(
                f"a worker cannot start on the cluster: {type(cause).__name__}: {cause};"
                " every node needs the same assay-benchmark in the Python that Ray runs there"
            )
        slot.state, slot.cell, slot.loaded, slot.deadline = "idle", None, None, float("inf")
        self.job.end(cell, "failed", f"{type(cause).__name__}: {cause}", write=True)

    # -- dying --------------------------------------------------------------------------------------------------------

    def _unavailable(self, slot: Slot) -> None:
        """Not dead: ask again, until it answers, is dead, or has been silent for too long."""
        if slot.cell is None:
            self._died(slot, "it could not be reached")
            return
        slot.ask_at = time.monotonic() + 2 * TICK
        if slot.state != "silent":
            slot.state, slot.silent_since = "silent", time.monotonic()
            self.job.watcher.said(f"worker {slot.number} is unavailable; asking again for up to {SILENT_LIMIT:g} s")

    def _died(self, slot: Slot, reason: str) -> None:
        cell, facts = slot.cell, slot.facts
        self._kill(slot)
        if cell is not None:
            until = time.monotonic() + GRACE
            attempt, node = self.job.ledger.attempts[cell.hash], facts.node if facts else ""
            self.lost.append(Lost(cell, attempt, node, until, reason))
        elif slot.starts >= MAX_STARTS:
            slot.state = "given up"
            self.job.watcher.said(f"worker {slot.number} died {slot.starts} times at its start: {reason}; given up")
            return
        self._start(slot)

    def _look_at_clocks(self) -> None:
        now = time.monotonic()
        for slot in self.slots:
            if slot.state == "silent" and slot.future is None:
                assert slot.cell is not None
                if now - slot.silent_since > SILENT_LIMIT:
                    self._died(slot, f"the worker was unavailable for {SILENT_LIMIT:g} s")
                elif now > slot.ask_at:
                    attempt = self.job.ledger.attempts[slot.cell.hash]
                    slot.future = slot.actor.answer_again.remote(slot.cell.hash, attempt)
            elif slot.cell is not None and now > slot.deadline:
                cell, loading = slot.cell, slot.state == "loading"
                self._kill(slot)
                self.job.over_time(cell, LOAD_LIMIT if loading else cell.time_limit, loading=loading)
                self._start(slot)

    def _look_at_nodes(self) -> None:
        if not self.lost and all(slot.state != "silent" for slot in self.slots):
            return
        alive = {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}
        for slot in self.slots:
            if slot.state == "silent" and slot.facts is not None and slot.facts.node not in alive:
                self._died(slot, "its node died")
        now, waiting = time.monotonic(), self.lost
        self.lost = []
        for lost in waiting:
            if lost.node in alive and now < lost.until:
                self.lost.append(lost)
            elif (head := self.incoming.left_behind(lost.cell, lost.attempt)) is not None:
                self.job.end(lost.cell, head["status"], head["reason"], head["seconds"])
            else:
                self._give_back(lost, node_died=lost.node not in alive)

    def _give_back(self, lost: Lost, *, node_died: bool) -> None:
        ledger, cell = self.job.ledger, lost.cell
        if not node_died:
            self.job.crashed(cell, lost.reason)
            return
        self.node_deaths[cell.hash] += 1
        if self.node_deaths[cell.hash] >= NODE_DEATHS:
            self.job.end(cell, "failed", f"the node died {NODE_DEATHS} times while the cell ran there", write=True)
            return
        self.job.watcher.said(f"{cell.label}: its node died; it is given to another worker")
        ledger.attempts[cell.hash] -= 1  # not the cell's fault
        ledger.again(cell)

    def _check_that_workers_come(self) -> None:
        if all(slot.state == "given up" for slot in self.slots):
            raise AssayError("no worker could be started on the cluster; what was finished is kept")
        waited = time.monotonic() - self.under_way
        if waited > TELL_AFTER and not self.wait_announced:
            self.wait_announced = True
            self.job.watcher.said(f"waiting for the cluster: no {self.label} slot is free yet")
        if waited > START_LIMIT:
            raise AssayError(
                f"the cluster took no worker within {START_LIMIT:g} s: it has no free {self.label} slot"
                " (ray status shows what is taken); what was finished is kept"
            )


def _why(error: BaseException) -> str:
    """The one line of Ray's text that says what happened."""
    lines = [line.strip() for line in str(error).splitlines()]
    reasons = [line for line in lines if line.startswith("The actor ")]
    return (reasons or lines or [type(error).__name__])[-1].partition(" Some common causes")[0][:300]
