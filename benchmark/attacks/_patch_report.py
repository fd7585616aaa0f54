"""What adversarial patches look like, and what they do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.attacks._pictures import as_picture
from benchmark.attacks.base import Extras, ProbeResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 6  # judged inputs beside each patch


def gallery(probes: Sequence[ProbeResults]) -> Extras:
    """A picture a probe: each model's patch, and some held-out inputs that carry it."""
    extra = Extras()
    for probe in probes:
        stem = f"patch_{probe.name.replace('-', '_')}"
        extra.captions[stem] = (
            f"`{probe.name}`: the patch that was fitted to each model, and held-out samples with it; red: it fools."
        )
        shown = {model: probe.artefact(model) for model in probe.models}
        if any(arrays is not None for arrays in shown.values()):
            extra.figures[stem] = partial(draw, probe, {m: arrays for m, arrays in shown.items() if arrays is not None})
    return extra


def draw(probe: ProbeResults, shown: dict[str, Any]) -> Figure:
    """A row a model: the patch, then judged inputs with what they are read as."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.35 * (SHOWN + 1), 1.7 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), SHOWN + 1, squeeze=False)
    for row, (model, kept) in zip(panels, shown.items(), strict=True):
        fitted = probe.artefact(model, kind="fit")
        if fitted is not None:
            _image(row[0], fitted["patch"])
        row[0].set_title("the patch", fontsize=7)
        row[0].set_ylabel(model, fontsize=7)
        judged = probe.rows(model)
        views = kept["views"] if "views" in kept else [0] * len(kept["samples"])
        keys = zip(judged["sample"], judged["view"] if "view" in judged else [0] * len(judged), strict=True)
        verdicts = dict(zip(keys, zip(judged["pred"], judged["label"], strict=True), strict=True))
        spread = dict.fromkeys(int(i) for i in np.linspace(0, len(views) - 1, SHOWN))  # samples and places differ
        for panel in row[1 + len(spread) :]:
            panel.set_visible(False)
        for panel, i in zip(row[1:], spread, strict=False):
            _image(panel, kept["inputs"][i])
            pred, label = (int(value) for value in verdicts[str(kept["samples"][i]), int(views[i])])
            name = probe.classes[pred] if pred < len(probe.classes) else str(pred)
            panel.set_title(name[:18], fontsize=7, color="black" if pred == label else "firebrick")
        for panel in row:
            panel.set_xticks([])
            panel.set_yticks([])
    return figure


def _image(panel: Any, image: Any) -> None:
    panel.imshow(as_picture(image), cmap="gray", vmin=0, vmax=1)
