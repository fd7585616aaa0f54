"""Tables and pictures of simulated physical attacks: success by distance and angle."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from benchmark.attacks._pictures import as_picture
from benchmark.attacks.base import Extras, ProbeResults
from benchmark.intervals import Groups, rate_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT, WRONG, UNCOUNTED = "#2a9d3a", "#d62828", "#999999"


def by_distance_and_angle(probes: Sequence[ProbeResults]) -> Extras:
    """One table a probe (a row a model, distance and angle), and pictures of one photo where inputs were kept."""
    extra = Extras()
    for probe in probes:
        stem = f"physical_{probe.name.replace('-', '_')}"
        parts = [table(model, probe.rows(model), probe) for model in probe.models]
        parts = [part for part in parts if len(part)]
        if not parts:
            continue
        extra.tables[stem] = pd.concat(parts, ignore_index=True)
        extra.shown[stem] = by_angle(extra.tables[stem])
        extra.captions[stem] = (
            f"Simulated views of `{probe.name}` on held-out photos: share fooled by distance (metres, down) and angle"
            " (degrees, across), of the views whose clean counterpart is right; the CSV file has n, the share read as"
            " the target, and Wilson intervals over photos. In the picture, one"
            " photo at each distance and angle with what it is read as: green right, red fooled, grey not counted."
        )
        shown = [model for model in probe.models if probe.artefact(model) is not None]
        if shown:
            extra.figures[stem] = partial(pictures, probe, shown)
    return extra


def table(model: str, rows: pd.DataFrame, probe: ProbeResults) -> pd.DataFrame:
    """Success by distance and angle: ``n``, ``fooled`` and, for a target, ``fooled_target``, with Wilson intervals."""
    from benchmark.attacks.physical import ReadAs, fooled

    target = getattr(probe.attack, "target", None)
    values = {"fooled": fooled(rows)} if len(rows) else {}
    if target is not None and len(rows):
        values["fooled_target"] = ReadAs(target)(rows)
    lines = []
    cells = rows.groupby(["param_distance", "param_angle"]).indices if len(rows) else {}
    for place, at in cells.items():
        distance, angle = cast("tuple[float, float]", place)
        judged = rows["status"].to_numpy()[at] == "ok"
        line: dict[str, Any] = {"model": model, "distance": distance, "angle": angle, "n": 0}
        for name, value in values.items():
            counted = judged & ~np.isnan(value[at])
            inside, photos = value[at][counted], Groups.of(rows["sample"].to_numpy()[at][counted])
            bounds = rate_interval(inside, photos)
            line |= {"n": len(inside), name: float(inside.mean()) if len(inside) else np.nan}
            line |= {f"{name}_low": bounds.low, f"{name}_high": bounds.high}
        lines.append(line)
    return pd.DataFrame(lines)


def by_angle(table: pd.DataFrame) -> pd.DataFrame:
    """The share fooled, a row a model and distance, a column an angle."""
    wide = table.pivot_table("fooled", ["model", "distance"], "angle", dropna=False).reset_index()
    return wide.rename(columns={name: f"{name:g}°" for name in wide.columns if isinstance(name, float)})


def pictures(probe: ProbeResults, models: Sequence[str]) -> Figure:
    """One photo under the attack at every distance (down) and angle (across), a block a model."""
    from matplotlib.figure import Figure

    distances, angles = (sorted(set(getattr(probe.attack, name))) for name in ("distances", "angles"))
    figure = Figure(figsize=(0.2 + 0.62 * len(angles) * len(models), 0.4 + 0.72 * len(distances)))
    blocks = figure.subfigures(1, len(models), squeeze=False)[0]
    for block, model in zip(blocks, models, strict=True):
        axes = block.subplots(len(distances), len(angles), squeeze=False)
        block.subplots_adjust(0.05, 0.01, 0.99, 0.88, 0.05, 0.22)
        block.suptitle(f"{probe.name}, {model}", fontsize=7, y=0.99)
        shown = one_photo(probe, model)
        for i, distance in enumerate(distances):
            for j, angle in enumerate(angles):
                _cell(axes[i, j], shown.get((distance, angle)), probe.classes)
                if i == 0:
                    axes[i, j].annotate(
                        f"{angle:g}°", (0.5, 1.16), xycoords="axes fraction", fontsize=6, ha="center", va="bottom"
                    )
                if j == 0:
                    axes[i, j].set_ylabel(f"{distance:g} m", fontsize=6, labelpad=1)
    return figure


def one_photo(probe: ProbeResults, model: str) -> dict[tuple[float, float], tuple[Any, int, str]]:
    """(distance, angle) to (input, prediction, colour) of the kept sample that has most views."""
    from benchmark.attacks.physical import counted

    kept, rows = probe.artefact(model), probe.rows(model)
    if kept is None or not len(rows):
        return {}
    views = np.asarray(kept["views"]) if "views" in kept else np.zeros(len(kept["samples"]), int)
    names, counts = np.unique(kept["samples"], return_counts=True)
    sample = names[counts.argmax()]
    of_view = rows["view"].to_numpy(dtype=int) if "view" in rows else np.zeros(len(rows), int)
    tiles: dict[tuple[float, float], tuple[Any, int, str]] = {}
    for at in np.flatnonzero(kept["samples"] == sample)[::-1]:  # the first draw is kept last, and stays
        row = rows[(rows["sample"] == sample) & (of_view == views[at])]
        if not len(row):
            continue
        first = row.iloc[0]
        colour = (WRONG if first["success"] else RIGHT) if counted(row)[0] else UNCOUNTED
        place = (float(first["param_distance"]), float(first["param_angle"]))
        tiles[place] = (kept["inputs"][at], int(first["pred"]), colour)
    return tiles


def _cell(axes: Axes, shown: tuple[Any, int, str] | None, classes: Sequence[str]) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if shown is None:
        axes.set_axis_off()
        return
    image, pred, colour = shown
    picture = np.round(np.clip(as_picture(image), 0, 1) * 31) / 31  # 5 bits: sensor noise makes PNGs large
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    name = classes[pred] if 0 <= pred < len(classes) else str(pred)
    axes.set_title(name if len(name) <= 16 else f"{name[:15]}…", fontsize=5, color=colour, pad=1.5)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=1.5)
