"""How well the attacks on the measurement did their work."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from benchmark.reported import Extras, ProbeResults


def health(probes: Sequence[ProbeResults]) -> Extras:
    """Table ``attack_health``: a row a model and budget."""
    rows = []
    for probe in probes:
        for eps in probe.budgets:
            for model in probe.models:
                attacked = probe.rows(model, eps)
                if not len(attacked) or "param_gain" not in attacked:
                    continue
                rows.append(
                    {
                        "model": model,
                        "probe": probe.name,
                        "eps": eps.printed if eps else "",
                        "steps": int(attacked["param_steps"].iloc[0]),
                        "starts": int(attacked["param_starts"].iloc[0]),
                        "forwards": float(attacked["forwards"].mean()),
                        "backwards": float(attacked["backwards"].mean()),
                        "first_gradient": float(attacked["param_gradient"].median()),
                        "late_gain": float(attacked["param_gain"].median()),
                        "used_budget": float(attacked["param_used"].median()),
                        "won_by_first_start": float((attacked["param_start"] == 0).mean()),
                    }
                )
    if not rows:
        return Extras()
    caption = (
        "Did the attack do its work? Medians over images: `first_gradient`, the norm of the first gradient of the"
        " error; `used_budget`, the share of the budget that was used; `late_gain`, the share of the squared error that"
        " the last quarter of the steps brought (near 0: more steps would not find more); `won_by_first_start`, the"
        " share of images for which the first of the starts won."
    )
    return Extras(tables={"attack_health": pd.DataFrame(rows)}, captions={"attack_health": caption})
