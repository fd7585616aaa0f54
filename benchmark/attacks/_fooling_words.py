"""What a label says of images that show nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan

from benchmark.accounts import Chapter, Hazard
from benchmark.reported import EMPTY, ProbeResults
from benchmark.sentences import Draft, ModelRecords, Sentence

SECTION = "shapes"


def nothing(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Sentence]:
    """Images that show nothing, of which the model is sure."""
    best: tuple[float, str] | None = None
    for view in views:
        rate = model.own.get(f"fooling_99_{view.name}", EMPTY)
        control = bool(model.threat(view.name).get("control"))
        if rate.n and not isnan(rate.value) and not control and (best is None or rate.value > best[0]):
            best = (rate.value, view.name)
    if best is None:
        return
    name = best[1]
    rate, column = model.own[f"fooling_99_{name}"], f"fooling_99_{name}"
    draft = Draft(model, name)
    sure = draft.number("99", 0.99, "(the column's level)")
    text = (
        f"For {draft.share(column, rate)} kinds of answer an image made from nothing, that shows no such thing, was"
        f" found of which the model says that it is {sure} % sure or more."
    )
    yield draft.done(SECTION, text, model.attack_cells(name, kinds=("generate",)))


FOOLING = Chapter(40, (Hazard("fooling", "images that show nothing"),), nothing)
