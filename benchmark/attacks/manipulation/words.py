"""What a label says of attacks on the explanation that leave the answer alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan

from benchmark.accounts import Chapter, Hazard
from benchmark.reported import EMPTY, ProbeResults
from benchmark.sentences import Draft, ModelRecords, Sentence, budgets

SECTION = "explanations"


def bent(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Sentence]:
    """Attacks on the explanation that leave the answer alone."""
    for view in views:
        method, norm = view.attack.method, str(model.threat(view.name)["norm"])
        for eps in budgets(view):
            column = f"manipulated_{view.name}_{eps.printed}"
            rate = model.own.get(column, EMPTY)
            if not rate.n or isnan(rate.value):
                continue
            draft = Draft(model, f"{view.name} at {eps}")
            text = (
                f"A change with {draft.size(norm, eps)} can leave the answer as it is and still move the explanation"
                f" ({method}) towards another one that somebody chose: it did so on {draft.rate(column, rate)}."
            )
            yield draft.done(SECTION, text, model.attack_cells(view.name, eps))


MANIPULATION = Chapter(
    60, (Hazard("bent", "attacks on its explanations", lambda threat: not threat.get("breaks", True)),), bent
)
