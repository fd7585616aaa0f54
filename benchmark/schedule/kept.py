"""Attributions on disk: a finished run keeps the first ones, up to a cap; others are made again where they are needed.

They are the bulk of what a suite of explanations leaves (0.6 MB a sample and explainer at 224 pixels), and once their
scores are recorded only pictures and new metrics read them. What was taken away is marked, so that its record counts as
whole; a cell that is planned later and needs it has it computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmark.spec.cell import Cell
from benchmark.store.folder import Store

ENDED = ("done", "skipped")
Heads = Mapping[str, Mapping[str, Any]]


def dropped(file: Path) -> bool:
    """An artefact was taken away on purpose."""
    return not file.is_file() and _mark(file).is_file()


def lacking(store: Store, cells: Iterable[Cell], heads: Heads) -> set[str]:
    """Cells whose artefact was taken away and that a cell without a record needs."""
    needed = {need for cell in cells if cell.hash not in heads for need in cell.needs.values() if need in heads}
    return {cell for cell in needed if any(dropped(file) for file in _files(store, heads[cell]))}


def drop_beyond(store: Store, cells: Iterable[Cell], cap_mb: float) -> str:
    """Take away attributions beyond the cap, the plan's first ones kept; returns what is to be said, if anything.

    Those that a cell of the plan still has to read, since it has no record or a failed one, are kept.

    Args:
        store: of the suite.
        cells: of the plan, in its order.
        cap_mb: megabytes of attributions that are kept.
    """
    planned = list(cells)
    heads = store.heads(cell.hash for cell in planned)
    waiting = {
        need for cell in planned if heads.get(cell.hash, {}).get("status") not in ENDED for need in cell.needs.values()
    }
    kept = gone = 0
    for cell in planned:
        if cell.kind != "explain" or cell.hash not in heads:
            continue
        for file in (file for file in _files(store, heads[cell.hash]) if file.is_file()):
            size = file.stat().st_size
            if kept + size <= cap_mb * 1e6 or cell.hash in waiting:
                kept += size
                continue
            _mark(file).touch()
            file.unlink()
            gone += size
    if not gone:
        return ""
    return (
        f"{gone / 1e6:,.0f} MB of attributions beyond {cap_mb:g} MB are not kept (`keep_attributions_mb` in [run]);"
        " they are computed again where something needs them"
    )


def _files(store: Store, head: Mapping[str, Any]) -> list[Path]:
    return [store.artefacts / artefact["file"] for artefact in head.get("artefacts", {}).values()]


def _mark(file: Path) -> Path:
    return file.with_name(f"{file.name}.dropped")
