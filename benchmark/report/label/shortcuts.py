"""Sentences on shortcuts: what a model goes by that is no evidence."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from typing import Any

import numpy as np

from benchmark.report import stats
from benchmark.report.label.facts import Says, Sentence, listed
from benchmark.report.label.tested import Tested
from benchmark.report.probes import ProbeView
from benchmark.report.text import per_100
from benchmark.reported import EMPTY

SECTION = "shortcuts"
FILLS = {"black": "black", "mean": "the image's own average grey"}
REGIONS = {"border": "outer border", "corners": "four corners", "centre": "centre"}


def chance(tested: Tested) -> tuple[float, int]:
    """Share that is right for somebody who always gives the most frequent answer, and the samples it is of."""
    rows = tested.results.clean(tested.model)
    labels = rows["label"].to_numpy() if len(rows) else np.zeros(0)
    return (float(np.unique(labels, return_counts=True)[1].max() / len(labels)), len(labels)) if len(labels) else (0, 0)


def regions(tested: Tested) -> Iterator[Sentence]:
    """What is right with nothing but a region left, with it gone, and with as much gone elsewhere."""
    for region, fills in _regions(tested).items():
        only = {fill: kinds["only"] for fill, kinds in fills.items() if "only" in kinds}
        if only:
            yield _only(tested, region, only)
        for fill, kinds in fills.items():
            if "masked" in kinds:
                yield _masked(tested, region, fill, kinds["masked"], kinds.get("elsewhere"))


def _regions(tested: Tested) -> dict[tuple[str, float], dict[str, dict[str, ProbeView]]]:
    """(region, share of the sides) to fill to kind of intervention to probe."""
    found: dict[tuple[str, float], dict[str, dict[str, ProbeView]]] = {}
    for probe in tested.suite.attacks:
        if probe.use not in ("mask-region", "keep-region") or probe.name not in tested.views or not tested.ran(probe):
            continue
        attack: Any = tested.views[probe.name].attack
        kind = "only" if probe.use == "keep-region" else "elsewhere" if attack.elsewhere else "masked"
        if tested.own.get(f"acc_{probe.name}", EMPTY).n:
            fills = found.setdefault((attack.region, attack.share), {})
            fills.setdefault(str(attack.fill), {})[kind] = tested.views[probe.name]
    return found


def _painted(fill: str) -> str:
    return FILLS.get(fill, f"grey {fill} of 1")


def _only(tested: Tested, region: tuple[str, float], only: dict[str, ProbeView]) -> Sentence:
    """Nothing but a region left, whatever the rest is painted in: more right than a constant answer?"""
    guess, _ = chance(tested)
    first = next(iter(only.values()))
    says = Says(tested, listed([view.name for view in only.values()]))
    area = tested.own.get(f"area_{first.name}", EMPTY).value
    shown = says.number(f"{100 * (1 - area):.0f}", 1 - area, f"area_{first.name}", turned=True)
    parts, seen, cells = [], list[str](), tested.clean_cells()
    for fill, view in only.items():
        column = f"acc_{view.name}"
        rate = tested.own[column]
        seen += [fill] if not isnan(rate.value) and rate.low > guess else []
        parts.append(f"on {says.rate(column, rate)} with the rest painted in {_painted(fill)}")
        cells = cells + tested.attack_cells(view.name)
    always = says.number(per_100(guess), guess, "(the most frequent answer)")
    verdict = "So no shortcut was seen there by this test."
    if seen:
        what = "that part, or the average grey," if seen == ["mean"] else "that part alone"
        verdict = f"So {what} tells it something of the answer; if no evidence belongs there, it is a shortcut."
    text = (
        f"Shown nothing but the {REGIONS.get(region[0], region[0])} ({shown} % of the image), it is right"
        f" {' and '.join(parts)}; always giving one and the same answer is right on {always} of 100. {verdict}"
    )
    return says.done(SECTION, text, cells)


def _masked(
    tested: Tested, region: tuple[str, float], fill: str, masked: ProbeView, elsewhere: ProbeView | None
) -> Sentence:
    """A region gone, and as large an area gone elsewhere: a paired comparison."""
    column, rate = f"acc_{masked.name}", tested.own[f"acc_{masked.name}"]
    says = Says(tested, masked.name)
    text = (
        f"With the {REGIONS.get(region[0], region[0])} painted over in {_painted(fill)}, it is right on"
        f" {says.rate(column, rate)}"
    )
    cells = tested.clean_cells() + tested.attack_cells(masked.name)
    if elsewhere is None:
        return says.done(SECTION, text + ".", cells)
    other = tested.own[f"acc_{elsewhere.name}"]
    text += f"; with as large an area painted over elsewhere, on {says.share(f'acc_{elsewhere.name}', other)}."
    groups = tested.results.groups(tested.model, tested.results.samples(tested.model))
    found = stats.paired_rates(_right(tested, masked), _right(tested, elsewhere), groups)
    if not isnan(found.p):
        if found.p >= 0.05:
            text += " The test sees no difference between the two."
        else:
            text += f" That part matters to it {'more' if found.difference < 0 else 'less'} than other places do."
    return says.done(SECTION, text, cells + tested.attack_cells(elsewhere.name))


def _right(tested: Tested, view: ProbeView) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """1, 0 or NaN a sample, in the suite's order."""
    column = next(each for each in view.attack.columns() if each.name == "acc")
    rows = view.rows(tested.model)
    values = dict(zip(rows["sample"], np.asarray(column.values(rows), dtype=float), strict=True))
    return np.array([values.get(sample, np.nan) for sample in tested.results.samples(tested.model)])


