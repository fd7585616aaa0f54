"""``assay status``: how far a suite is."""

from __future__ import annotations

from collections import Counter

import typer

from benchmark.cli.options import RESULTS, Out, SuiteName


def status(suite: SuiteName, out: Out = RESULTS) -> None:
    """Cells done, failed, skipped and missing, model by model, and what failed."""
    from benchmark.cli.progress import last_line
    from benchmark.cli.report import results_folder
    from benchmark.errors import NoRecordsError
    from benchmark.store.folder import Store

    folder = results_folder(suite, out)
    store = Store(folder)
    plan = store.plan()
    if plan is None:
        raise NoRecordsError(f"{folder} has no plan yet; run the suite first: assay run {suite}")
    running = store.holder()
    heads = store.heads(cell["hash"] for cell in plan["cells"])
    typer.echo(f"{plan['suite']['name']} in {folder}: {len(heads)} of {len(plan['cells'])} cells have a record here")
    typer.echo(f"running: {running}" if running else "not running")
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
