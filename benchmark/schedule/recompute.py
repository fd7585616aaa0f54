"""Trust in records: some of them are computed again, and what attacks left is judged again by the verifier alone.

A recomputed cell stands on what it needs, so that is computed again too, in a folder of its own: nothing of the records
under test is read but to compare.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import AssayError, AttackError, NoRecordsError, UsageError
from benchmark.schedule.ledger import with_needs
from benchmark.schedule.request import Options, planned_entries
from benchmark.schedule.run import Prepared, execute_plan, prepare
from benchmark.schedule.watcher import Watcher
from benchmark.seeds import derive
from benchmark.spec.cell import Cell
from benchmark.spec.suite import SuiteSpec
from benchmark.store.folder import Store
from benchmark.store.record import last_line

Rows = Mapping[str, NDArray[Any]]
RTOL, ATOL = 1e-3, 1e-4
EFFORT = ("forwards", "backwards", "fit_forwards", "fit_backwards")  # another device may stop a step earlier


@dataclass(frozen=True)
class Compared:
    """One record beside what was computed again.

    Attributes:
        verdict: ``same`` (every value), ``close`` (labels and verdicts the same, numbers within 1e-3 relative or 1e-4),
            or ``differs``.
        words: what differs, or how far numbers are apart.
    """

    label: str
    hash: str
    verdict: str
    words: str = ""


@dataclass
class Verified:
    """What verifying a suite found.

    Attributes:
        drawn: how many of the records were drawn.
        done: of how many.
        compared: the records that were computed again: those drawn and those that they need.
        changed: cells of the plan that the code, entries and data here would compute differently, by reason.
        verdicts: perturbed inputs judged again.
        refuted: of these, those whose recorded success the verifier does not confirm, in words.
        without_verdict: why kept inputs could not be judged, with counts.
    """

    drawn: int = 0
    done: int = 0
    compared: list[Compared] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    verdicts: int = 0
    refuted: list[str] = field(default_factory=list)
    without_verdict: dict[str, int] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """No record differs, none was made by other code or data, and no success was refuted."""
        return not (self.changed or self.refuted or any(each.verdict == "differs" for each in self.compared))


def verify(suite: SuiteSpec, options: Options, watcher: Watcher, share: float, seed: int) -> Verified:
    """Compute a random share of the done cells again, compare, and judge all kept perturbed inputs.

    Args:
        suite: resolved.
        options: ``models`` and ``only`` choose among the cells; ``out`` holds the records; the rest as in a run.
        share: of the done cells, in (0, 1]; see :func:`choose`.
        seed: of the choice.

    Raises:
        UsageError: a share outside (0, 1].
        NoRecordsError: no records to verify.
    """
    if not 0 < share <= 1:
        raise UsageError(f"--sample {share:g}: expected a share of the cells in (0, 1], such as 0.05")
    store = Store(options.out / suite.name)
    plan = store.plan()
    if plan is None:
        raise NoRecordsError(f"{store.folder} has no plan; run the suite first: assay run {suite.name}")
    entries = planned_entries(suite, replace(options, models=tuple(_guests(plan, suite, options))), watcher)
    with tempfile.TemporaryDirectory(prefix="assay-verify-") as place:
        prepared = prepare(suite, entries, replace(options, models=()), store=Store(Path(place) / suite.name))
        wanted = [cell for cell in plan["cells"] if not options.models or cell["model"] in options.models]
        wanted = [cell for cell in wanted if not options.only or cell["probe"] in options.only]
        recorded = store.recorded_rows(dict.fromkeys(cell["hash"] for cell in wanted))
        if not recorded:
            raise NoRecordsError(f"{store.folder} holds no records of these cells; run the suite first")
        here = {cell.hash: cell for cell in prepared.plan.cells}
        verified = Verified(changed=_changed(wanted, recorded, here))
        done = [here[cell] for cell, (head, _) in recorded.items() if cell in here and head["status"] == "done"]
        drawn = choose(done, share, seed)
        verified.drawn, verified.done = len(drawn), len({cell.hash for cell in done})
        _recompute(prepared, drawn, recorded, options, watcher, verified)
    _verify_again(done, store, recorded, options, verified)
    return verified


def _guests(plan: Mapping[str, Any], suite: SuiteSpec, options: Options) -> list[str]:
    """Entries of the plan that the suite does not name, as ``--models`` added them; only those that are asked for."""
    return [
        name for name in plan["entries"] if name not in suite.entries and (not options.models or name in options.models)
    ]


def choose(cells: Sequence[Cell], share: float, seed: int) -> list[Cell]:
    """A random share of the cells of each kind, rounded up: no kind is left out, however small the share.

    Which ones depends on the seed alone, not on their order.
    """
    kinds: dict[str, list[Cell]] = {}
    for cell in sorted({cell.hash: cell for cell in cells}.values(), key=lambda cell: cell.hash):
        kinds.setdefault(cell.kind, []).append(cell)
    chosen = []
    for kind, alike in sorted(kinds.items()):
        n = ceil(share * len(alike) - 1e-9)
        at = np.random.default_rng(derive("verify", kind, seed)).choice(len(alike), n, replace=False)
        chosen += [alike[i] for i in sorted(at)]
    return chosen


def _changed(
    planned: Sequence[Mapping[str, Any]], recorded: Mapping[str, tuple[dict[str, Any], Rows]], here: Mapping[str, Cell]
) -> dict[str, int]:
    """Recorded cells that would not be computed today, by what has changed."""
    like = {
        (cell.kind, cell.model, cell.probe, cell.metric, cell.eps and cell.eps.text, cell.source): cell
        for cell in here.values()
    }
    changes: dict[str, int] = {}
    for cell in planned:
        if cell["hash"] in here or cell["hash"] not in recorded:
            continue
        key = tuple(cell.get(name, "") for name in ("kind", "model", "probe", "metric", "eps", "source"))
        spec, now = recorded[cell["hash"]][0]["spec"], like.get(key)
        reason = f"{cell['model']} · {cell['probe'] or cell['kind']}: the suite here has no such cell"
        if now is not None:
            reason = f"{now.label}: {'; '.join(_differences(spec, now)) or 'what it needs has changed'}"
        changes[reason] = changes.get(reason, 0) + 1
    return changes


def _differences(spec: Mapping[str, Any], now: Cell) -> list[str]:
    said = []
    if spec["entry"] != now.entry:
        said.append(f"entry {spec['entry']}, here {now.entry}")
    if spec["dataset"]["digest"] != now.dataset.digest:
        said.append(f"data {spec['dataset']['digest']}, here {now.dataset.digest}")
    if tuple(spec.get("outputs", ())) != now.outputs:
        said.append("classes in another order")
    for name, plugin in (("task", now.task), ("plugin", now.plugin), ("explainer", now.explainer)):
        old = spec.get(name)
        if old is not None and plugin is not None:
            if old["version"] != plugin.version:
                said.append(f"{plugin.use} version {old['version']}, here {plugin.version}")
            if old["params"] != plugin.params:
                said.append(f"{plugin.use} with {old['params']}, here {plugin.params}")
    if spec["samples"] != list(now.samples):
        said.append("other samples")
    return said


def _recompute(
    prepared: Prepared,
    chosen: Sequence[Cell],
    recorded: Mapping[str, tuple[dict[str, Any], Rows]],
    options: Options,
    watcher: Watcher,
    verified: Verified,
) -> None:
    """Run the chosen cells and all that they need in a folder of their own, and compare each that has a record."""
    cells = with_needs(chosen, prepared.plan.cells)
    ledger = replace(prepared.ledger, cells=cells, heads={}, known={}, attempts={}, finished={})
    execute_plan(replace(prepared, selected=cells, ledger=ledger), options, watcher)
    for cell in cells:
        if cell.hash not in recorded:
            continue
        ended = ledger.finished[cell.hash]
        head, rows = recorded[cell.hash]
        if ended.status != head["status"]:
            words = f"recorded as {head['status']}, now {ended.status}: {last_line(ended.reason)}"
            verified.compared.append(Compared(cell.label, cell.hash, "differs", words))
        elif ended.status == "done":
            verdict, words = compare_rows(rows, prepared.store.rows(cell.hash))
            if verdict != "same":
                words = "; ".join([words, *_made(head, prepared.store.head(cell.hash) or {})])
            verified.compared.append(Compared(cell.label, cell.hash, verdict, words))


def _made(head: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Where the record was made otherwise than here."""
    old, new = head.get("provenance", {}), now.get("provenance", {})
    return [
        f"{name} {old.get(name)}, here {new.get(name)}" for name in sorted({*old, *new} - {"date"})
        if old.get(name) != new.get(name)
    ]  # fmt: skip


