"""What a label says of attacks on measurements: details, lesions, and what else there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan

from benchmark.accounts import Chapter, Hazard
from benchmark.reported import EMPTY, Estimate, ProbeResults
from benchmark.sentences import Draft, ModelRecords, Sentence, budgets
from benchmark.spec.budget import Budget

SECTION = "shapes"


def percent(draft: Draft, column: str, estimate: Estimate, unit: str = "images") -> str:
    """``14.5 % (95 % interval 12.1 to 16.9 %; 16 images)``."""
    draft.n = max(draft.n, estimate.n)
    n = draft.number(str(estimate.n), estimate.n, "(samples)")
    if isnan(estimate.low):
        value = draft.number(f"{100 * estimate.value:.1f}", estimate.value, column)
        return f"{value} % (no interval: {estimate.why or 'too few'}; {n} {unit})"
    parts = [(estimate.value, ""), (estimate.low, "_low"), (estimate.high, "_high")]
    value, low, high = (draft.number(f"{100 * v:.1f}", v, column + end) for v, end in parts)
    return f"{value} % (95 % interval {low} to {high} %; {n} {unit})"


def details(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Sentence]:
    """What becomes of details, and of lesions that somebody hides or makes."""
    for view in views:
        name, rate = view.name, model.own.get(f"recovery_{view.name}", EMPTY)
        if rate.n and not isnan(rate.value):
            draft = Draft(model, name)
            text = (
                "Of small details that were put into the image before it was measured, it shows"
                f" {percent(draft, f'recovery_{name}', rate, 'details')} on average (100 %:"
                " whole, 0 %: lost)."
            )
            draft.number("100", 1, "(the scale)")
            draft.number("0", 0, "(the scale)")
            yield draft.done("shapes", text, model.attack_cells(name))
        for eps in budgets(view):
            yield from _lesion(model, name, str(getattr(view.attack, "mode", "")), eps)


def _lesion(model: ModelRecords, name: str, mode: str, eps: Budget) -> Iterator[Sentence]:
    column = f"seen_{name}_{eps.printed}"
    rate = model.own.get(column, EMPTY)
    if not rate.n or isnan(rate.value) or mode not in ("hide", "create"):
        return
    draft = Draft(model, f"{name} at {eps.printed}")
    share = draft.number(eps.percent, eps.value, "(the plan's budget)")
    if mode == "hide":
        text = (
            f"Noise made on purpose, {share} % as strong as the measurement, to hide a lesion that is there: it is gone"
            f" (less than half of it shown) in {draft.share(column, rate, turned=True)} images"
        )
        text += draft.interval(column, rate, turned=True) + "."
    else:
        text = (
            f"Noise made on purpose, {share} % as strong as the measurement, to show a lesion that is not there: it"
            f" shows one in {draft.share(column, rate)} images{draft.interval(column, rate)}."
        )
    yield draft.done("shapes", text, model.attack_cells(name))


MEASURED = Chapter(
    10,
    (
        Hazard("worst", "the worst noise in the measurement"),
        Hazard("transfer", "noise made for another method"),
        Hazard("random", "random noise in the measurement"),
        Hazard("image", "small changes of the image itself"),
        Hazard("details", "small details"),
        Hazard("lesion", "lesions hidden or made by somebody"),
        Hazard("sampling", "more or fewer measured points"),
        Hazard("shift", "another way of measuring"),
    ),
    details,
)
