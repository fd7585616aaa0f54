"""Sentences on models that make an image from a measurement: errors, worst-case noise, details, lesions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import isnan

import numpy as np

from benchmark.report import stats
from benchmark.report.label.facts import Bar, Says, Sentence
from benchmark.report.label.tested import Tested
from benchmark.report.results import Results
from benchmark.report.scores import gates, score_budgets, score_columns
from benchmark.reported import EMPTY, Estimate
from benchmark.seeds import derive
from benchmark.spec.suite import show_eps


class Rebuilt(Tested):
    """A :class:`Tested` of a task that judges by numbers."""

    @cached_property
    def scores(self) -> dict[str, Estimate]:
        """Scores at each budget, by column."""
        return score_columns(self.results, self.model)

    @cached_property
    def means(self) -> dict[str, Estimate]:
        """Clean means, by column."""
        rows, found = self.results.clean(self.model), dict[str, Estimate]()
        for column in self.task.columns(self.classes) if len(rows) else ():
            values = np.asarray(column.values(rows), dtype=float)
            groups = self.results.groups(self.model, rows.index)
            found[column.name] = stats.bootstrap(values, column.statistic, groups, derive("bootstrap", column.name))
        return found

    def judged_cells(self, budget: str) -> list[str]:
        """Cells of every probe of the headline threat model at a budget."""
        threat = self.suite.threat
        names = [p.name for p in self.results.of_norm(threat.norm)] if threat is not None else []
        cells = self.cells[(self.cells["kind"] == "attack") & self.cells["probe"].isin(names)]
        return self.clean_cells() + self.done(cells[cells["eps"] == budget])


def percent(says: Says, column: str, estimate: Estimate, unit: str = "images") -> str:
    """``14.5 % (95 % interval 12.1 to 16.9 %; 16 images)``."""
    says.n = max(says.n, estimate.n)
    n = says.number(str(estimate.n), estimate.n, "(samples)")
    if isnan(estimate.low):
        value = says.number(f"{100 * estimate.value:.1f}", estimate.value, column)
        return f"{value} % (no interval: {estimate.why or 'too few'}; {n} {unit})"
    parts = [(estimate.value, ""), (estimate.low, "_low"), (estimate.high, "_high")]
    value, low, high = (says.number(f"{100 * v:.1f}", v, column + end) for v, end in parts)
    return f"{value} % (95 % interval {low} to {high} %; {n} {unit})"


def ordinary(tested: Rebuilt) -> Iterator[Sentence]:
    """The clean error, and whether it is as good as the reference's."""
    error = tested.means.get("rel_err")
    if error is None or not error.n:
        return
    says = Says(tested)
    text = (
        "On measurements as they are, the image that it makes differs from the true one by"
        f" {percent(says, 'rel_err', error)} of the true image's strength (the root of the summed squares of all"
        " pixels)."
    )
    yield says.done("ordinary", text, tested.clean_cells())
    gate, (entry, _) = gates(tested.results).get(tested.model), tested.task.reference()
    if gate is not None and entry != tested.model:
        says = Says(tested, f"against {entry}")
        says.n = error.n
        ours, theirs = (says.number(f"{100 * v:.1f}", v, "(means on the same images)") for v in (gate.own, gate.theirs))
        said = "That is no worse than" if gate.passed else "That is worse than"
        text = (
            f"{said} `{entry}`, a method that learned nothing from data ({ours} against {theirs} % on the same images)."
        )
        if not gate.passed:
            text += " Where it is said below to change little, that does not make it the better choice."
        yield says.done("ordinary", text, tested.clean_cells() + _clean_of(tested.results, entry))


def _clean_of(results: Results, model: str) -> list[str]:
    return Tested(results, model).clean_cells()