def compare_rows(recorded: Rows, again: Rows) -> tuple[str, str]:
    """``same``, ``close`` or ``differs`` (see :class:`Compared`) of two tables of a cell, and what is apart, said."""
    if set(recorded) - set(again):
        return "differs", f"columns {', '.join(sorted(set(recorded) - set(again)))} are gone"
    worst, apart = "same", []
    for name, old in recorded.items():
        new = again[name]
        if len(old) != len(new):
            return "differs", f"{len(old)} rows recorded, now {len(new)}"
        a, b = (values.astype(np.float64) if values.dtype.kind == "f" else values for values in (old, new))
        if a.dtype.kind != "f" and b.dtype.kind != "f":
            wrong = int(np.sum(a.astype(object) != b.astype(object)))
            if wrong and name not in EFFORT:
                worst = "differs"
                apart.append(f"{name} of {wrong} of {len(a)} samples")
            continue
        a, b = a.astype(np.float64), b.astype(np.float64)
        if np.array_equal(a, b, equal_nan=True):
            continue
        gap = np.abs(a - b)
        far = ~(np.isclose(a, b, RTOL, ATOL, equal_nan=True)) & (name not in EFFORT)
        worst = "differs" if far.any() or worst == "differs" else "close"
        count = f"of {int(far.sum())} of {len(a)} samples " if far.any() else ""
        apart.append(f"{name} {count}by up to {np.nanmax(gap) if np.isfinite(gap).any() else np.inf:.2g}")
    return worst, ", ".join(apart)


