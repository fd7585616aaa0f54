"""Numbers without an interval, and blanks: a sentence a reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmark.intervals import FEW
from benchmark.sentences import listed

MOST = 6  # names in a sentence; of more the first ones and a count
BLANK = f"fewer than {FEW} successes"


def gaps(whys: Iterable[tuple[str, str, str]]) -> list[str]:
    """A sentence a reason: whose numbers (model, column, why) have no interval, or are blank.

    Models that lack the same columns for the same reason share a place in it.
    """
    by_reason: dict[str, dict[str, list[str]]] = {}
    for model, column, why in whys:
        by_reason.setdefault(why, {}).setdefault(model, []).append(column)
    lines = []
    for why, of in by_reason.items():
        alike: dict[tuple[str, ...], list[str]] = {}
        for model, columns in of.items():
            alike.setdefault(tuple(columns), []).append(model)
        columns_of_models = [f"{_some(columns)} of {_some(models)}" for columns, models in alike.items()]
        lines.append(f"{'Blank' if why == BLANK else 'No interval'} ({why}): {'; '.join(columns_of_models)}.")
    return lines


def _some(names: Sequence[str]) -> str:
    """A list, of a long one the first names and how many more there are."""
    return listed(names) if len(names) <= MOST else f"{', '.join(names[:MOST])} and {len(names) - MOST} more"
