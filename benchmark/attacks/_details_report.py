"""What became of inserted details: how much of each a reconstruction shows, as a table and as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.attacks._detail import Detail
from benchmark.attacks.base import Extras, ProbeResults
from benchmark.mri.arrays import magnitude, position

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, OTHERS = 5, 5  # details, and entries beside the first two, that the panel has room for
FIRST = "zero_filled"  # what the measurement itself shows
TABLE = (
    "Details that no training image has, inserted into the image before it is measured. A column a detail (its size in"
    " pixels of a 32-pixel grid, its contrast as a share of the image's maximum): the share of it that the"
    " reconstruction shows, `<f(A(x + d)) - f(A x), d> / ||d||^2`, mean over images; 1: whole, 0: lost. `local_ssim`:"
    " SSIM where the detail stands. `contrast_absent`: what is shown of it where it is not (0: nothing)."
)
PANEL = (
    "The picture: one image with a detail in it (a row each), whole and near the detail; then what each entry makes of"
    " it there, and below it the share of the detail that is shown. All magnitudes have one grey window, from 0 to the"
    " largest of the originals with a detail."
)


@dataclass(frozen=True)
class Panel:
    """What the picture shows.

    Attributes:
        sample: the image.
        top: the largest magnitude of the image with a detail.
        details: a row each.
        originals: magnitudes (H, W) of the image with each detail.
        boxes: (top, left, height, width) of each detail.
        shown: of each entry and detail, the reconstruction's magnitude (H, W) and the recovery.
    """

    sample: str
    top: float
    details: tuple[Detail, ...]
    originals: tuple[NDArray[np.float64], ...]
    boxes: tuple[tuple[int, int, int, int], ...]
    shown: Mapping[str, tuple[tuple[NDArray[np.float64], float], ...]]


def extras(probes: Sequence[ProbeResults]) -> Extras:
    """Table and figure ``details``, of each probe where there are several."""
    extra = Extras()
    for probe in probes:
        rows = [row for model in probe.models if (row := _row(probe, model))]
        if not rows:
            continue
        stem = f"details_{probe.name}" if len(probes) > 1 else "details"
        extra.tables[stem] = pd.DataFrame(rows)
        extra.captions[stem] = f"{TABLE} {PANEL}{_left_out(probe)}"
        panel = choose(probe)
        if panel is not None:
            extra.figures[stem] = partial(draw, panel)
    return extra


def _details(probe: ProbeResults) -> tuple[Detail, ...]:
    attack: Any = probe.attack
    details: tuple[Detail, ...] = attack.details
    return details


def _row(probe: ProbeResults, model: str) -> dict[str, Any]:
    """Means over images; empty without rows."""
    rows = probe.rows(model)
    if not len(rows) or "contrast" not in rows:
        return {}
    rows = rows[rows["status"] == "ok"]
    cells: dict[str, Any] = {"model": model}
    for view, detail in enumerate(_details(probe)):
        own = rows[rows["view"] == view] if "view" in rows else rows
        cells[detail.label.replace(" ", "_")] = float(own["contrast"].astype(float).mean())
    return cells | {name: float(rows[name].astype(float).mean()) for name in ("local_ssim", "contrast_absent")}


# -- the panel ---------------------------------------------------------------------------------------------


def choose(probe: ProbeResults) -> Panel | None:
    """The first image that was kept with every detail by every entry that is shown; None where there is none."""
    entries, views = _entries(probe), _telling(_details(probe))
    kept = {model: arrays for model in entries if (arrays := probe.artefact(model)) and "outputs" in arrays}
    if not kept:
        return None
    first = next(iter(kept.values()))
    for sample in dict.fromkeys(first["samples"].tolist()):
        places = {model: [position(arrays, sample, view) for view in views] for model, arrays in kept.items()}
        if all(place is not None for of in places.values() for place in of):
            return _panel(probe, sample, views, kept, places)
    return None


def _entries(probe: ProbeResults) -> list[str]:
    """Zero-filling, the reference, then one entry of each network: its first seed, variants (``<entry>_…``) last."""
    judged = [model for model in probe.models if len(probe.rows(model))]
    families = {str(probe.facts(model).get("seed_of") or model): model for model in reversed(judged)}
    first = [model for model in (FIRST, probe.reference) if model in judged]
    others = [model for model in judged if model in families.values() and model not in first]
    others.sort(key=lambda model: any(model.startswith(f"{other}_") for other in judged))  # stable
    return [*first, *others[:OTHERS]]


def _left_out(probe: ProbeResults) -> str:
    """A word on entries that the panel has no room for."""
    shown = _entries(probe)
    judged = [model for model in probe.models if len(probe.rows(model))]
    missing = [f"`{model}`" for model in judged if model not in shown]
    return f" Not in the picture: {', '.join(missing)}." if missing else ""


def _telling(details: Sequence[Detail]) -> list[int]:
    """The details that tell most: text, suits, the smallest lesion faint and strong, the largest strong."""
    lesions = [i for i, detail in enumerate(details) if detail.kind == "lesion"]
    indices = [next((i for i, detail in enumerate(details) if detail.kind == kind), None) for kind in ("text", "suits")]
    if lesions:
        indices.append(min(lesions, key=lambda i: (details[i].size, details[i].contrast)))
        indices.append(min(lesions, key=lambda i: (details[i].size, -details[i].contrast)))
        indices.append(min(lesions, key=lambda i: (-details[i].size, -details[i].contrast)))
    return list(dict.fromkeys(i for i in indices if i is not None))[:ROWS]


def _panel(
    probe: ProbeResults,
    sample: str,
    views: Sequence[int],
    kept: Mapping[str, Mapping[str, NDArray[Any]]],
    places: Mapping[str, Sequence[int | None]],
) -> Panel:
    details = tuple(_details(probe)[view] for view in views)
    model, arrays = next(iter(kept.items()))
    truth = np.asarray(arrays["truth"][places[model][0]], dtype=np.float32)
    added = [detail.draw(truth) for detail in details]
    shown = {}
    for name, of in kept.items():
        outputs = [magnitude(of["outputs"][at]) for at in places[name]]
        numbers = [_recovery(probe.rows(name), sample, view) for view in views]
        shown[name] = tuple(zip(outputs, numbers, strict=True))
    boxes = tuple(_box(magnitude(d)) for d in added)
    originals = tuple(magnitude(truth + d) for d in added)
    top = max(float(original.max()) for original in originals) or 1.0
    return Panel(sample, top, details, originals, boxes, shown)


def _recovery(rows: pd.DataFrame, sample: str, view: int) -> float:
    own = rows[(rows["sample"] == sample) & ((rows["view"] == view) if "view" in rows else True)]
    return float(own["contrast"].astype(float).iloc[0])


def _box(detail: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Where a detail stands, with a pixel around it."""
    rows, columns = (np.flatnonzero(detail.max(axis) > 0) for axis in (1, 0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]) - 1, int(columns[0]) - 1, int(np.ptp(rows)) + 3, int(np.ptp(columns)) + 3


