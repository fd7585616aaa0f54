"""Which masks a suite measures with: table and picture, so that each can be made again, or read, from the results."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.attacks.acquisition import Sampling, Shift
from benchmark.attacks.base import Extras
from benchmark.mri.masks import MaskSpec, make_mask, mask_digest
from benchmark.tasks.base import TaskResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STORED = 320 * 320  # locations up to which the mask itself stands in the table
HOW = (
    "The suite's masks, by what uses them; `task` is what every clean image and every attack on the measurement is"
    " measured with, and is drawn (white: measured). `masks.csv` holds each mask itself: `bits` are"
    " its locations row by row, eight a byte, the highest bit first, in hexadecimal:"
    " `np.unpackbits(np.frombuffer(bytes.fromhex(bits[2:]), np.uint8))[: h * w]"
    ".reshape(h, w)`; the zero frequency lies at (h // 2, w // 2). `sha256` is that of"
    " `benchmark.mri.masks.mask_digest`."
)


def masks(task: MaskSpec, results: TaskResults, extra: Extras) -> None:
    """Table ``masks``; its figure is the task's own."""
    if results.size is None:
        return
    uses: dict[MaskSpec, list[str]] = {task: ["task"]}
    for probe in results.probes:
        if isinstance(probe.attack, (Sampling, Shift)):
            for condition in probe.attack.conditions():
                names = uses.setdefault(condition.mask, [])
                names += [probe.name] if probe.name not in names else []
    table = pd.DataFrame([_row(spec, results.size, names) for spec, names in uses.items()])
    extra.tables["masks"] = table
    extra.shown["masks"] = table.drop(columns="bits")
    extra.captions["masks"] = HOW
    extra.figures["masks"] = partial(draw_mask, make_mask(task, results.size), task)


def _row(spec: MaskSpec, size: tuple[int, int], names: list[str]) -> dict[str, Any]:
    mask = make_mask(spec, size)
    return {
        "used_by": ", ".join(names),
        "kind": spec.kind,
        "height": size[0],
        "width": size[1],
        "fraction": spec.fraction,
        "measured": float(mask.mean()),
        "seed": spec.seed,
        "centre": spec.centre,
        "decay": spec.decay,
        "sha256": mask_digest(mask),
        "bits": f"0x{np.packbits(mask).tobytes().hex()}" if mask.size <= STORED else "",
    }


def draw_mask(mask: NDArray[np.bool_], spec: MaskSpec) -> Figure:
    """The mask, white where k-space is measured."""
    from benchmark.attacks._panels import Sheet

    sheet = Sheet(mask.shape, 1, 1, bar=False)
    sheet.head(0, f"{spec.kind}, seed {spec.seed}: {mask.mean():.1%} of k-space")
    sheet.put(0, 0, mask.astype(float), 1.0)
    return sheet.figure
