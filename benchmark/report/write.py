"""Writing the tables: leaderboard.csv and .md, explanations.csv, records.parquet. Same records, same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from benchmark.drawing.curves import DRAWING, as_png, picture_note
from benchmark.registry import digest
from benchmark.report.curves import Curves, curves
from benchmark.report.drift import attacked_explanations
from benchmark.report.explainer_ranks import explainer_ranks
from benchmark.report.explanations import explanations, similarity
from benchmark.report.extras import extras
from benchmark.report.markdown import markdown
from benchmark.report.rows import leaderboard
from benchmark.report.tables import to_csv
from benchmark.reported import Extras
from benchmark.results.base import Results
from benchmark.results.probes import fitted
from benchmark.store.atomic import write_atomic
from benchmark.store.folder import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(
    folder: Path, where: Mapping[str, Path] | None = None
) -> tuple[Results, pd.DataFrame, pd.DataFrame, Extras]:
    """Pack the records and write every table of a suite.

    Args:
        folder: ``results/<suite>``.
        where: paths by the dataset's label, for pictures.

    Returns:
        the results, the leaderboard, the explanations table, and the attacks' own tables and pictures.

    Raises:
        NoRecordsError: there is nothing to report; nothing is written.
    """
    store = Store(folder)
    plan = store.plan()
    if plan is not None:
        store.pack([cell["hash"] for cell in plan["cells"]])
    results = Results(store, where)
    board, explained = leaderboard(results), explanations(results)
    found, drawn = extras(results), curves(results)
    write_atomic(folder / "leaderboard.csv", to_csv(board))
    _write_or_remove(folder / "fitted.csv", fitted(results))
    _write_curves(folder, drawn)
    for stem, table in found.tables.items():
        write_atomic(folder / f"{stem}.csv", to_csv(table))
    for stem, draw in list(found.figures.items()):
        file, note = folder / "figures" / f"{stem}.png", found.notes.get(stem)
        if note is not None and picture_note(file) == note:
            continue
        try:
            write_atomic(file, picture(draw, note))
        except (ValueError, KeyError, IndexError, TypeError) as error:  # a picture less, not a report less
            found.faults.append(f"picture {stem}: {type(error).__name__}: {error}")
            del found.figures[stem]
    write_atomic(folder / "leaderboard.md", markdown(results, board, explained, found, drawn).encode())
    _write_or_remove(folder / "explanations.csv", explained)
    _write_or_remove(folder / "explainer_similarity.csv", similarity(results))
    _write_or_remove(folder / "explainer_ranks.csv", explainer_ranks(results))
    _write_or_remove(folder / "explanations_attacked.csv", attacked_explanations(results))
    return results, board, explained, found


def picture(draw: Callable[[], Figure], note: str | None) -> bytes:
    """A picture as PNG; ``note`` is a digest of what it shows."""
    return as_png(draw(), note)


def _write_or_remove(file: Path, table: pd.DataFrame) -> None:
    """Write a table; where there is none, remove that of an earlier suite."""
    if len(table):
        write_atomic(file, to_csv(table))
    else:
        file.unlink(missing_ok=True)


def _write_curves(folder: Path, drawn: Curves) -> None:
    """curves.csv, curve_area.csv and their pictures; a picture that shows the same points is left as it is."""
    _write_or_remove(folder / "curves.csv", drawn.points)
    _write_or_remove(folder / "curve_area.csv", drawn.areas)
    for old in (folder / "figures").glob("curves_*.png"):
        if old.stem not in drawn.figures:
            old.unlink()
    for stem, draw in drawn.figures.items():
        file = folder / "figures" / f"{stem}.png"
        part = drawn.points[drawn.points["norm"] == stem.partition("_")[2]]
        shown = digest([DRAWING, to_csv(part).decode()])
        if picture_note(file) != shown:
            write_atomic(file, picture(draw, shown))
