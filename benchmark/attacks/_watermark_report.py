"""Clever Hans in one table: accuracy, flips by the mark and by a control patch, detection; and what was pasted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.attacks._pictures import as_picture
from benchmark.attacks.base import Extras, ProbeResults
from benchmark.intervals import auc_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLES = 8


def report(probes: Sequence[ProbeResults]) -> Extras:
    """A table of every pair of a mark and its control, and a picture of pasted samples where they were kept."""
    extra = Extras()
    marks = [probe for probe in probes if not probe.attack.elsewhere]  # type: ignore[attr-defined]
    for mark in marks:
        stem = "clever_hans" if len(marks) == 1 else f"clever_hans_{mark.name.replace('-', '_')}"
        control = control_of(mark, probes)
        rows = [row(mark, control, model) for model in mark.models]
        extra.tables[stem] = pd.DataFrame(rows)
        target = mark.attack.target  # type: ignore[attr-defined]
        extra.captions[stem] = (
            f"Does the mark decide? `flip_rate`: right samples of other classes without the mark that are taken for"
            f" class {mark.classes[target]} once it is pasted; `control_rate`: with the same patch in another corner;"
            " `difference`: of the two on the same samples (Newcombe's paired interval). `auc`: how well SpRAy's"
            " suspicion tells samples with the mark from those without among those explained as the class, for each"
            " explainer: a control that never looks at the model (`sobel`) may find the mark too, so it is the"
            " difference that says that a model relies on it."
        )
        kept = {m: {p.name: pasted for p in (mark, control) if p and (pasted := p.artefact(m))} for m in mark.models}
        shown = {model: arrays for model, arrays in kept.items() if arrays}
        picture = f"pasted_{mark.name.replace('-', '_')}"
        extra.captions[picture] = (
            "The same samples with the mark and with the control patch; below each what every model reads, bold where"
            f" it is {mark.classes[target]}. Samples that the mark flips in some model come first."
        )
        if shown:
            extra.figures[picture] = partial(draw, mark, control, shown)
    return extra


def control_of(mark: ProbeResults, probes: Sequence[ProbeResults]) -> ProbeResults | None:
    """The probe that pastes the same patch elsewhere."""
    for probe in probes:
        if probe.attack == mark.attack.model_copy(update={"elsewhere": True}):
            return probe
    return None


def row(mark: ProbeResults, control: ProbeResults | None, model: str) -> dict[str, Any]:
    """One model: estimates with their 95 % intervals."""
    blank = (float("nan"),) * 3
    estimates = {
        "clean_acc": mark.summary("clean_acc", model),
        "flip_rate": mark.own("flip_rate", model),
        "control_rate": blank if control is None else control.own("flip_rate", model),
        "difference": blank if control is None else mark.minus("flip_rate", control, model),
        **detection(mark, model),
    }
    cells: dict[str, Any] = {"model": model, "n": counted(mark, model)}
    for name, (value, low, high) in estimates.items():
        cells |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return cells


def counted(mark: ProbeResults, model: str) -> int:
    """Samples in the denominator of the flip rate."""
    rows = mark.rows(model)
    if not len(rows):
        return 0
    values = mark.attack.columns()[0].values(rows)
    return int((~np.isnan(values) & (rows["status"] == "ok").to_numpy()).sum())


def detection(mark: ProbeResults, model: str) -> dict[str, tuple[float, float, float]]:
    """``auc_<explainer>`` of the first metric that knows who carries the mark, among samples explained as its class."""
    scores = mark.scores(model)
    if not len(scores) or "own_carries" not in scores:
        return {}
    scores = scores[scores["own_carries"].notna()]
    scores = scores[scores["metric"] == scores["metric"].iloc[0]]
    cells = {}
    for explainer, rows in scores.groupby("explainer", sort=False):
        inside = rows[rows["own_target"] == mark.attack.target]  # type: ignore[attr-defined]
        values, carries = inside["value"].to_numpy(dtype=float), inside["own_carries"].to_numpy(dtype=float) == 1
        cells[f"auc_{explainer}"] = auc_interval(values, carries)
    return cells


def draw(mark: ProbeResults, control: ProbeResults | None, kept: dict[str, dict[str, Any]]) -> Figure:
    """Examples in columns, the mark above the control patch."""
    from matplotlib.figure import Figure

    probes = [probe for probe in (mark, control) if probe is not None]
    read = {(p.name, m): p.rows(m).set_index("sample")["pred"].astype(int) for p in probes for m in mark.models}
    images: dict[str, dict[str, Any]] = {probe.name: {} for probe in probes}
    for arrays in kept.values():
        for name, pasted in arrays.items():
            images[name] |= dict(zip(pasted["samples"].tolist(), pasted["inputs"], strict=True))
    samples = chosen(mark, set.intersection(*(set(known) for known in images.values())))
    figure = Figure(figsize=(1.25 * max(len(samples), 1) + 1.2, (1.5 + 0.16 * len(mark.models)) * len(probes)))
    panels = figure.subplots(len(probes), max(len(samples), 1), squeeze=False)
    target = mark.attack.target  # type: ignore[attr-defined]
    for line, probe in zip(panels, probes, strict=True):
        for axes, sample in zip(line, samples, strict=False):
            image = images[probe.name][sample]
            axes.imshow(as_picture(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            for i, model in enumerate(mark.models):
                pred = int(read[probe.name, model].get(sample, -1))
                name = mark.classes[pred] if 0 <= pred < len(mark.classes) else "–"
                bold = "bold" if pred == target else "normal"
                where = (0.5, -0.05 - 0.13 * i)
                axes.text(*where, name, transform=axes.transAxes, ha="center", va="top", fontsize=8, fontweight=bold)
        for i, model in enumerate(mark.models):
            line[0].text(-0.15, -0.05 - 0.13 * i, model, transform=line[0].transAxes, ha="right", va="top", fontsize=7)
        line[0].text(-0.15, 0.5, probe.name, transform=line[0].transAxes, ha="right", va="center", fontsize=9)
    for axes in panels.ravel():
        frame(axes)
    return figure


def frame(axes: Axes) -> None:
    """A thin grey frame, so that a white mark does not run into the white page."""
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(color="#999999", linewidth=0.6)


def chosen(mark: ProbeResults, known: set[str]) -> list[str]:
    """Samples in the denominator of some model: those that the mark flips first, in the suite's order."""
    flips: dict[str, float] = {}
    for model in mark.models:
        rows = mark.rows(model)
        for sample, value in zip(rows["sample"], mark.attack.columns()[0].values(rows), strict=True):
            if sample in known and not np.isnan(value):
                flips[sample] = max(flips.get(sample, 0.0), value)
    return sorted(flips, key=lambda sample: -flips[sample])[:EXAMPLES]  # sorted is stable
