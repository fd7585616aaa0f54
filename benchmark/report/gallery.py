"""Pictures of explanations: a few samples down, the explainers across. Drawn from what similarity cells kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import StoreError
from benchmark.registry import digest
from benchmark.report.explanations import control_explainers
from benchmark.reported import Extras
from benchmark.results.base import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWING = 1  # raise it when the pictures are drawn otherwise
ACROSS = 11  # explainers beside one another; more go on below
LARGE = 128  # pixels a side from which single elements are too fine to see: fewer panels across, another scale
PANEL, GAP, UNDER, HEAD, LEFT = 84, 8, 15, 50, 74  # pixels
DPI = 110  # of the report's PNG files
LABEL = 14  # letters of a label's line
COLOURS = "RdBu_r"  # red above zero, blue below
CAPTION = (
    "The input, then what each explainer gives its elements, summed over channels. Red: for the explained class;"
    " blue: against it; white: zero. Every panel has a scale of its own that ends at its largest magnitude, which"
    " stands below it. Where the dataset knows where the evidence is, that is outlined. On the left: label, and the"
    " explained class where it is another."
)
SCALE, QUANTILE = "ends at its largest magnitude", 0.995
SCALE_LARGE = "ends at the 99.5 % quantile of its magnitudes (single elements would leave the rest white)"


@dataclass(frozen=True)
class Look:
    """How panels are drawn.

    Attributes:
        across: explainers beside one another.
        quantile: of a panel's magnitudes, where its scale ends.
    """

    across: int = ACROSS
    quantile: float = 1.0


USUAL = Look()


def look(size: tuple[int, int] | None) -> Look:
    """Of images of that (height, width); None: the data's own."""
    return Look(6, QUANTILE) if size is not None and min(size) >= LARGE else USUAL


def named(classes: Sequence[str]) -> list[str]:
    """Classes for people: the first word of each of ImageNet's WordNet ids, all others as they are."""
    from benchmark.data.reading.classes import class_list

    known = class_list("imagenet-1k")
    if tuple(classes) != tuple(known.names):
        return list(classes)
    return [also[min(2, len(also) - 1)] for also in known.known_as]


def gallery(results: Results) -> Extras:
    """A picture a model whose similarity cells kept what it is drawn from; captions of all, as in a clone."""
    found = Extras()
    if not results.pictured:
        return found
    cells, drawn = results.cells[results.cells["kind"] == "similarity"], look(results.suite.dataset.size)
    for model in results.models:
        own = cells[cells["model"] == model]["hash"]
        stem = f"explanations_{model}"
        if not len(own):
            continue
        found.captions[stem] = CAPTION if drawn is USUAL else CAPTION.replace(SCALE, SCALE_LARGE)
        try:
            kept = results.store.artefact(own.iloc[0], "gallery")
        except StoreError:  # a clone has the picture, not what it is drawn from
            continue
        classes = named([str(name) for name in results.plan["dataset"]["classes"]])
        controls = control_explainers(results)
        found.figures[stem] = partial(draw, kept, classes, controls, drawn)
        found.notes[stem] = note(kept, classes, controls, drawn)
    return found


def note(kept: Mapping[str, NDArray[Any]], classes: Sequence[str], controls: Sequence[str], drawn: Look = USUAL) -> str:
    """Digest of what :func:`draw` draws."""
    arrays = {
        name: [str(array.dtype), array.shape, sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]
        for name, array in kept.items()
    }
    other = [] if drawn == USUAL else [drawn.across, drawn.quantile]
    return digest([DRAWING, arrays, list(classes), sorted(controls), *other])


