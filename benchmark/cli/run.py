"""``assay run``: run a suite, resume it, fill its leaderboard."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import RESULTS, Data, Device, Entries, Include, Models, Only, Out, SuiteName, Workers, listed

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.cli.finished import Said
    from benchmark.schedule.estimate import Estimate
    from benchmark.schedule.request import Options, PlannedEntry
    from benchmark.schedule.run import Prepared
    from benchmark.schedule.watcher import Watcher
    from benchmark.spec.suite import SuiteSpec

INTERRUPTED = 130


def run(
    suite: SuiteName,
    models: Models = "",
    only: Only = [],  # noqa: B006
    limit: Annotated[
        int | None, typer.Option("--limit", "--samples", help="Number of samples, instead of the suite's.")
    ] = None,
    device: Device = "auto",
    workers: Workers = None,
    slots_per_device: Annotated[int, typer.Option(min=1, help="Worker processes that share a GPU.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads a worker.")] = 1,
    keep_inputs: Annotated[str | None, typer.Option(help="Perturbed inputs to keep: none, broken or all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be computed, and stop.")] = False,
    estimate: Annotated[bool, typer.Option(help="Dry run: estimate also what was never computed yet.")] = True,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Start nothing new after the first failure.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try parked failures again.")] = False,
    engine: Annotated[str, typer.Option(help="local, or ray for several machines.")] = "local",
    address: Annotated[str | None, typer.Option(help="Ray cluster: HOST:PORT or auto (default: its own).")] = None,
    records: Annotated[str, typer.Option(help="With ray, who writes records: driver, shared, or a URL.")] = "driver",
    rehash: Annotated[
        bool, typer.Option("--rehash", help="Read all data, weights and code anew; say where the cache was wrong.")
    ] = False,
    entries: Entries = [],  # noqa: B006
    data: Data = [],  # noqa: B006
    include: Include = [],  # noqa: B006
    out: Out = RESULTS,
) -> None:
    """Run a suite; the same command resumes it, and computes only what is not known yet."""
    from benchmark.cli.console import say_rehash
    from benchmark.cli.finished import Finished, remember_run, remembered_run
    from benchmark.cli.progress import watcher_for
    from benchmark.files import rehashing
    from benchmark.registry import include as include_files
    from benchmark.schedule.request import Options, planned_entries, resolve_all
    from benchmark.spec.suites import parse_pairs

    include_files(include)
    options = Options(
        models=listed(models),
        only=tuple(only),
        limit=limit,
        entries=tuple(entries),
        data=parse_pairs(data, "--data"),
        out=out,
        device=device,
        workers=workers,
        threads=threads,
        slots_per_device=slots_per_device,
        fail_fast=fail_fast,
        retry_failed=retry_failed,
        keep_inputs=keep_inputs,
        engine=engine,
        address=address,
        records=records,
    )
    watcher = watcher_for()
    with rehashing() if rehash else nullcontext() as looked:
        whole = resolve_all(suite, options)
        planned = [planned_entries(spec, own, watcher) for spec, own in whole]  # a wrong name in a part is said first
        asked = [(spec, own, members) for (spec, own), members in zip(whole, planned, strict=True)]
        if not (dry_run or rehash) and (known := remembered_run(asked)) is not None:
            for text in known.lines():
                typer.echo(text, nl=False)
            return
        ran = [
            _run_one(spec, own, members, watcher, (dry_run, estimate), part=i > 0)
            for i, (spec, own, members) in enumerate(asked)
        ]
    say_rehash(looked)
    if dry_run:
        return
    from benchmark.cli.report import combine, results_folders

    combine(results_folders(suite, out, whole[0][0].name), shown=False)
    if not all(fine for fine, _ in ran):
        raise typer.Exit(1)
    remember_run(asked, Finished([said for _, said in ran if said is not None]))


def _run_one(
    spec: SuiteSpec,
    options: Options,
    entries: list[PlannedEntry],
    watcher: Watcher,
    dry: tuple[bool, bool],
    *,
    part: bool,
) -> tuple[bool, Said | None]:
    """Run one suite and print its leaderboard: whether all is fine (no cell failed or was left), and what was said.

    ``dry``: only say what would be computed, and whether to estimate what nothing is known of.
    """
    from benchmark.schedule.run import execute_plan, prepare

    prepared = prepare(spec, entries, options)
    if dry[0]:
        from benchmark.schedule.estimate import Estimate, estimated

        _say_plan(prepared, estimated(prepared, options.threads) if dry[1] else Estimate())
        return True, None
    start = _say_start(prepared)
    try:
        execute_plan(prepared, options, watcher)
    except KeyboardInterrupt:
        typer.echo(f"\nInterrupted: {len(prepared.ledger.finished)} cells finished and kept;"
                   " the same command goes on from there.", err=True)  # fmt: skip
        raise typer.Exit(INTERRUPTED) from None
    return _say_end(prepared, options, start, part)


def _say_plan(prepared: Prepared, first: Estimate) -> None:
    from benchmark.spec.cell import KINDS

    ledger, plan = prepared.ledger, prepared.plan
    seconds, unknown = ledger.seconds_left()
    seconds, unknown = seconds + first.seconds, unknown - first.cells
    typer.echo(f"suite {plan.suite.name}: {len(plan.entries)} entries, {len(plan.samples)} samples")
    typer.echo(f"cells: {len(prepared.selected)}, known: {len(ledger.known)}, to compute: {ledger.total}")
    _say_data(prepared)
    if ledger.total:
        estimate = f"about {seconds:.2g} s of one worker" if unknown < ledger.total else "unknown (nothing like it yet)"
        extra = f", and {unknown} cells without an earlier record" if 0 < unknown < ledger.total else ""
        typer.echo(f"estimated time: {estimate}{extra}")
        if first.a_call:
            calls = ", ".join(f"{model} {1e3 * cost:.2g} ms" for model, cost in first.a_call.items())
            typer.echo(f"  calls a sample, counted on a small network, times a forward's measured cost: {calls}")
            for model, (forwards, backwards) in first.passes.items():
                typer.echo(f"  {model}: {forwards:,.0f} forwards and {backwards:,.0f} backwards a sample")
    for kind in KINDS:
        cells = [cell for cell in prepared.selected if cell.kind == kind]
        if cells:
            todo = sum(cell.hash in ledger.attempts for cell in cells)
            typer.echo(f"  {kind:<10} {len(cells):>5} cells, {todo} to compute")


def _say_data(prepared: Prepared) -> None:
    """How images come to the grid, what is to be said of the data, and whose outputs are put in another order."""
    data, plan = prepared.plan.suite.dataset, prepared.plan
    if data.size is not None:
        typer.echo(f"grid: {data.size[0]}x{data.size[1]}, fit = {data.fit}, range = {data.range}")
    for note in plan.notes:
        typer.echo(f"data: {note}")
    for name, words in plan.mapped.items():
        typer.echo(f"{name}: {words}")


def _say_start(prepared: Prepared) -> str:
    """Print what is about to be done; returns the part of the line without counts."""
    ledger, plan = prepared.ledger, prepared.plan
    names = ", ".join(entry.name for entry in plan.entries)
    start = f"{plan.suite.name}: {len(plan.samples)} samples, {len(plan.entries)} entries ({names})"
    typer.echo(f"{start}; {len(ledger.known)} cells known, {ledger.total} to compute")
    return start


def _say_end(prepared: Prepared, options: Options, start: str, part: bool) -> tuple[bool, Said | None]:
    """Print the leaderboard and the counts; see :func:`_run_one`."""
    from benchmark.cli.finished import Said, heard
    from benchmark.cli.outcome import print_outcome, where_line
    from benchmark.errors import NoRecordsError
    from benchmark.report.write import write_report
    from benchmark.spec.suites import data_paths

    counts = prepared.ledger.counts()
    left = prepared.ledger.left
    try:
        data = data_paths(prepared.plan.suite, options.data)
        results, board, _, _ = write_report(prepared.store.folder, data)
    except NoRecordsError as error:
        typer.echo(f"assay: {error}", err=True)
        return False, None
    with heard() as report:
        print_outcome(results, board, part=part)
    typer.echo(
        f"computed {counts['done']}, known {counts['known']}, failed {counts['failed']}, skipped {counts['skipped']}"
        + (f", not started {left}" if left else "")
    )
    where = where_line(prepared.store.folder, options.out, _asked_again(prepared), part=part)
    typer.echo(where)
    parked = sum(status == "failed" for status in prepared.ledger.known.values())
    if parked:
        typer.echo(f"{parked} failed before and are parked; --retry-failed tries them again", err=True)
    cells = len({cell.hash for cell in prepared.selected})
    return not (counts["failed"] or parked or left), Said(start, cells, report.getvalue(), where)


def _asked_again(prepared: Prepared) -> list[Path]:
    """Included files that a report needs, too: where the suite's task is of one of them."""
    from benchmark.registry import included_files
    from benchmark.tasks.base import tasks

    task = tasks.lookup(prepared.plan.suite.task)[0]
    return included_files() if task.__module__.startswith("assay_include_") else []
