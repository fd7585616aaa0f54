"""Accuracy against budget as SVG that follows the page's colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.report.curves import WORST, Curves
from benchmark.report.text import short
from benchmark.results.base import Results

if TYPE_CHECKING:
    from markupsafe import Markup

WIDE, TALL = 340, 214  # of a panel of curves, in the units of its SVG
LEFT, RIGHT, ABOVE, BELOW = 34, 8, 10, 32
SERIES = 8  # colours of lines; then dashes


@dataclass
class Panels:
    """The curves of one norm: a legend of (class of the line, name) and a panel (model, SVG, words) a model."""

    norm: str
    legend: list[tuple[str, str]]
    panels: list[tuple[str, Markup, str]] = field(default_factory=list)
    areas: pd.DataFrame = field(default_factory=pd.DataFrame)


def panels(results: Results, drawn: Curves) -> list[Panels]:
    """Curves of every norm, a panel a model, a line an attack with its band of 95 %."""
    found = []
    norms = list(dict.fromkeys(drawn.points["norm"])) if len(drawn.points) else []
    for norm in norms:
        part = drawn.points[drawn.points["norm"] == norm]
        part = _without_single(results, part, norm)
        looks = _looks(results, list(dict.fromkeys(part["attack"])))
        threat = results.suite.threat
        eps = threat.eps.value if threat is not None and threat.norm == norm else None
        areas = drawn.areas[drawn.areas["norm"] == norm]
        legend = [(look, "all together" if name == WORST else name) for name, look in looks.items()]
        one = Panels(norm, legend, areas=areas)
        for model in dict.fromkeys(part["model"]):
            own = part[part["model"] == model]
            one.panels.append((str(model), _panel(own, looks, eps, norm, str(model)), _said(own, eps)))
        found.append(one)
    return found


def _without_single(results: Results, part: pd.DataFrame, norm: str) -> pd.DataFrame:
    """Without attacks of one budget, whose curve is one vertical line; all of them, where there is nothing else."""
    single = {
        probe.name
        for probe in results.of_norm(norm)
        if results.threat(probe.name).get("kind") == "fixed" and len(probe.budgets) == 1
    }
    others = set(part["attack"]) - single - {WORST}
    kept: pd.DataFrame = part[~part["attack"].isin(single)] if others else part
    return kept


def _looks(results: Results, attacks: Sequence[str]) -> dict[str, str]:
    """Class of each attack's line: colours, then dashes; controls grey, all together thick."""
    found, real, controls = dict[str, str](), 0, 0
    for name in attacks:
        if name == WORST:
            continue
        if results.threat(name).get("control"):
            found[name], controls = f"line control dash{(controls + 1) % 3}", controls + 1
        else:
            found[name], real = f"line s{real % SERIES} dash{real // SERIES % 3}", real + 1
    return found | ({WORST: "line all"} if WORST in attacks else {})


def _panel(own: pd.DataFrame, looks: dict[str, str], eps: float | None, norm: str, model: str) -> Markup:
    from markupsafe import Markup

    top = float(own["eps"].max()) or 1.0

    def x(value: float) -> str:
        return f"{LEFT + (WIDE - LEFT - RIGHT) * value / top:.1f}".removesuffix(".0")

    def y(value: float) -> str:
        return f"{ABOVE + (TALL - ABOVE - BELOW) * (1 - value):.1f}".removesuffix(".0")

    parts = [_axes(top, norm, x, y)]
    if eps is not None and eps <= top:
        parts.append(f'<path class="mark" d="M{x(eps)} {y(0)}V{y(1)}"/>')
    bands, lines = [], []
    for name, look in looks.items():
        line = own[own["attack"] == name].dropna(subset=["robust_acc"])
        if not len(line):
            continue
        steps = [line[column].to_numpy(dtype=float) for column in ("eps", "low", "high", "robust_acc")]
        low, high, value = (_steps(steps[0], column, x, y) for column in steps[1:])
        if not line["low"].isna().any():  # of one sample or one group there is no band
            bands.append(f'<path class="band {look}" d="M{"L".join(high)}L{"L".join(reversed(low))}Z"/>')
        lines.append(f'<path class="{look}" d="M{"L".join(value)}"/>')
    label = Markup("Robust accuracy of {} against the {} budget").format(model, norm)
    body = Markup("".join([*parts, *bands, *lines]))  # numbers and class names of our own alone
    head = Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDE, TALL, label)
    return head + body + Markup("</svg>")


def _steps(eps: Any, values: Any, x: Any, y: Any) -> list[str]:
    """Corners of a line that holds each value until the next budget; points that change nothing are left out."""
    found, last = [f"{x(eps[0])} {y(values[0])}"], values[0]
    for at, value in zip(eps[1:], values[1:], strict=True):
        if value != last:
            found += [f"{x(at)} {y(last)}", f"{x(at)} {y(value)}"]
            last = value
    return [*found, f"{x(eps[-1])} {y(last)}"]


def _axes(top: float, norm: str, x: Any, y: Any) -> str:
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<path class="grid" d="M{LEFT} {y(share)}H{WIDE - RIGHT}"/>')
        text = f"{share:g}"
        parts.append(f'<text x="{LEFT - 6}" y="{float(y(share)) + 3.5:g}" text-anchor="end">{text}</text>')
    for i in range(5):
        value = top * i / 4
        anchor = "end" if i == 4 else "middle"
        parts.append(f'<text x="{x(value)}" y="{TALL - BELOW + 15}" text-anchor="{anchor}">{value:.3g}</text>')
    middle = (LEFT + WIDE - RIGHT) / 2
    return "".join(parts) + f'<text x="{middle:g}" y="{TALL - 3}" text-anchor="middle">{norm} budget</text>'


def _said(own: pd.DataFrame, eps: float | None) -> str:
    """In words where the curve of all attacks together stands, for those who do not see it."""
    worst = own[own["attack"] == WORST].dropna(subset=["robust_acc"])
    if not len(worst):
        return ""
    start, end = worst.iloc[0], worst.iloc[-1]
    words = f"{short(float(start['robust_acc']))} without attack"
    if eps is not None and len(at := worst[worst["eps"] <= eps + 1e-12]):
        words += f", {short(float(at.iloc[-1]['robust_acc']))} at {eps:.4g}"
    half = worst[worst["robust_acc"] <= float(start["robust_acc"]) / 2]
    if eps is None or float(end["eps"]) > eps + 1e-12:
        words += f", {short(float(end['robust_acc']))} at {float(end['eps']):.4g}"
    if len(half) and isfinite(float(half.iloc[0]["eps"])):
        words += f"; halved at {float(half.iloc[0]['eps']):.3g}"
    return words
