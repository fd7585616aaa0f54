"""The picture of a SpRAy: embedding by cluster, eigenvalues, and for each cluster heatmaps beside what they explain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UsageError
from benchmark.metrics.spray.clusters import Spectrum, analyse, pooled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#882255")  # Okabe and Ito
EXAMPLES = 6


@dataclass(frozen=True)
class Shown:
    """One class of one model under one explainer.

    Attributes:
        title: what it is.
        spectrum: what was found.
        heatmaps: (n, H, W), channels summed with their signs, not pooled.
        inputs: (n, C, H, W) in [0, 1], or None where they are not at hand.
        carries: (n,) who has the known false structure, or None.
    """

    title: str
    spectrum: Spectrum
    heatmaps: NDArray[Any]
    inputs: NDArray[Any] | None = None
    carries: NDArray[np.bool_] | None = None


def of_class(
    known: tuple[Sequence[str], NDArray[Any], NDArray[Any]],
    k: int,
    title: str,
    neighbours: int,
    pool: int,
    inputs: Callable[[Sequence[str]], NDArray[Any] | None],
    carries: Mapping[str, bool] | None,
) -> Shown:
    """Analyse one class of what an explainer left.

    Args:
        known: sample ids, explained classes (N,), attributions (N, C, H, W).
        k: the class.
        title: of the picture.
        neighbours, pool: see the metric ``spray``.
        inputs: ids to inputs, or to None.
        carries: sample id to whether it has the known false structure, or None.

    Raises:
        UsageError: the class has too few usable attributions.
    """
    samples, targets, attributions = known
    maps = pooled(attributions, pool)
    rows = np.flatnonzero((targets == k) & np.isfinite(maps).all((1, 2)))
    if len(rows) < 2 * neighbours:
        large = [int(c) for c in np.unique(targets) if (targets == c).sum() >= 2 * neighbours]
        raise UsageError(
            f"{title}: {len(rows)} usable attributions, SpRAy with {neighbours} neighbours needs {2 * neighbours};"
            f" explain more samples, or choose another class (large enough by number: {large or 'none'})"
        )
    names = [samples[int(i)] for i in rows]
    who = None if carries is None else np.array([carries.get(name, False) for name in names])
    heatmaps = attributions[rows].astype(np.float64).sum(1)
    return Shown(title, analyse(maps[rows], neighbours), heatmaps, inputs(names), who)


def draw(shown: Shown) -> Figure:
    """Left: t-SNE coloured by cluster, and the eigenvalues; right: a block a cluster, most suspicious first."""
    from matplotlib.figure import Figure

    order = by_suspicion(shown.spectrum)
    lines = 1 if shown.inputs is None else 2
    height = max(4.6, 0.95 * lines * len(order) + 0.5 * len(order) + 0.6)
    figure = Figure(figsize=(11.5, height), layout="constrained")
    left, right = np.ravel(figure.subfigures(1, 2, width_ratios=(1, 1.7), squeeze=False))
    top, bottom = left.subplots(2, 1, height_ratios=(1.5, 1))
    _embedding(top, shown)
    _eigenvalues(bottom, shown.spectrum)
    blocks = np.ravel(right.subfigures(len(order), 1, squeeze=False))
    for block, cluster in zip(blocks, order, strict=True):
        _cluster(block, shown, cluster, lines)
    figure.suptitle(shown.title, fontsize=11)
    return figure


def by_suspicion(spectrum: Spectrum) -> list[int]:
    """Clusters, the one with the largest mean suspicion first."""
    names = sorted(set(spectrum.clusters.tolist()))
    return sorted(names, key=lambda c: -float(spectrum.suspicion[spectrum.clusters == c].mean()))


def _embedding(axes: Axes, shown: Shown) -> None:
    spectrum = shown.spectrum
    for cluster in sorted(set(spectrum.clusters.tolist())):
        at = spectrum.clusters == cluster
        x, y = spectrum.embedding[at].T
        axes.scatter(x, y, s=26, color=_colour(cluster), label=f"cluster {cluster} (n = {int(at.sum())})")
    if shown.carries is not None and shown.carries.any():
        x, y = spectrum.embedding[shown.carries].T
        axes.scatter(
            x, y, s=75, facecolors="none", edgecolors="black", linewidths=0.9, label="carries the mark (known)"
        )
    axes.set_title("t-SNE of the heatmaps (to look at only)", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.02), ncols=2)


def _eigenvalues(axes: Axes, spectrum: Spectrum) -> None:
    values = spectrum.eigenvalues
    count = len(set(spectrum.clusters.tolist()))
    axes.plot(range(1, len(values) + 1), values, "o", color="#555555", markersize=4)
    if count < len(values):
        axes.axvline(count + 0.5, color="#d55e00", linewidth=0.9, linestyle="--")
    axes.set_title(
        f"eigenvalues; largest gap {spectrum.eigengap:.2f} after {count}; silhouette {spectrum.silhouette:.2f}",
        fontsize=9,
    )
    axes.set_xlabel("number", fontsize=8)
    axes.set_ylim(bottom=-0.03)
    axes.set_xticks(range(2, len(values) + 1, 2))
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _cluster(block: Any, shown: Shown, cluster: int, lines: int) -> None:
    """Mean heatmap, then the samples nearest to it: what they are above, why below."""
    spectrum = shown.spectrum
    at = np.flatnonzero(spectrum.clusters == cluster)
    flat = spectrum.maps[at].reshape(len(at), -1)
    nearest = at[np.argsort(np.linalg.norm(flat - flat.mean(0), axis=1), kind="stable")[:EXAMPLES]]
    panels = block.subplots(lines, EXAMPLES + 1, squeeze=False)
    scaled = shown.heatmaps[at] / np.abs(shown.heatmaps[at]).sum((1, 2), keepdims=True)
    _heat(panels[-1][0], scaled.mean(0))
    panels[-1][0].set_title("mean", fontsize=7, pad=2)
    for panel, i in zip(panels[-1][1:], nearest, strict=False):
        _heat(panel, shown.heatmaps[i])
    if shown.inputs is not None:
        for panel, i in zip(panels[0][1:], nearest, strict=False):
            image = shown.inputs[i]
            picture = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
            panel.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for panel in panels.ravel():
        panel.set_xticks([])
        panel.set_yticks([])
        for side in panel.spines.values():
            side.set(color="#aaaaaa", linewidth=0.6)
        if not panel.has_data():
            panel.set_axis_off()
    said = f"cluster {cluster}: n = {len(at)}, mean suspicion {spectrum.suspicion[at].mean():.2f}"
    if shown.carries is not None:
        said += f", {int(shown.carries[at].sum())} carry the mark"
    block.suptitle(said, fontsize=9, color=_colour(cluster), x=0.02, ha="left")


def _heat(panel: Axes, relevance: NDArray[Any]) -> None:
    """Red for, blue against; each on its own scale."""
    most = float(np.abs(relevance).max()) or 1.0
    panel.imshow(relevance, cmap="bwr", vmin=-most, vmax=most, interpolation="nearest")


def _colour(cluster: int) -> str:
    return COLOURS[cluster % len(COLOURS)]
