"""What a label says of shortcuts in a part of the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan

import numpy as np

from benchmark.accounts import Chapter, Hazard
from benchmark.reported import EMPTY, ProbeResults
from benchmark.sentences import Draft, ModelRecords, Sentence, listed, per_100

SECTION = "shortcuts"
FILLS = {"black": "black", "mean": "the image's own average grey"}
NAMES = {"border": "outer border", "corners": "four corners", "centre": "centre"}


def chance(model: ModelRecords) -> tuple[float, int]:
    """Share that is right for somebody who always gives the most frequent answer, and the samples it is of."""
    labels = model.labels
    return (float(np.unique(labels, return_counts=True)[1].max() / len(labels)), len(labels)) if len(labels) else (0, 0)


def regions(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Sentence]:
    """What is right with nothing but a region left, with it gone, and with as much gone elsewhere."""
    for region, fills in _regions(model, views).items():
        only = {fill: kinds["only"] for fill, kinds in fills.items() if "only" in kinds}
        if only:
            yield _only(model, region, only)
        for fill, kinds in fills.items():
            if "masked" in kinds:
                yield _masked(model, region, fill, kinds["masked"], kinds.get("elsewhere"))


def _regions(
    model: ModelRecords, views: Sequence[ProbeResults]
) -> dict[tuple[str, float], dict[str, dict[str, ProbeResults]]]:
    """(region, share of the sides) to fill to kind of intervention to probe."""
    found: dict[tuple[str, float], dict[str, dict[str, ProbeResults]]] = {}
    for view in views:
        attack = view.attack
        kind = "only" if attack.keeps else "elsewhere" if attack.elsewhere else "masked"
        if model.own.get(f"acc_{view.name}", EMPTY).n:
            found.setdefault((attack.region, attack.share), {}).setdefault(str(attack.fill), {})[kind] = view
    return found


def _painted(fill: str) -> str:
    return FILLS.get(fill, f"grey {fill} of 1")


def _only(model: ModelRecords, region: tuple[str, float], only: dict[str, ProbeResults]) -> Sentence:
    """Nothing but a region left, whatever the rest is painted in: more right than a constant answer?"""
    guess, _ = chance(model)
    first = next(iter(only.values()))
    draft = Draft(model, listed([view.name for view in only.values()]))
    area = model.own.get(f"area_{first.name}", EMPTY).value
    shown = draft.number(f"{100 * (1 - area):.0f}", 1 - area, f"area_{first.name}", turned=True)
    parts, seen, cells = [], list[str](), model.clean_cells()
    for fill, view in only.items():
        column = f"acc_{view.name}"
        rate = model.own[column]
        seen += [fill] if not isnan(rate.value) and rate.low > guess else []
        parts.append(f"on {draft.rate(column, rate)} with the rest painted in {_painted(fill)}")
        cells = cells + model.attack_cells(view.name)
    always = draft.number(per_100(guess), guess, "(the most frequent answer)")
    verdict = "So no shortcut was seen there by this test."
    if seen:
        what = "that part, or the average grey," if seen == ["mean"] else "that part alone"
        verdict = f"So {what} tells it something of the answer; if no evidence belongs there, it is a shortcut."
    text = (
        f"Shown nothing but the {NAMES.get(region[0], region[0])} ({shown} % of the image), it is right"
        f" {' and '.join(parts)}; always giving one and the same answer is right on {always} of 100. {verdict}"
    )
    return draft.done(SECTION, text, cells)


def _masked(
    model: ModelRecords, region: tuple[str, float], fill: str, masked: ProbeResults, elsewhere: ProbeResults | None
) -> Sentence:
    """A region gone, and as large an area gone elsewhere: a paired comparison."""
    column, rate = f"acc_{masked.name}", model.own[f"acc_{masked.name}"]
    draft = Draft(model, masked.name)
    text = (
        f"With the {NAMES.get(region[0], region[0])} painted over in {_painted(fill)}, it is right on"
        f" {draft.rate(column, rate)}"
    )
    cells = model.clean_cells() + model.attack_cells(masked.name)
    if elsewhere is None:
        return draft.done(SECTION, text + ".", cells)
    other = model.own[f"acc_{elsewhere.name}"]
    text += f"; with as large an area painted over elsewhere, on {draft.share(f'acc_{elsewhere.name}', other)}."
    difference, p = model.paired(_right(model, masked), _right(model, elsewhere))
    if not isnan(p):
        if p >= 0.05:
            text += " The test sees no difference between the two."
        else:
            text += f" That part matters to it {'more' if difference < 0 else 'less'} than other places do."
    return draft.done(SECTION, text, cells + model.attack_cells(elsewhere.name))


def _right(model: ModelRecords, view: ProbeResults) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """1, 0 or NaN a sample, in the suite's order."""
    column = next(each for each in view.attack.columns() if each.name == "acc")
    rows = view.rows(model.model)
    values = dict(zip(rows["sample"], np.asarray(column.values(rows), dtype=float), strict=True))
    return np.array([values.get(sample, np.nan) for sample in model.samples])


REGIONS = Chapter(50, (Hazard("regions", "shortcuts in a part of the image"),), regions)