def watermark(tested: Tested) -> Iterator[Sentence]:
    """A mark that went along with one class in training, and the same patch elsewhere."""
    for view in tested.views.values():
        column = f"flip_rate_{view.name}"
        rate = tested.own.get(column, EMPTY)
        if getattr(view.attack, "elsewhere", True) or not rate.n or not tested.ran(view.probe):
            continue
        target = int(getattr(view.attack, "target", 0))
        name = tested.classes[target] if target < len(tested.classes) else str(target)
        says = Says(tested, view.name)
        text = (
            f"Pasting a mark into a corner makes it take {says.rate(column, rate, noun='right images of other kinds')}"
            f" for {says.number(name, target, '(class)') if name.isdigit() else name}"
        )
        short = f"a mark pasted into a corner turns {says.share(column, rate)} other images into {name}"
        cells = tested.clean_cells() + tested.attack_cells(view.name)
        twin = next(
            (
                v
                for v in tested.views.values()
                if v.attack == view.attack.model_copy(update={"elsewhere": True}) and tested.ran(v.probe)
            ),
            None,
        )
        if twin is not None:
            other = tested.own[f"flip_rate_{twin.name}"]
            text += f"; the same patch in another corner, {says.share(f'flip_rate_{twin.name}', other)}"
            _, low, _ = view.minus("flip_rate", twin, tested.model)
            real = low > 0
            text += ": it goes by the mark." if real else ": the test does not show that it goes by the mark."
            cells += tested.attack_cells(twin.name)
        else:
            text += "."
        yield says.done(SECTION, text, cells, short, rate.value)


def structure(tested: Tested) -> Iterator[Sentence]:
    """True and false structure against one another."""
    for view in tested.views.values():
        column = f"reliance_{view.name}"
        rate = tested.own.get(column, EMPTY)
        if not rate.n or isnan(rate.value) or not tested.ran(view.probe):
            continue
        says = Says(tested, view.name)
        text = (
            "Where the thing that truly decides and a mere hint that went along with it disagree, its answer follows"
            f" the hint on {says.rate(column, rate)}."
        )
        short = f"a mere hint decides against the truth on {says.share(column, rate)}"
        cells = tested.clean_cells() + tested.attack_cells(view.name)
        yield says.done(SECTION, text, cells, short, rate.value)
