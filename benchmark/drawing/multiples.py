"""Curves of many entries as small multiples: a panel an entry on shared axes, the reference in grey in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from benchmark.drawing.looks import COLOURS

GREY, OWN = "#8a8a8a", COLOURS[0]
WIDE = 4  # panels in a row
SPREAD = 8.0  # ratio of largest to smallest value from which an axis is logarithmic
STYLES: tuple[Literal["-"], Literal["--"]] = ("-", "--")


@dataclass(frozen=True)
class Line:
    """A curve with its band.

    Attributes:
        x: (n,).
        values: (n, 3): mean, low, high.
    """

    x: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """What stands at the axes and in the legend.

    Attributes:
        x, y: axes.
        lines: what each of an entry's lines is, solid first; "": no need to say.
        mark: a place on the x axis, and what it is; None: none.
    """

    x: str
    y: str
    lines: tuple[str, ...] = ()
    mark: tuple[float, str] | None = None


def multiples(entries: Mapping[str, Sequence[Line]], against: str, labels: Labels, *, from_zero: bool) -> Figure:
    """The figure.

    Args:
        entries: lines of each entry, in the order of ``labels.lines``.
        against: the reference; "" or no entry: none.
        labels: words.
        from_zero: the y axis starts at 0, or is logarithmic where values differ much; else it spans the values.
    """
    columns = _columns(len(entries))
    rows = -(-len(entries) // columns)
    figure = Figure(figsize=(0.9 + 2.3 * columns, 1.1 + 2.0 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, (model, lines) in zip(panels, entries.items(), strict=False):
        if against in entries and model != against:
            _draw(panel, entries[against], color=GREY, linewidth=1.1)
        _draw(panel, lines, color=GREY if model == against else OWN, linewidth=1.8, marker="o", markersize=3)
        panel.set_title(model, fontsize=9.5, weight="bold" if model == against else "normal")
        if labels.mark is not None:
            panel.axvline(labels.mark[0], color="#555555", linewidth=0.8, linestyle=(0, (1, 2)))
        panel.grid(alpha=0.25, linewidth=0.6)
        panel.tick_params(labelsize=8.5)
        panel.spines[["top", "right"]].set_visible(False)
    if from_zero:
        scale(panels[0], "y", [line.values[:, 0] for lines in entries.values() for line in lines])
    panels[0].set_xlim(left=0)
    for i, panel in enumerate(panels):
        panel.set_visible(i < len(entries))
        panel.tick_params(labelbottom=i + columns >= len(entries))
    figure.supxlabel(labels.x, fontsize=9.5)
    figure.supylabel(labels.y, fontsize=9.5)
    _legend(figure, labels, against if against in entries else "")
    return figure


def _columns(count: int) -> int:
    """Panels in a row: those that leave the fewest places empty."""
    if count <= WIDE:
        return 2 if count == WIDE else count
    return min(range(3, WIDE + 1), key=lambda n: (-count % n, -n))


def _draw(panel: Axes, lines: Sequence[Line], **look: Any) -> None:
    for line, style in zip(lines, STYLES, strict=False):
        mean, low, high = line.values.T
        panel.fill_between(line.x, low, high, color=look["color"], alpha=0.18, linewidth=0)
        panel.plot(line.x, mean, linestyle=style, **look)


def _legend(figure: Figure, labels: Labels, against: str) -> None:
    several = [
        Line2D([], [], color=OWN, linewidth=1.8, linestyle=STYLES[i], label=label)
        for i, label in enumerate(labels.lines)
        if label
    ]
    grey = [Line2D([], [], color=GREY, linewidth=1.8, label=f"{against} (in every panel)")] if against else []
    mark = []
    if labels.mark is not None:
        mark = [Line2D([], [], color="#555555", linewidth=0.8, linestyle=(0, (1, 2)), label=labels.mark[1])]
    handles = [*several, *grey, *mark]
    if not handles:
        return
    wide = figure.get_figwidth() > 5
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles) if wide else 1, fontsize=9, frameon=False
    )


def scale(axes: Axes, which: str, values: Sequence[NDArray[np.float64]]) -> None:
    """An axis (``"x"`` or ``"y"``) from 0, or logarithmic with plain numbers where the values differ much."""
    known = np.concatenate([np.ravel(each) for each in values])
    known = known[np.isfinite(known) & (known > 0)]
    if not len(known) or known.max() < SPREAD * known.min():
        (axes.set_ylim if which == "y" else axes.set_xlim)(0)
        return
    (axes.set_yscale if which == "y" else axes.set_xscale)("log")
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if known.max() < 300 * known.min() else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
