"""The gallery of fooling images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmark.attacks._pictures import as_picture
from benchmark.reported import ProbeResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 12  # classes in a row


def gallery(probe: ProbeResults, shown: Mapping[str, Mapping[str, Any] | None]) -> Figure:
    """A row a model, a column a class; the confidence above each image, red where the class was not reached."""
    from matplotlib.figure import Figure

    rows = {model: arrays for model, arrays in shown.items() if arrays is not None}
    columns = min(MOST, max(len(arrays["samples"]) for arrays in rows.values()))
    figure = Figure(figsize=(1.0 * columns + 1.2, 1.3 * len(rows)))
    for i, (model, arrays) in enumerate(rows.items()):
        judged = probe.rows(model, kind="generate").set_index("sample")
        confidences, won = dict(judged["confidence"]), dict(judged["success"])
        for j, (sample, image) in enumerate(zip(arrays["samples"][:columns], arrays["inputs"][:columns], strict=True)):
            axes = figure.add_subplot(len(rows), columns, i * columns + j + 1)
            axes.imshow(as_picture(image), cmap="gray", vmin=0, vmax=1)
            k = int(str(sample).rpartition("-")[2])
            name = probe.classes[k] if k < len(probe.classes) else str(k)
            confidence = float(confidences[str(sample)])
            reached = bool(won[str(sample)]) and confidence >= 0.99
            text = f"{name}: {100 * confidence:.1f} %"
            axes.set_title(text, fontsize=7, color="black" if reached else "firebrick")
            axes.set_xticks([])
            axes.set_yticks([])
            if j == 0:
                axes.set_ylabel(model, fontsize=7)
    figure.tight_layout()
    return figure