def _verify_again(
    cells: Sequence[Cell],
    store: Store,
    recorded: Mapping[str, tuple[dict[str, Any], Rows]],
    options: Options,
    verified: Verified,
) -> None:
    """The verifier alone on every kept perturbed input."""
    from benchmark.schedule.context import Context
    from benchmark.schedule.devices import devices

    context = Context(store, devices(options.device)[0])
    for cell in cells:
        head, rows = recorded[cell.hash]
        if cell.kind != "attack" or not head.get("artefacts"):
            continue
        if store.head(cell.hash) is None or not (store.artefacts / cell.hash).is_dir():
            _count(verified.without_verdict, "artefacts are not here (they are not tracked)")
            continue
        try:
            for words in unconfirmed(cell, context, rows, verified):
                verified.refuted.append(f"{cell.label}: {words}")
        except AssayError as error:
            verified.refuted.append(f"{cell.label}: {error}")


def _count(counts: dict[str, int], reason: str) -> None:
    counts[reason] = counts.get(reason, 0) + 1


def unconfirmed(cell: Cell, context: Any, rows: Rows, verified: Verified) -> Iterator[str]:
    """Judge the kept inputs of an attack cell; yields each sample whose recorded success is not confirmed."""
    import torch

    from benchmark.attacks.base import Perturbed
    from benchmark.schedule.attacking import informed, of_samples
    from benchmark.schedule.parts import attack_of, budget_of, clean_rows, draws, task_of
    from benchmark.tasks.execute import verification

    if "reference_correct" in rows:
        _count(
            verified.without_verdict, f"{cell.probe}: judged beside a view without the perturbation, which is not kept"
        )
        return
    kept = context.results.artefact(cell.hash, "perturbed")
    model, _ = context.model(cell)
    attack, task, batch = informed(attack_of(cell), cell, context), task_of(cell), context.batch(cell)
    clean = clean_rows(cell, context)
    views = kept.get("views", np.zeros(len(kept["samples"]), dtype=np.int64))
    place = {sample: i for i, sample in enumerate(cell.samples)}
    for view in sorted(set(views.tolist())):
        mine = np.flatnonzero(views == view)
        where = np.array([place[str(kept["samples"][i])] for i in mine])
        at = of_samples(attack.at_view(view), cell, context, [cell.samples[i] for i in where])
        row = where + view * len(cell.samples)
        params = {name.removeprefix("param_"): rows[name][row] for name in rows if name.startswith("param_")}
        inputs = torch.as_tensor(batch.inputs[where], device=context.device)
        labels = torch.as_tensor(batch.labels[where], device=context.device)
        left = Perturbed(torch.as_tensor(kept["inputs"][mine], device=context.device), params=params)
        part = {name: values[where] for name, values in clean.items()}
        generator = draws(cell, slice(None), view).subset(where.tolist())
        try:
            with task.side_information(model, at, budget_of(cell)), _replaying(at.threat.norm == "none"):
                again = verification(
                    task, model, inputs, labels, left, at, part, eps=budget_of(cell), generator=generator
                )
        except NotReplayableError as error:
            _count(verified.without_verdict, f"{cell.probe}: {error}")
            continue
        verified.verdicts += len(mine)
        scores = {score.column: None for score in task.scores()}
        yield from _refutations(rows, row, again, kept["samples"][mine], tuple(scores))


class NotReplayableError(AssayError):
    """A record does not hold all that a replay needs."""


@contextmanager
def _replaying(without_norm: bool) -> Iterator[None]:
    """Parameters that are no numbers are not in a record: what needs them to be judged cannot be."""
    try:
        yield
    except (AttackError, KeyError) as error:
        raise NotReplayableError("the record does not hold every parameter that judging it needs") from error
    except (TypeError, IndexError, ValueError, AttributeError, AssayError) as error:
        if not without_norm:
            raise
        raise NotReplayableError("the record does not hold every parameter that its replay needs") from error


def _refutations(
    rows: Rows, row: NDArray[np.intp], again: Rows, samples: NDArray[Any], scores: Sequence[str]
) -> Iterator[str]:
    """Kept inputs whose status, success or score (columns of a task without verdicts) is not the recorded one."""
    for name in ("status", "success", *scores):
        if name not in rows or name not in again:
            continue
        old, new = rows[name][row], again[name]
        numbers = np.asarray(new).dtype.kind == "f"
        same = np.isclose(old.astype(float), new, RTOL, ATOL, equal_nan=True) if numbers else old == new
        for i in np.flatnonzero(~np.asarray(same, dtype=bool)):
            yield f"sample {samples[i]}: {name} recorded as {old[i]}, the verifier says {new[i]}"