def deliberate(tested: Rebuilt) -> Iterator[Sentence]:
    """Worst-case noise in the measurement against random noise of the same size."""
    for eps in score_budgets(tested.results):
        at = show_eps(eps)
        worst, chance, ratio = (
            tested.scores.get(f"{n}_{at}") for n in ("rel_err_worst", "rel_err_random", "amp_ratio")
        )
        if worst is None or not worst.n or isnan(worst.value):
            continue
        says = Says(tested, f"noise of {eps}")
        share = says.number(f"{100 * float(eps):.3g}", float(eps), "(the plan's budget)")
        text = (
            f"The worst noise that was found in the measurement, {share} % as strong as the measurement, makes that"
            f" error {percent(says, f'rel_err_worst_{at}', worst)}"
        )
        if chance is not None and chance.n and not isnan(chance.value):
            shown = says.number(f"{100 * chance.value:.1f}", chance.value, f"rel_err_random_{at}")
            text += f"; random noise of the same size, {shown} %"
        text += "."
        if ratio is not None and ratio.n and not isnan(ratio.value):
            parts = [(ratio.value, ""), (ratio.low, "_low"), (ratio.high, "_high")]
            known = parts[:1] if isnan(ratio.low) else parts
            value, *ends = (says.number(f"{v:.2g}", v, f"amp_ratio_{at}{end}") for v, end in known)
            text += f" The worst noise moves the image {value} times as far as random noise does"
            text += f" (95 % interval {ends[0]} to {ends[1]})." if ends else "."
        yield says.done("deliberate", text, tested.judged_cells(str(eps)))


def details(tested: Rebuilt) -> Iterator[Sentence]:
    """What becomes of details, and of lesions that somebody hides or makes."""
    for view in tested.views.values():
        name, rate = view.name, tested.own.get(f"recovery_{view.name}", EMPTY)
        if rate.n and not isnan(rate.value) and tested.ran(view.probe):
            says = Says(tested, name)
            text = (
                "Of small details that were put into the image before it was measured, it shows"
                f" {percent(says, f'recovery_{name}', rate, 'details')} on average (100 %:"
                " whole, 0 %: lost)."
            )
            says.number("100", 1, "(the scale)")
            says.number("0", 0, "(the scale)")
            yield says.done("shapes", text, tested.attack_cells(name))
        for eps in view.probe.budgets:
            yield from _lesion(tested, name, str(getattr(view.attack, "mode", "")), show_eps(eps), float(eps))


def _lesion(tested: Rebuilt, name: str, mode: str, at: str, eps: float) -> Iterator[Sentence]:
    column = f"seen_{name}_{at}"
    rate = tested.own.get(column, EMPTY)
    if not rate.n or isnan(rate.value) or mode not in ("hide", "create"):
        return
    says = Says(tested, f"{name} at {at}")
    share = says.number(f"{100 * eps:.3g}", eps, "(the plan's budget)")
    if mode == "hide":
        text = (
            f"Noise made on purpose, {share} % as strong as the measurement, to hide a lesion that is there: it is gone"
            f" (less than half of it shown) in {says.share(column, rate, turned=True)} images"
        )
        text += says.interval(column, rate, turned=True) + "."
    else:
        text = (
            f"Noise made on purpose, {share} % as strong as the measurement, to show a lesion that is not there: it"
            f" shows one in {says.share(column, rate)} images{says.interval(column, rate)}."
        )
    yield says.done("shapes", text, tested.attack_cells(name))


def bars(tested: Rebuilt) -> Iterator[Bar]:
    """The error of 100: as it is, under random noise, under the worst noise."""
    error = tested.means.get("rel_err")
    if error is None or not error.n:
        return
    clean = tested.source("", error.n, tested.clean_cells(), ["rel_err"])
    yield Bar("Measurements as they are", error, clean, "rel_err", "ordinary")
    for eps in score_budgets(tested.results):
        for kind, words, column in (
            ("control", "Random noise", "rel_err_random"),
            ("worst", "Worst noise", "rel_err_worst"),
        ):
            name = f"{column}_{show_eps(eps)}"
            estimate = tested.scores.get(name)
            if estimate is not None and estimate.n and not isnan(estimate.value):
                cells = tested.judged_cells(str(eps))
                source = tested.source(f"noise of {eps}", estimate.n, cells, [name])
                yield Bar(f"{words} of {100 * float(eps):.3g} %", estimate, source, name, kind)
