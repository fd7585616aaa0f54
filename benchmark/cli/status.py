"""``assay status``: how far a suite is."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import typer

from benchmark.cli.options import RESULTS, Out, SuiteName


def status(suite: SuiteName, out: Out = RESULTS) -> None:
    """What runs where and how long it will take; cells done, failed, skipped and missing, and what failed."""
    from benchmark.cli.report import results_folder
    from benchmark.errors import NoRecordsError
    from benchmark.results.versions import outdated
    from benchmark.store.folder import Store
    from benchmark.store.record import last_line

    folder = results_folder(suite, out)
    store = Store(folder)
    plan = store.plan()
    if plan is None:
        raise NoRecordsError(f"{folder} has no plan yet; run the suite first: assay run {suite}")
    running = store.holder()
    heads = store.heads(cell["hash"] for cell in plan["cells"])
    typer.echo(f"{plan['suite']['name']} in {folder}: {len(heads)} of {len(plan['cells'])} cells have a record here")
    typer.echo(f"running: {running}" if running else "not running")
    now = store.progress() if running else None
    if now is not None:
        _say_progress(now)
    for each in outdated(plan):
        typer.echo(f"  {each.words}")
    for model in plan["entries"]:
        cells = [cell["hash"] for cell in plan["cells"] if cell["model"] == model]
        counts = Counter(heads[cell]["status"] if cell in heads else "missing" for cell in cells)
        text = ", ".join(f"{counts[name]} {name}" for name in ("done", "failed", "skipped", "missing") if counts[name])
        typer.echo(f"  {model}: {text}")
    for cell in plan["cells"]:
        head = heads.get(cell["hash"])
        if head is not None and head["status"] == "failed" and not head["blocked"]:
            label = " · ".join(part for part in (cell["model"], cell["probe"] or cell["kind"], cell["metric"]) if part)
            typer.echo(f"  failed ({head['attempts']} tries): {label}: {last_line(head['reason'])}")


def _say_progress(now: dict[str, Any]) -> None:
    """Slots, cells a minute and time left of the run that holds the folder."""
    counts, rate, unknown = now["counts"], now["cells_a_minute"], now["cells_without_estimate"]
    done = counts["done"] + counts["failed"] + counts["skipped"]
    speed = f"{rate:.0f} cells a minute, " if rate is not None else ""
    seconds = max(0.0, now["seconds_left"] - (time.time() - now["written"]))
    known = f"about {show_seconds(seconds)} left"
    left = known if seconds or not unknown else "time left not known yet"
    more = f" (without {unknown} cells of kinds that have not run yet)" if unknown else ""
    typer.echo(f"this run: {done} of {now['total']} cells, {counts['failed']} failed; {speed}{left}{more}")
    for i, slot in enumerate(now["slots"]):
        since = show_seconds(time.time() - slot["since"])
        what = f"{slot['cell']}, for {since}" if slot["cell"] else f"idle, for {since}"
        typer.echo(f"  slot {i} ({slot['device']}): {what}")


def show_seconds(seconds: float) -> str:
    """``42 s``, ``7 min``, ``3 h 20 min``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
