"""Average against worst case, for each family of structural perturbations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.reported import Extras, ProbeResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("average", "worst_random", "worst_grid")
MODES = {"average": "average", "random": "worst_random", "grid": "worst_grid"}


def report(probes: Sequence[ProbeResults]) -> Extras:
    """One table and one picture over all structural probes of a suite."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for probe in probes:
        attack: Any = probe.attack
        kind = MODES[attack.mode]
        for eps in probe.budgets:
            for model in probe.models:
                clean = probe.clean(model)
                start = {"family": attack.family, "severity": f"{eps}", "model": model}
                start["clean"] = float(clean["correct"].astype(bool).mean()) if len(clean) else np.nan
                row = rows.setdefault((attack.family, start["severity"], model), start)
                value, low, high = (
                    probe.own("mean_acc", model, eps) if attack.mode == "average" else probe.robust(model, eps)
                )
                row |= {kind: value, f"{kind}_low": low, f"{kind}_high": high}
    if not rows:
        return Extras()
    table = pd.DataFrame(list(rows.values())).reindex(
        columns=["family", "severity", "model", "clean", *[f"{k}{end}" for k in KINDS for end in ("", "_low", "_high")]]
    )
    table = table.dropna(axis=1, how="all").sort_values(["family", "severity", "model"], kind="stable")
    name = "average_vs_worst"
    caption = (
        "Accuracy over all samples: clean; the average over the same random transformations for all samples; with the"
        " worst of ten random ones for each sample; with the worst of the whole grid. Table (in this order) and picture"
        " show each family's largest severity; the others, and the intervals, stand in the CSV file."
    )
    table = table.reset_index(drop=True)
    return Extras({name: table}, {name: caption}, {name: lambda: draw(table)}, {name: short(table)})


def largest(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of each family at its own largest severity."""
    severity = table["severity"].astype(float)
    return table[severity == severity.groupby(table["family"]).transform("max")]


def short(table: pd.DataFrame) -> pd.DataFrame:
    """A row a family, a column a model: clean > average > worst of random > worst of grid; ``–``: not run."""
    rows: dict[str, dict[str, str]] = {}
    for _, row in largest(table).iterrows():
        values = [row.get(kind, np.nan) for kind in ("clean", *KINDS)]
        text = " > ".join("–" if pd.isna(value) else f"{value:.2f}" for value in values)
        rows.setdefault(row["family"], {"family": row["family"], "severity": row["severity"]})[row["model"]] = text
    return pd.DataFrame(list(rows.values()))


def draw(table: pd.DataFrame) -> Figure:
    """A panel a model, a line a family: from the clean accuracy down to the worst case, with 95 % intervals."""
    from matplotlib.figure import Figure

    models, families = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["family"]))[::-1]
    last = largest(table)
    figure = Figure(figsize=(3.2 * len(models) + 1.6, 0.36 * len(families) + 1.5))
    marks = {"clean": ("|", "black"), "average": ("o", "#4477aa"), "worst_random": ("D", "#ddaa33")}
    marks |= {"worst_grid": ("s", "#bb5566")}
    for i, model in enumerate(models):
        axes = figure.add_subplot(1, len(models), i + 1)
        for _, row in last[last["model"] == model].iterrows():
            y = families.index(row["family"])
            values = [row[kind] for kind in marks if kind in row and np.isfinite(row[kind])]
            axes.plot([min(values), max(values)], [y, y], color="0.8", zorder=0)
            for kind, (marker, colour) in marks.items():
                if kind in row and np.isfinite(row[kind]):
                    axes.plot(row[kind], y, marker, color=colour, markersize=10 if marker == "|" else 5)
                    if f"{kind}_low" in row and np.isfinite(row[f"{kind}_low"]):
                        axes.plot([row[f"{kind}_low"], row[f"{kind}_high"]], [y, y], color=colour, linewidth=1)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.6, len(families) - 0.4)
        axes.set_yticks(range(len(families)), families if i == 0 else [""] * len(families))
        axes.set_title(model, fontsize=9)
        axes.set_xlabel("accuracy", fontsize=8)
        axes.grid(axis="x", alpha=0.3)
    named = {"clean": "clean", "average": "average", "worst_random": "worst of random", "worst_grid": "worst of grid"}
    handles = [
        figure.axes[0].plot([], [], marks[kind][0], color=marks[kind][1], label=label)[0]
        for kind, label in named.items()
        if kind in table
    ]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    return figure
