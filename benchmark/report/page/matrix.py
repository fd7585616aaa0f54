"""The matrix of models and attacks: what each cell says, how dark it is, and which samples it opens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from benchmark.report.page.samples import Attacked, Judged, Samples
from benchmark.report.page.tables import short

ACROSS = 6  # models up to which the matrix has a column a model


def matrix(samples: Samples) -> dict[str, Any] | None:
    """Models and attacks with what each cell says and holds; None where nothing was attacked."""
    judged, models = samples.judged, samples.results.models
    attacks = [a for a in samples.attacks if any((m, a.key) in judged for m in models)]
    if not judged:
        return None
    colour = dict(heat(judged, samples.results.task.verdicts))

    def cell(model: str, attacked: Attacked) -> dict[str, Any] | None:
        one = judged.get((model, attacked.key))
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


def heat(judged: Mapping[tuple[str, str], Judged], verdicts: bool) -> Iterator[tuple[tuple[str, str], float]]:
    """Colour of each cell in percent: the share itself, or the mean's share of the largest one."""
    known = [each.share.value for each in judged.values() if isfinite(each.share.value)]
    top = 1.0 if verdicts else max(known, default=1.0) or 1.0
    for key, each in judged.items():
        if isfinite(each.share.value):
            yield key, round(100 * each.share.value / top, 1)
