"""Tables and pictures of universal perturbations: transfer matrix, learning curve, dominant labels, their looks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.drawing.pixels import as_picture
from benchmark.reported import Extras, ProbeResults
from benchmark.spec.budget import Budget, at_budget

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP = 3


def report(probes: Sequence[ProbeResults]) -> Extras:
    """What the probes of one attack class add to a report."""
    extra = Extras()
    for probe in probes:
        for eps in probe.budgets:
            _transfer(probe, eps, extra)
    _learning(probes, extra)
    _dominant(probes, extra)
    _gallery(probes, extra)
    return extra


def stem(kind: str, probe: ProbeResults | None, eps: Budget | None) -> str:
    """File stem such as ``transfer_uap_0.1``."""
    named = kind if probe is None else f"{kind}_{probe.name}"
    return at_budget(named, eps)


def fooling(rows: pd.DataFrame) -> tuple[float, int]:
    """Share whose prediction changed, and the number of samples with a valid verdict."""
    good = rows[rows["status"] == "ok"] if len(rows) else rows
    if not len(good):
        return float("nan"), 0
    return float((good["pred"].to_numpy() != good["pred_clean"].to_numpy()).mean()), len(good)


def _transfer(probe: ProbeResults, eps: Budget | None, extra: Extras) -> None:
    sources = list(probe.sources())
    if len(sources) < 2:
        return
    rows: list[dict[str, Any]] = []
    for source in sources:
        rates = {model: fooling(probe.rows(model, eps, source=source))[0] for model in probe.models}
        rows.append({"computed_on": source, **rates})
    table, name = pd.DataFrame(rows), stem("transfer", probe, eps)
    extra.tables[name] = table
    extra.captions[name] = (
        "Fooling rate on held-out samples of a perturbation computed on the row's model and judged on the column's."
    )
    extra.figures[name] = lambda: draw_matrix(table)


def _dominant(probes: Sequence[ProbeResults], extra: Extras) -> None:
    rows = []
    for probe, model in product(probes, probes[0].models):
        for eps in probe.budgets:
            judged = probe.rows(model, eps)
            if not len(judged):
                continue
            changed = judged[(judged["status"] == "ok") & (judged["pred"] != judged["pred_clean"])]
            shares = changed["pred"].astype(int).value_counts(normalize=True).head(TOP)
            named = [f"{_label(probe, int(str(k)))} ({share:.2f})" for k, share in shares.items()]
            rows.append(
                {
                    "probe": probe.name,
                    "eps": eps and eps.text,
                    "model": model,
                    "fooled": len(changed),
                    "labels": ", ".join(named),
                }
            )
    if rows:
        name = f"dominant_labels_{probes[0].attack.use}"
        extra.tables[name] = pd.DataFrame(rows)
        extra.captions[name] = (
            "Where the fooled held-out samples go: the most frequent new predictions, with their share of all fooled."
        )


def _label(probe: ProbeResults, k: int) -> str:
    return str(probe.classes[k]) if 0 <= k < len(probe.classes) else str(k)


def _learning(probes: Sequence[ProbeResults], extra: Extras) -> None:
    """Probes that differ in ``fit_samples`` only make a curve."""
    alike: dict[tuple[Any, Budget | None], list[ProbeResults]] = {}
    for probe in probes:
        if type(probe.attack).fits and probe.fit_samples is not None:
            for eps in probe.budgets:
                alike.setdefault((probe.attack, eps), []).append(probe)
    for (_, eps), group in alike.items():
        if len({probe.fit_samples for probe in group}) < 2:
            continue
        rows = [
            {
                "model": model,
                "eps": eps and eps.text,
                "fit_samples": probe.fit_samples,
                "fooling_train": fooling(probe.rows(model, eps, kind="fit"))[0],
                "fooling_rate": fooling(probe.rows(model, eps))[0],
            }
            for model in group[0].models
            for probe in sorted(group, key=lambda each: each.fit_samples or 0)
        ]
        table, name = pd.DataFrame(rows), stem("learning_curve", group[0], eps)
        extra.tables[name] = table
        extra.captions[name] = (
            "Fooling rate against the number of images that the perturbation was computed on: on those images"
            " (dashed) and on held-out ones."
        )
        extra.figures[name] = lambda table=table: draw_curves(table)  # type: ignore[misc]


def _gallery(probes: Sequence[ProbeResults], extra: Extras) -> None:
    """Every model's perturbation at each probe's largest budget, where the artefacts are at hand."""
    shown: dict[tuple[str, str], Any] = {}
    for probe, model in product(probes, probes[0].models):
        arrays = probe.artefact(model, probe.budgets[-1], kind="fit") if type(probe.attack).fits else None
        if arrays is not None:
            shown[stem(probe.name, None, probe.budgets[-1]), model] = arrays["delta"]
    name = f"perturbations_{probes[0].attack.use}"
    extra.captions[name] = "The perturbations: grey is 0, black and white are the ends of each one's own range."
    if shown:
        extra.figures[name] = lambda: draw_perturbations(shown)


def draw_matrix(table: pd.DataFrame) -> Figure:
    """The transfer matrix as a heat map with its numbers."""
    from matplotlib.figure import Figure

    models = [name for name in table.columns if name != "computed_on"]
    values = table[models].to_numpy(dtype=float)
    figure = Figure(figsize=(1.6 + 1.0 * len(models), 1.0 + 0.7 * len(table)))
    axes = figure.add_subplot()
    axes.imshow(values, cmap="magma_r", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.55 else "black")
    axes.set_xticks(range(len(models)), models, rotation=30, ha="right")
    axes.set_yticks(range(len(table)), list(table["computed_on"]))
    axes.set_xlabel("judged on")
    axes.set_ylabel("computed on")
    axes.set_title("Fooling rate, held-out samples")
    return figure


def draw_curves(table: pd.DataFrame) -> Figure:
    """Fooling rate against the number of images, a line a model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6))
    axes = figure.add_subplot()
    for model, rows in table.groupby("model", sort=False):
        line = axes.plot(rows["fit_samples"], rows["fooling_rate"], marker="o", label=str(model))[0]
        axes.plot(rows["fit_samples"], rows["fooling_train"], "--", color=line.get_color(), alpha=0.6)
    axes.set_xscale("log")
    ticks = sorted(set(table["fit_samples"]))
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 1)
    axes.set_xlabel("images that the perturbation was computed on")
    axes.set_ylabel("fooling rate (dashed: on those images)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def draw_perturbations(shown: dict[tuple[str, str], Any]) -> Figure:
    """A row a probe, a column a model, each perturbation scaled to its own range."""
    from matplotlib.figure import Figure

    probes, models = (list(dict.fromkeys(key[i] for key in shown)) for i in (0, 1))
    figure = Figure(figsize=(1.7 * len(models) + 0.6, 1.75 * len(probes)))
    for (probe, model), v in shown.items():
        at = probes.index(probe) * len(models) + models.index(model) + 1
        axes = figure.add_subplot(len(probes), len(models), at)
        largest = max(1e-12, float(np.abs(v).max()))
        picture = as_picture(v) / (2 * largest) + 0.5
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_title(model, fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
        if models.index(model) == 0:
            axes.set_ylabel(probe, fontsize=8)
    figure.tight_layout()
    return figure
