"""The generated part of docs/metrics.md, and its picture: what every metric is, and what it was found to be worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.meta.marked import write_between
from benchmark.meta.settings import SETTINGS
from benchmark.meta.verdicts import HOLDS, MUST_FAIL, TAU, verdict, verdicts
from benchmark.metrics.base import Metric, metrics
from benchmark.registry import Family

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEGIN, END = "<!-- made by `assay metrics --docs`: begin -->", "<!-- made by `assay metrics --docs`: end -->"
SPACES = ("input", "model")
KINDS = ("iac_nr", "iac_ar", "iec_nr", "iec_ar")
COLOURS = {
    "sound": "#2f7d4f",
    "depends on baseline": "#b7791f",
    "necessary, not sufficient": "#b7791f",
    "axiom": "#31688e",
    "descriptive only": "#6b7280",
    "not confirmed": "#b7791f",
    "fails its controls": "#b3261e",
    "not measured": "#6b7280",
}


def own() -> list[Metric]:
    """Every metric that is ours, with default parameters."""
    return [metrics.make(name) for name, cls in metrics.classes().items() if not issubclass(cls, Family)]


def write_page(file: Path) -> None:
    """Put the generated part between its marks.

    Raises:
        UsageError: the file is missing, or has no marks.
    """
    write_between(file, BEGIN, END, lambda: f"\n\n{generated()}\n")


def generated() -> str:
    """The tables, from the registry and the measured verdicts."""
    plugins = own()
    parts = [
        "## The metrics\n",
        _table(
            ["use", "better", "range", "needs", "random", "family", "parameters", "what it measures"],
            [
                [
                    f"`{metric.name}`",
                    _better(metric),
                    metric.range or "–",
                    needs(metric),
                    "yes" if metric.random else "",
                    metric.family,
                    _parameters(metric),
                    _first_line(metric),
                ]
                for metric in plugins
            ]
            + [
                [f"`{name}:<Name>`", "–", "–", "", "", "", "–", " ".join((cls.__doc__ or "").split("\n\n")[0].split())]
                for name, cls in metrics.classes().items()
                if issubclass(cls, Family)
            ],
        ),
        "\n## What Quantus does, and the verdict\n",
        _table(
            ["use", "Quantus 0.6", "verdict"],
            [[f"`{metric.name}`", metric.quantus or "the same", verdict(metric)] for metric in plugins],
        ),
    ]
    measured = verdicts()
    if len(measured):
        parts += ["\n## Measured\n", _measured(measured)]
    if any(len(verdicts(other)) for other in SETTINGS if other != "digits"):
        parts += ["\n## At other sizes\n", _sizes()]
    return "\n".join(parts)


def _sizes() -> str:
    """The verdict on every measured metric in each setting, and what changed from the first one."""
    names = list(dict.fromkeys(name for on in SETTINGS for name in verdicts(on).index))
    rows = []
    for name in names:
        found = {each.title: str(verdicts(on)["verdict"].get(name, "not measured")) for on, each in SETTINGS.items()}
        first, *others = found.values()
        known = {title: words for title, words in found.items() if words != "not measured"}
        if first == "descriptive only" or set(others) == {"not measured"}:
            continue
        changed = [title for title, words in known.items() if first not in {"not measured", words}]
        rows.append([f"`{name}`", *found.values(), f"at {' and '.join(changed)}" if changed else "nothing"])
    return _table(["metric", *(setting.title for setting in SETTINGS.values()), "changed"], rows)


def _measured(table: pd.DataFrame) -> str:
    """Controls on both halves, tau over fills, agreement with the truth, consistency."""
    heads = ["metric", "verdict", "controls (set / check)", "fill tau", "truth rho"]
    heads += [f"{space} {kind.replace('_', ' ').upper()}" for space in SPACES for kind in KINDS]
    rows = []
    for name, row in table.iterrows():
        must = HOLDS.get(str(name), ("", MUST_FAIL.get(str(row["family"]), ())))[1]
        held = [f"{control} {_gap(row, control, 'set')} / {_gap(row, control, 'check')}" for control in must]
        values = [_number(row.get(f"{space}_{kind}")) for space in SPACES for kind in KINDS]
        cells = [", ".join(held) or "–", _number(row.get("fill_tau")), _number(row.get("truth_rho"))]
        rows.append([f"`{name}`", str(row["verdict"]), *cells, *values])
    return _table(heads, rows)


def _gap(row: pd.Series, control: str, half: str) -> str:
    value = row.get(f"{control}_{half}")
    return "refused" if value is None or pd.isna(value) else f"{float(value):+.2f}"


def _number(value: Any) -> str:
    return "–" if value is None or pd.isna(value) else f"{float(value):.2f}".replace("-0.00", "0.00")


def _better(metric: Metric) -> str:
    better = None if verdict(metric) == "descriptive only" else metric.higher_is_better
    return {True: "higher", False: "lower", None: "–"}[better]


def needs(metric: Metric) -> str:
    """What a metric needs of the data, in words."""
    needs = [("masks", metric.needs_masks), ("artefact masks", metric.needs_artefacts), ("all samples", metric.joint)]
    return ", ".join(text for text, needed in needs if needed)


def _parameters(metric: Metric) -> str:
    def shown(value: Any) -> str:
        return "–" if value is None else json.dumps(list(value) if isinstance(value, tuple) else value)

    fields = type(metric).model_fields
    texts = [f"{name} = {shown(field.default)}" for name, field in fields.items()]
    return f"`{', '.join(texts)}`" if texts else "–"


def _first_line(metric: Metric) -> str:
    return " ".join((type(metric).__doc__ or "").strip().split("\n\n")[0].split()).rstrip(".")


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def picture() -> Figure:
    """Every measured metric: its controls, consistencies and verdict, as a table of coloured cells."""
    from matplotlib.figure import Figure

    table = verdicts()
    known = ("random", "sobel", "constant", "saliency", "input-x-gradient")
    columns = [f"{control}_{half}" for control in known for half in ("set", "check")]
    gaps = len(columns)
    columns += ["fill_tau", "truth_rho", *(f"{space}_{kind}" for space in SPACES for kind in KINDS)]
    values = table.reindex(columns=columns).astype(float).to_numpy()
    figure = Figure(figsize=(16, 2.6 + 0.3 * len(table)), layout="constrained")
    panel = figure.subplots()
    shown = values.copy()
    shown[:, :gaps] = shown[:, :gaps] / 2 + 0.5  # a gap of 0 is the middle of the scale
    panel.imshow(shown, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto", alpha=0.75)
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            text = _number(values[i, j]) if j >= gaps else ("" if pd.isna(values[i, j]) else f"{values[i, j]:+.2f}")
            panel.text(j, i, text, ha="center", va="center", fontsize=8)
    heads = [name.replace("_", ", " if j < gaps else " ") for j, name in enumerate(columns)]
    panel.set_xticks(range(len(columns)), heads, fontsize=8.5, rotation=90)
    panel.xaxis.tick_top()
    panel.set_yticks(range(len(table)), [str(name) for name in table.index], fontsize=9)
    for i, words in enumerate(table["verdict"]):
        panel.text(len(columns) - 0.35, i, words, va="center", fontsize=9, color=COLOURS[str(words)], weight="bold")
    panel.set_xlim(-0.5, len(columns) + 3.4)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    panel.set_title(
        "Do the metrics measure anything? Left: lower end of the interval of (real - control), on both halves; above 0"
        f" is right. Fill tau: below {TAU} the verdict depends on the baseline.",
        fontsize=10.5,
        pad=12,
        loc="left",
    )
    return figure