def draw(panel: Panel) -> Figure:
    """A row a detail; columns: the original, whole and near the detail, then each entry near the detail."""
    from benchmark.attacks._panels import Sheet, brighter, said_of

    near = _near(panel)
    side = near[0][0].stop - near[0][0].start
    sheet = Sheet((side, side), len(panel.details), 2 + len(panel.shown), split=2)
    sheet.title(f"image {panel.sample}")
    sheet.group(0, 1, "original")
    sheet.group(2, 1 + len(panel.shown), "reconstructions, near the detail")
    for column, head in enumerate(("with the detail (box)", "near the detail", *panel.shown)):
        sheet.head(column, head)
    for row, (detail, original) in enumerate(zip(panel.details, panel.originals, strict=True)):
        sheet.label(row, f"{detail.kind}\n{detail.size:g} px\ncontrast {detail.contrast:g}")
        sheet.put(row, 0, original, panel.top, box=panel.boxes[row])
        sheet.put(row, 1, original[near[row]], panel.top, box=_inside(panel.boxes[row], near[row]))
        for column, of in enumerate(panel.shown.values(), 2):
            output, recovery = of[row]
            sheet.put(row, column, output[near[row]], panel.top, f"{recovery:.2f} of the detail")
    bright = brighter([output for of in panel.shown.values() for output, _ in of], panel.top)
    text = f"magnitude: 0 to the largest of the originals\n{said_of(bright)}"
    sheet.bar(0, 1, panel.top, text, beyond=bright > 0)
    return sheet.figure


def _near(panel: Panel) -> list[tuple[slice, slice]]:
    """A square around each detail, as large for all as the largest needs; it lies inside the image."""
    size = panel.originals[0].shape
    side = min(*size, max(max(box[2:]) for box in panel.boxes) + 2)
    near = []
    for top, left, height, width in panel.boxes:
        corner = (top + (height - side) // 2, left + (width - side) // 2)
        starts = [int(np.clip(at, 0, n - side)) for at, n in zip(corner, size, strict=True)]
        near.append((slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)))
    return near


def _inside(box: tuple[int, int, int, int], square: tuple[slice, slice]) -> tuple[int, int, int, int]:
    """A box of the image as one of the square."""
    return box[0] - square[0].start, box[1] - square[1].start, box[2], box[3]
