"""Pictures of the report; matplotlib without its global state."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.drawing.looks import LINES, look_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
DRAWING = 2  # raise it when the curves are drawn otherwise


def draw_curves(points: pd.DataFrame, norm: str, controls: set[str], headline: float | None) -> Figure:
    """Robust accuracy against the budget: one panel a model, a line an attack, bands of 95 %.

    Args:
        points: rows of ``curves.csv`` of one norm.
        norm: its name.
        controls: attacks that are drawn in grey.
        headline: a budget to mark, or None.
    """
    from matplotlib.figure import Figure

    models, attacks = list(dict.fromkeys(points["model"])), list(dict.fromkeys(points["attack"]))
    columns = 2 if len(models) in (2, 4) else min(COLUMNS, len(models))
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(1.2 + 3.6 * columns, 1.2 + 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    looks = _looks(attacks, controls)
    for panel, model in zip(panels, models, strict=False):
        part = points[points["model"] == model]
        _panel(panel, part, looks, headline)
        panel.set_title(model, fontsize=10)
    for panel in panels[len(models) :]:
        panel.set_visible(False)
    for i, panel in enumerate(panels[: len(models)]):
        if i + columns >= len(models):  # nothing below it
            panel.set_xlabel(f"{norm} budget", fontsize=10)
            panel.tick_params(labelbottom=True)
        if i % columns == 0:
            panel.set_ylabel("robust accuracy", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), fontsize=9, frameon=False)
    return figure


def _looks(attacks: Sequence[str], controls: set[str]) -> dict[str, dict[str, Any]]:
    """Line style of each attack: the worst case black and thick, controls grey."""
    looks: dict[str, dict[str, Any]] = {}
    real = [name for name in attacks if name not in controls and name != "worst"]
    for i, name in enumerate(real):
        looks[name] = look_of(i)
    for i, name in enumerate(name for name in attacks if name in controls):
        looks[name] = {"color": "#9a9a9a", "linestyle": LINES[(i + 3) % len(LINES)]}
    if "worst" in attacks:
        looks["worst"] = {"color": "black", "linewidth": 2.2}
    return looks


def _panel(panel: Any, part: pd.DataFrame, looks: dict[str, dict[str, Any]], headline: float | None) -> None:
    for name, look in looks.items():
        line = part[part["attack"] == name]
        eps = line["eps"].to_numpy(dtype=float)
        low, high = line["low"].to_numpy(dtype=float), line["high"].to_numpy(dtype=float)
        label = "all together" if name == "worst" else name
        panel.fill_between(eps, low, high, color=look["color"], alpha=0.1, linewidth=0, step="post")
        panel.plot(eps, line["robust_acc"].to_numpy(dtype=float), label=label, drawstyle="steps-post", **look)
    if headline is not None:
        panel.axvline(headline, color="#555555", linewidth=0.8, linestyle=(0, (2, 2)))
    panel.set_ylim(0, 1.02)
    panel.set_xlim(left=0)
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.tick_params(labelsize=9)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def picture_note(file: Path) -> str | None:
    """What :func:`as_png` noted in a picture, None where there is none."""
    from PIL import Image

    if not file.is_file():
        return None
    try:
        with Image.open(file) as picture:
            return picture.info.get("Description")
    except OSError:  # not a picture any more
        return None


def as_png(figure: Figure, note: str | None = None) -> bytes:
    """A figure as PNG; without the program's version, so that the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"Software": None, **({"Description": note} if note else {})}
    edges: Any = "tight"
    if figure.get_layout_engine() is None:  # nothing moves while drawing: the edges are known without a first draw
        from matplotlib import rcParams
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        figure.set_dpi(110)
        canvas: Any = FigureCanvasAgg(figure)
        box = figure.get_tightbbox(canvas.get_renderer())
        edges = box.padded(rcParams["savefig.pad_inches"])
    figure.savefig(buffer, format="png", dpi=110, bbox_inches=edges, metadata=metadata)
    return buffer.getvalue()
