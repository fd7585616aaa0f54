"""What a label says of a hint that goes along with the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan

from benchmark.accounts import Chapter, Hazard
from benchmark.reported import EMPTY, ProbeResults
from benchmark.sentences import Draft, ModelRecords, Sentence

SECTION = "shortcuts"


def structure(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Sentence]:
    """True and false structure against one another."""
    for view in views:
        column = f"reliance_{view.name}"
        rate = model.own.get(column, EMPTY)
        if not rate.n or isnan(rate.value):
            continue
        draft = Draft(model, view.name)
        text = (
            "Where the thing that truly decides and a mere hint that went along with it disagree, its answer follows"
            f" the hint on {draft.rate(column, rate)}."
        )
        short = f"a mere hint decides against the truth on {draft.share(column, rate)}"
        cells = model.clean_cells() + model.attack_cells(view.name)
        yield draft.done(SECTION, text, cells, short, rate.value)


STRUCTURE = Chapter(52, (Hazard("structure", "shortcuts by a hint that goes along with the truth"),), structure)
