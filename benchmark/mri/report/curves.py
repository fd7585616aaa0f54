"""Error against budget with the random control, and the amplification of every entry at the headline budget."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.drawing.looks import COLOURS
from benchmark.reported import Extras, TaskResults
from benchmark.spec.budget import Budget

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREY, OWN = "#8a8a8a", COLOURS[0]
Points = tuple[NDArray[np.float64], NDArray[np.float64]]  # (n,) budgets; (n, 3) mean, low, high
ERRORS = (
    "Relative error `||f(y + e) - x|| / ||x||` against the budget `||e|| / ||y||`, mean over images with its 95 %"
    " interval: solid under the worst perturbation found within the budget, dashed under random noise of the same norm;"
    " at budget 0 the clean error. Grey: `{against}`, the same in every panel."
)
AMPLIFIED = (
    "How much more the worst perturbation moves the output than random noise of the same norm does (`amp_ratio`), mean"
    " over images with its 95 % interval, at the headline budget. The grey band is `{against}`'s interval. Hollow: the"
    " clean error is worse than `{against}`'s, so that the row can show instability, never robustness."
)


def curves(against: str, results: TaskResults, extra: Extras) -> None:
    """Figures ``error_against_budget`` and ``amplification``."""
    points = {model: _points(results, model) for model in results.models}
    points = {model: pair for model, pair in points.items() if np.isfinite(pair[0][1][:, 0]).any()}
    if not points or results.eps is None:
        return
    extra.captions["amplification"] = AMPLIFIED.format(against=against)
    extra.figures["amplification"] = partial(draw_amplification, results, against, results.eps)
    extra.captions["error_against_budget"] = ERRORS.format(against=against)
    extra.figures["error_against_budget"] = partial(draw_errors, points, against, results.eps.value)


def _points(results: TaskResults, model: str) -> list[Points]:
    """Worst case and random control, both from the clean error on."""
    clean, budgets = results.summary("rel_err", model), results.budgets()
    eps = np.array([0.0, *(100 * each.value for each in budgets)])
    return [
        (eps, np.array([clean, *(results.score(name, model, each) for each in budgets)], dtype=float))
        for name in ("rel_err_worst", "rel_err_random")
    ]


def draw_errors(points: dict[str, list[Points]], against: str, headline: float) -> Figure:
    """A panel an entry; the budget in percent."""
    from benchmark.drawing.multiples import Labels, Line, multiples

    random = any(np.isfinite(control[1][1:, 0]).any() for _, control in points.values())
    labels = Labels(
        x="budget: ||e|| in % of ||y||",
        y="relative error",
        lines=("worst case", "random noise of the same norm" if random else ""),
        mark=(100 * headline, "headline budget"),
    )
    lines = {model: [Line(*each) for each in pair] for model, pair in points.items()}
    return multiples(lines, against, labels, from_zero=True)


def draw_amplification(results: TaskResults, against: str, eps: Budget) -> Figure:
    """A row an entry, the most stable on top."""
    from matplotlib.figure import Figure

    from benchmark.drawing.multiples import scale

    amplification = {model: results.score("amp_ratio", model, eps) for model in results.models}
    order = sorted(amplification, key=lambda model: (not np.isfinite(amplification[model][0]), amplification[model][0]))
    figure = Figure(figsize=(7.6, 1.3 + 0.3 * len(order)), layout="constrained")
    panel = figure.subplots()
    if against in amplification and np.isfinite(amplification[against][0]):
        panel.axvspan(*amplification[against][1:], color=GREY, alpha=0.3, linewidth=0)
    for y, model in enumerate(order):
        mean, low, high = amplification[model]
        colour = "#333333" if model == against else OWN
        hollow = results.gate(model) is False
        text = f"{mean:.2f} [{low:.2f}, {high:.2f}]" if np.isfinite(mean) else "no verdict"
        panel.text(1.02, y, text, transform=panel.get_yaxis_transform(), va="center", fontsize=8.5)
        panel.plot([low, high], [y, y], color=colour, linewidth=1.6, zorder=2)
        panel.plot(mean, y, "o", color=colour, markerfacecolor="white" if hollow else colour, markersize=6, zorder=3)
    panel.axvline(1, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)))
    scale(panel, "x", [np.array([1.0, *(value for each in amplification.values() for value in each)])])
    panel.set_yticks(range(len(order)), order, fontsize=9)
    panel.set_ylim(len(order) - 0.4, -0.6)
    share = f"{100 * eps.value:g} %"
    panel.set_xlabel(f"amplification of the worst case over that of random noise, budget {share} of ||y||", fontsize=9)
    panel.grid(axis="x", alpha=0.25, linewidth=0.6)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
    _marks(figure, against, any(results.gate(model) is False for model in order))
    return figure


def _marks(figure: Figure, against: str, hollow: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color="#555555", linewidth=0.9, linestyle=(0, (4, 3)), label="as random noise"),
        Patch(color=GREY, alpha=0.3, linewidth=0, label=f"{against}, 95 %"),
    ]
    if hollow:
        look: dict[str, Any] = {"linestyle": "", "marker": "o", "markerfacecolor": "white"}
        handles.append(Line2D([], [], color=OWN, label=f"clean error above {against}'s", **look))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8.5, frameon=False)
