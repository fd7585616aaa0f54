"""Sheets of pictures for reports: in rows and columns, every image pixel a whole number of the sheet's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

DPI = 110  # of the report's PNG files
WANTED = 190  # about how many pixels wide a panel is
LEFT, RIGHT, TOP, UNDER, GAP, BETWEEN, BAR = 96, 12, 104, 46, 8, 26, 92  # pixels around and between panels
GREY, HEAT = "gray", "inferno"


@dataclass(frozen=True)
class Window:
    """Values that a colour scale spans: from 0 to ``top``; ``beyond`` is the share of the pixels above, shown as top.

    Attributes:
        largest: the largest value that is shown.
    """

    top: float
    beyond: float
    largest: float


def window(values: Sequence[NDArray[Any]], share: float = 0.995) -> Window:
    """A window for pictures that are compared: it holds all their values, unless few of them lie far above the rest.

    Args:
        values: the pictures.
        share: where the largest value is more than twice this quantile, the window ends at the quantile.
    """
    pixels = np.concatenate([np.ravel(picture) for picture in values])
    largest, most = float(pixels.max()), float(np.quantile(pixels, share))
    top = _round_up(most if largest > 2 * most else largest)
    return Window(top, float((pixels > top).mean()), largest)


def percent(share: float) -> str:
    """A share in words: ``12.3 %``; never a zero where there is something."""
    return "less than 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def brighter(pictures: Sequence[NDArray[Any]], top: float) -> float:
    """Share of the pixels that a grey window to ``top`` shows white though they are brighter."""
    return float(np.mean([picture > top * (1 + 1e-6) for picture in pictures]))


def said_of(share: float) -> str:
    """The same in words."""
    return f"{percent(share)} of the pixels are brighter, shown white" if share else "no pixel is brighter"


def _round_up(value: float) -> float:
    """The next number of two digits; 1 for 0."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(np.ceil(value / unit - 1e-9) * unit)


class Sheet:
    """A figure of panels of one size.

    Args:
        size: (H, W) of the images.
        rows, columns: of panels.
        split: number of columns before a wider gap; 0: none.
        bar: leave room for colour bars below.
    """

    def __init__(self, size: tuple[int, int], rows: int, columns: int, *, split: int = 0, bar: bool = True) -> None:
        times = max(1, round(WANTED / max(size)))
        self.panel = (size[1] * times, size[0] * times)
        self.rows, self.split = rows, split
        self.bottom = BAR if bar else 0
        width = LEFT + columns * (self.panel[0] + GAP) + (BETWEEN if split else 0) + RIGHT
        self.pixels = (width, TOP + rows * (self.panel[1] + UNDER) + self.bottom)
        self.figure = Figure(figsize=(self.pixels[0] / DPI, self.pixels[1] / DPI), dpi=DPI, facecolor="white")

    def left(self, column: int) -> int:
        """Pixels from the left edge to a column."""
        return LEFT + column * (self.panel[0] + GAP) + (BETWEEN if self.split and column >= self.split else 0)

    def _axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes at pixels from the left and the bottom."""
        across, up = self.pixels
        return self.figure.add_axes((x / across, y / up, width / across, height / up))

    def _at(self, x: float, y: float, text: str, **how: Any) -> None:
        self.figure.text(x / self.pixels[0], y / self.pixels[1], text, **how)

    def put(
        self,
        row: int,
        column: int,
        image: NDArray[Any],
        top: float,
        under: str = "",
        *,
        colours: str = GREY,
        box: tuple[int, int, int, int] | None = None,
    ) -> None:
        """A picture (H, W) in the window [0, top], a line or two below it, a box (top, left, height, width) in it."""
        y = self.pixels[1] - TOP - row * (self.panel[1] + UNDER) - self.panel[1]
        axes = self._axes(self.left(column), y, *self.panel)
        axes.imshow(image, cmap=colours, vmin=0, vmax=top, interpolation="nearest", aspect="equal")
        axes.set_axis_off()
        if box is not None:
            corner, extent = (box[1] - 0.5, box[0] - 0.5), (box[3], box[2])
            axes.add_patch(Rectangle(corner, *extent, fill=False, edgecolor="#ffd000", linewidth=1.1))
        self._at(self.left(column) + self.panel[0] / 2, y - 4, under, ha="center", va="top", fontsize=7.5)

    def head(self, column: int, text: str) -> None:
        """What a column shows."""
        x = self.left(column) + self.panel[0] / 2
        self._at(x, self.pixels[1] - TOP + 6, text, ha="center", va="bottom", fontsize=8.5)

    def group(self, first: int, last: int, text: str) -> None:
        """What some columns have in common, above a line over them."""
        start, end = self.left(first), self.left(last) + self.panel[0]
        y = self.pixels[1] - TOP + 48
        line = self._axes(start, y, end - start, 1)
        line.set_facecolor("#777777")
        line.set_xticks([])
        line.set_yticks([])
        line.spines[:].set_visible(False)
        self._at((start + end) / 2, y + 5, text, ha="center", va="bottom", fontsize=9.5, weight="bold")

    def label(self, row: int, text: str, *, strong: bool = False) -> None:
        """What a row shows."""
        y = self.pixels[1] - TOP - row * (self.panel[1] + UNDER) - self.panel[1] / 2
        weight = "bold" if strong else "normal"
        self._at(LEFT - 12, y, text, ha="right", va="center", fontsize=9, weight=weight)

    def title(self, text: str) -> None:
        """Above everything."""
        self._at(self.left(0), self.pixels[1] - 4, text, ha="left", va="top", fontsize=9, color="#333333")

    def bar(self, first: int, last: int, top: float, text: str, *, colours: str = GREY, beyond: bool = False) -> None:
        """A colour bar below some columns; with an arrow where values lie beyond it."""
        start, end = self.left(first) + 14, self.left(last) + self.panel[0] - 14
        axes = self._axes(start, self.bottom - 20, end - start, 12)
        scale = ScalarMappable(Normalize(0, top), colours)
        bar = self.figure.colorbar(scale, cax=axes, orientation="horizontal", extend="max" if beyond else "neither")
        bar.locator = MaxNLocator(5)
        bar.set_label(text, fontsize=8)
        bar.ax.tick_params(labelsize=7.5)
