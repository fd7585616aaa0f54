"""``assay verify``: can these records be reproduced?"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.console import say_lines, say_rehash
from benchmark.cli.options import RESULTS, Data, Device, Entries, Include, Out, SuiteName, Workers, listed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmark.schedule.recompute import Verified
    from benchmark.schedule.request import Options


def verify(
    suite: SuiteName,
    sample: Annotated[float, typer.Option(help="Share of the done cells to compute again.")] = 0.05,
    seed: Annotated[int | None, typer.Option(help="Of the choice of cells (default: another one each time).")] = None,
    models: Annotated[str, typer.Option(help="Only records of these entries, joined by commas.")] = "",
    only: Annotated[list[str], typer.Option(help="Only records of these attacks and explainers; repeatable.")] = [],  # noqa: B006
    device: Device = "auto",
    workers: Workers = None,
    entries: Entries = [],  # noqa: B006
    data: Data = [],  # noqa: B006
    include: Include = [],  # noqa: B006
    out: Out = RESULTS,
) -> None:
    """Compute a random share of the cells again and compare; judge all kept perturbed inputs by the verifier alone.

    All data, weights and code are read anew, whatever the cache remembers of them.
    """
    from benchmark.cli.progress import watcher_for
    from benchmark.cli.report import parts_folders, results_folder
    from benchmark.files import rehashing
    from benchmark.registry import include as include_files
    from benchmark.schedule.recompute import verify as verify_suite
    from benchmark.schedule.request import Options, resolve
    from benchmark.spec.suites import parse_pairs

    include_files(include)
    options = Options(
        models=listed(models),
        only=tuple(only),
        entries=tuple(entries),
        data=parse_pairs(data, "--data"),
        out=out,
        device=device,
        workers=workers,
    )
    drawn = secrets.randbelow(1_000_000) if seed is None else seed  # one that is known is one to lie around
    good = True
    with rehashing() as looked:
        for folder, own in _asked(suite, [results_folder(suite, out), *parts_folders(suite, out)], options):
            name = suite if suite.endswith(".toml") else folder.name
            verified = verify_suite(resolve(name, own), own, watcher_for(), sample, drawn)
            _say(folder.name, verified, drawn)
            good &= verified.good
    say_rehash(looked)
    if not good:
        raise typer.Exit(1)


def _asked(suite: str, folders: list[Path], options: Options) -> Iterator[tuple[Path, Options]]:
    """The folders of a suite and its parts that have the models asked for, each with its own options."""
    from benchmark.errors import UnknownNameError
    from benchmark.store.folder import Store

    plans = {folder: Store(folder).plan() for folder in folders}
    known = [name for plan in plans.values() if plan is not None for name in plan["entries"]]
    for name in options.models if known else ():
        if name not in known:
            raise UnknownNameError("model", name, known, f"the records of {suite}")
    for folder, plan in plans.items():
        if plan is None:
            yield folder, options  # what follows says what is missing
            continue
        there = tuple(name for name in options.models if name in plan["entries"])
        if there or not options.models:
            yield folder, replace(options, models=there, limit=plan["dataset"]["n"])


def _say(name: str, verified: Verified, seed: int) -> None:
    counts = {word: sum(each.verdict == word for each in verified.compared) for word in ("same", "close", "differs")}
    typer.echo(
        f"{name}: {verified.drawn} of {verified.done} records drawn (--seed {seed}); with those that they need"
        f" {len(verified.compared)} cells computed again: {counts['same']} the same, {counts['close']} within rounding,"
        f" {counts['differs']} not reproduced"
    )
    say_lines([f"not reproduced: {e.label} ({e.hash}): {e.words}" for e in verified.compared if e.verdict == "differs"])
    say_lines([f"within rounding: {e.label}: {e.words}" for e in verified.compared if e.verdict == "close"])
    say_lines([f"cannot be computed here ({n} cells): {reason}" for reason, n in verified.changed.items()])
    typer.echo(
        f"  {verified.verdicts:,} kept perturbed inputs judged again: {len(verified.refuted)} verdicts not confirmed"
    )
    say_lines([f"not confirmed: {words}" for words in verified.refuted])
    say_lines([f"not judged ({n} cells): {reason}" for reason, n in verified.without_verdict.items()])