def draw(
    kept: Mapping[str, NDArray[Any]], classes: Sequence[str], controls: Sequence[str] = (), drawn: Look = USUAL
) -> Figure:
    """The picture of a gallery.

    Args:
        kept: arrays as ``benchmark.schedule.similarity.gallery`` makes them.
        classes: names of the classes.
        controls: explainers that come last, and are marked.
        drawn: how panels are.
    """
    from matplotlib.figure import Figure

    names, samples = [str(name) for name in kept["explainers"]], len(kept["samples"])
    order = sorted(names, key=lambda name: name in controls)
    blocks = [order[i : i + drawn.across] for i in range(0, len(order), drawn.across)]
    columns = 1 + max(len(block) for block in blocks)
    tall = HEAD + samples * (PANEL + UNDER)
    pixels = (LEFT + columns * (PANEL + GAP), len(blocks) * tall + GAP)
    figure = Figure(figsize=(pixels[0] / DPI, pixels[1] / DPI), dpi=DPI, facecolor="white")

    def panel(block: int, row: int, column: int) -> Axes:
        top = block * tall + HEAD + row * (PANEL + UNDER)
        corner = (LEFT + column * (PANEL + GAP)) / pixels[0], 1 - (top + PANEL) / pixels[1]
        axes = figure.add_axes((*corner, PANEL / pixels[0], PANEL / pixels[1]))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set(color="#bbbbbb", linewidth=0.6)
        return axes

    for b, block in enumerate(blocks):
        for row in range(samples):
            axes = panel(b, row, 0)
            _input(axes, kept, row)
            axes.set_ylabel(_label(kept, row, classes), rotation=0, ha="right", va="center", fontsize=7.5)
            if not row:
                axes.set_title("input", fontsize=7.5, pad=3)
            for c, name in enumerate(block, 1):
                axes = panel(b, row, c)
                _attribution(axes, kept, names.index(name), row, drawn.quantile)
                if not row:
                    title = _wrapped(name) + ("\n(control)" if name in controls else "")
                    axes.set_title(title, fontsize=7.5, pad=3)
    return figure


def _input(axes: Axes, kept: Mapping[str, NDArray[Any]], row: int) -> None:
    image = kept["inputs"][row]
    if len(image) == 3:
        axes.imshow(image.transpose(1, 2, 0), interpolation="nearest")
    else:
        axes.imshow(image.mean(0), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    _outline(axes, kept, row, "#ffd000")


def _attribution(axes: Axes, kept: Mapping[str, NDArray[Any]], explainer: int, row: int, quantile: float) -> None:
    values = kept["attributions"][explainer, row]
    if not np.isfinite(values).all():
        axes.text(0.5, 0.5, "–", ha="center", va="center", transform=axes.transAxes, fontsize=8)
        return
    top = float(np.abs(values).max() if quantile == 1 else np.quantile(np.abs(values), quantile))
    axes.imshow(values, cmap=COLOURS, vmin=-(top or 1), vmax=top or 1, interpolation="nearest")
    axes.set_xlabel(f"±{top:.2g}" if top else "0", fontsize=6, labelpad=1.5, color="#555555")
    _outline(axes, kept, row, "#222222")


def _outline(axes: Axes, kept: Mapping[str, NDArray[Any]], row: int, colour: str) -> None:
    """The border of the mask, along the edges of its pixels."""
    if "masks" not in kept or not kept["masks"][row].any():
        return
    mask = np.pad(kept["masks"][row, 0], 1)
    for axis, name in ((0, "hlines"), (1, "vlines")):
        line, along = (
            np.nonzero(np.diff(mask.astype(np.int8), axis=axis))
            if axis == 0
            else np.nonzero(np.diff(mask.astype(np.int8), axis=axis).T)
        )
        getattr(axes, name)(line - 0.5, along - 1.5, along - 0.5, color=colour, linewidth=0.8)


def _label(kept: Mapping[str, NDArray[Any]], row: int, classes: Sequence[str]) -> str:
    def called(k: int) -> str:
        return (
            "\n".join(wrap(classes[k], LABEL, break_long_words=False, break_on_hyphens=False))
            if 0 <= k < len(classes)
            else str(k)
        )

    label, targets = int(kept["labels"][row]), {int(k) for k in kept["targets"][:, row] if k >= 0}
    others = [called(k) for k in sorted(targets - {label})]
    return "\n".join([called(label), *[f"→ {name}" for name in others]])


def _wrapped(name: str) -> str:
    """A name on two lines or three, broken at its dashes."""
    lines = [""]
    for part in name.replace("-", "- ").split():
        if lines[-1] and len(lines[-1]) + len(part) > 13:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
