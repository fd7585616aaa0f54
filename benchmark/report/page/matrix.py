"""The matrix of models and attacks: what each cell says, how dark it is, and which samples it opens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from benchmark.report.events import Events
from benchmark.report.judgement.base import Judgement
from benchmark.report.page.samples import Attacked, Samples
from benchmark.report.text import short

ACROSS = 6  # models up to which the matrix has a column a model


def matrix(samples: Samples) -> dict[str, Any] | None:
    """Models and attacks with what each cell says and holds; None where nothing was attacked."""
    events, models = samples.events, samples.results.models
    attacks = [a for a in samples.attacks if any((m, a.key) in events for m in models)]
    if not events:
        return None
    colour = dict(heat(events, samples.judgement))

    def cell(model: str, attacked: Attacked) -> dict[str, Any] | None:
        one = events.get((model, attacked.key))
        if one is None:
            return None
        value = one.share
        text = short(value.value) if value.value == value.value else "?"
        at = model, attacked.key
        return {"key": "|".join(at), "text": text, "heat": colour.get(at), "words": one.words}

    across = len(models) <= ACROSS
    rows = [(a, [cell(m, a) for m in models]) for a in attacks] if across else []
    turned = [] if across else [(m, [cell(m, a) for a in attacks]) for m in models]
    made = all(attacked.view.attack.generates for attacked in attacks)
    budgets = any(attacked.norm or attacked.budget for attacked in attacks)
    found = {"across": across, "models": models, "attacks": attacks, "rows": rows, "turned": turned}
    return found | {"made": made, "budgets": budgets}


def heat(events: Mapping[tuple[str, str], Events], judgement: Judgement) -> Iterator[tuple[tuple[str, str], float]]:
    """Colour of each cell in percent: its share of the darkest one."""
    known = [each.share.value for each in events.values() if isfinite(each.share.value)]
    top = judgement.darkest(known)
    for key, each in events.items():
        if isfinite(each.share.value):
            yield key, round(100 * each.share.value / top, 1)
