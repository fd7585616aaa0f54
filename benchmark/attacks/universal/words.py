"""What a label says of one pattern for all images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan

from benchmark.accounts import Chapter, Hazard
from benchmark.reported import EMPTY, Estimate, ProbeResults
from benchmark.sentences import HALF, Draft, ModelRecords, Sentence, budgets
from benchmark.spec.budget import Budget

SECTION = "shapes"


def universal(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Sentence]:
    """The smallest pattern, the same for all images, that changes half of the answers; and a random one."""
    for norm in ("linf", "l2"):
        found: list[tuple[Budget, str, Estimate]] = []
        for view in views:
            threat = model.threat(view.name)
            fits = type(view.attack).fits and threat.get("norm") == norm and not threat.get("targeted")
            for eps in budgets(view) if fits else ():
                rate = model.own.get(f"fooling_rate_{view.name}_{eps.printed}", EMPTY)
                if rate.n and not isnan(rate.value):
                    found.append((eps, view.name, rate))
        if found:
            yield _pattern(model, norm, found)


def _pattern(model: ModelRecords, norm: str, found: list[tuple[Budget, str, Estimate]]) -> Sentence:
    enough = [each for each in found if each[2].value >= HALF]
    if enough:
        eps, name, rate = min(enough, key=lambda each: (each[0], -each[2].value, each[1]))
        which = " It is the smallest tested size that changes at least half of the answers."
    else:
        eps, name, rate = max(found, key=lambda each: (each[2].value, each[1]))
        which = " No tested pattern changed half of the answers."
    column = f"fooling_rate_{name}_{eps.printed}"
    draft = Draft(model, f"{name} at {norm} {eps}")
    text = (
        f"One and the same pattern added to every image, with {draft.size(norm, eps)}, changes"
        f" {draft.rate(column, rate, noun='answers')}.{which}"
    )
    cells = model.attack_cells(name, eps)
    for probe in model.breaking(norm, control=True):
        control = f"fooling_rate_{probe.name}_{eps.printed}"
        if eps in probe.budgets and model.own.get(control, EMPTY).n:
            text += f" A random pattern of that size changes {draft.share(control, model.own[control])}."
            cells += model.attack_cells(probe.name, eps)
            break
    short = f"one pattern for all images changes {draft.share(column, rate)} answers"
    return draft.done(SECTION, text, cells, short, rate.value)


UNIVERSAL = Chapter(30, (Hazard("universal", "one pattern for all images"),), universal)
