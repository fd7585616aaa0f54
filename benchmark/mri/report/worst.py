"""The figure of every entry: one image, clean and under its worst perturbation at each budget, the reference beside it.

What is shown is what the cells kept; the numbers are those of the records. Without artefacts there is no figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.mri.arrays import adjoint, magnitude, position
from benchmark.reported import Extras, ProbeResults, TaskResults
from benchmark.spec.budget import Budget

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmark.drawing.panels import Sheet, Window

Arrays = Mapping[str, NDArray[Any]]
RANKS, PICKS = "amp_ratio", "rel_err"  # the column that chooses the image, and the one that chooses its worst case
HOW = (
    "One image, clean and at rising budgets: that whose amplification at the headline budget is nearest the entry's"
    " median over images (the figure names it). At each budget the attack in the headline threat model that gives this"
    " image the largest relative error. *Perturbed original*: `x + A^H e` for the change e of the measurement, so that"
    " an eye can judge how small the change is (with one coil the smallest change of the image that explains e). Below"
    " a reconstruction f stand its relative error `||f(y + e) - x|| / ||x||` and the amplification"
    " `||f(y + e) - f(y)|| / ||e||`, in brackets as a multiple of that of random noise of the same norm. Right: the"
    " reference, `{against}`, under its own worst case at the same budget. Images are magnitudes, all in the grey"
    " window from 0 to the original's maximum; differences are magnitudes of the complex difference, all in one window,"
    " given by the colour bar."
)


@dataclass(frozen=True)
class Shown:
    """A reconstruction of one image.

    Attributes:
        output: (2, H, W).
        change: A^H e (2, H, W), zero where nothing was perturbed.
        error, amplification, ratio: its relative error, ||f(y + e) - f(y)|| / ||e||, and the same over noise's.
    """

    output: NDArray[Any]
    change: NDArray[Any]
    error: float
    amplification: float = float("nan")
    ratio: float = float("nan")


@dataclass(frozen=True)
class Case:
    """What a figure shows of one image.

    Attributes:
        model, sample: the entry, the image.
        truth: (2, H, W).
        budgets: of the rows; None is clean.
        own: the entry's reconstructions, a row each.
        theirs: the reference's; empty where it is the entry itself or not at hand.
    """

    model: str
    sample: str
    truth: NDArray[Any]
    budgets: tuple[Budget | None, ...]
    own: tuple[Shown, ...]
    theirs: tuple[Shown, ...]


@dataclass
class _Kept:
    """Artefacts of one entry, each loaded once."""

    results: TaskResults
    model: str
    cache: dict[tuple[str, Budget | None], Arrays | None] = field(default_factory=dict)

    def clean(self, sample: str) -> tuple[Arrays, int] | None:
        """The arrays that hold a clean sample, and its place in them."""
        if ("", None) not in self.cache:
            self.cache["", None] = self.results.kept(self.model)
        return _place(self.cache["", None], sample, None)

    def attacked(self, probe: ProbeResults, eps: Budget, sample: str, view: int | None) -> tuple[Arrays, int] | None:
        """The same of a perturbed sample."""
        key = (probe.name, eps)
        if key not in self.cache:
            self.cache[key] = probe.artefact(self.model, eps)
        return _place(self.cache[key], sample, view)


def worst_cases(against: str, results: TaskResults, extra: Extras) -> None:
    """Figure ``worst_<entry>`` of every entry, where the artefacts are at hand."""
    theirs = _Kept(results, against) if against in results.models else None
    for model in results.models:
        first = not any(stem.startswith("worst_") for stem in extra.captions)
        extra.captions[f"worst_{model}"] = HOW.format(against=against) if first else f"`{model}`, as above."
        case = choose(results, _Kept(results, model), None if model == against else theirs)
        if case is not None:
            extra.figures[f"worst_{model}"] = partial(draw, case, against, results.eps)


def choose(results: TaskResults, own: _Kept, theirs: _Kept | None) -> Case | None:
    """The image nearest the median of which everything was kept; None where there is none."""
    if results.kept(own.model) is None:
        return None
    budgets = (None, *results.budgets())
    for sample in _by_median(results, own.model):
        ours = _rows_of(own, sample, budgets)
        kept = own.clean(sample)
        if ours is None or kept is None:
            continue
        beside = None if theirs is None else _rows_of(theirs, sample, budgets)
        truth = np.asarray(kept[0]["truth"][kept[1]], dtype=np.float64)
        return Case(own.model, sample, truth, budgets, ours, beside or ())
    return None


def _by_median(results: TaskResults, model: str) -> Iterator[str]:
    """Samples by the distance of their headline score from the median of all."""
    rows = [probe.rows(model, results.eps) for probe in results.headline() if results.eps in probe.budgets]
    rows = [part[part["status"] == "ok"] for part in rows if len(part) and RANKS in part]
    if not rows:
        return
    worst = pd.concat([part[["sample", RANKS]] for part in rows]).groupby("sample")[RANKS].max().dropna()
    distance = (worst - worst.median()).abs()
    yield from distance.sort_values(kind="stable").index.astype(str)


def _rows_of(kept: _Kept, sample: str, budgets: tuple[Budget | None, ...]) -> tuple[Shown, ...] | None:
    """A reconstruction at each budget; None where one was not kept."""
    shown = [_clean(kept, sample) if eps is None else _worst(kept, sample, eps) for eps in budgets]
    whole = [each for each in shown if each is not None]
    return tuple(whole) if len(whole) == len(shown) else None


def _clean(kept: _Kept, sample: str) -> Shown | None:
    clean = kept.clean(sample)
    if clean is None:
        return None
    arrays, at = clean
    error = float(kept.results.clean(kept.model)[PICKS].astype(float)[sample])
    return Shown(arrays["outputs"][at], np.zeros_like(arrays["truth"][at]), error)


def _worst(kept: _Kept, sample: str, eps: Budget) -> Shown | None:
    """What the attack did that gives this sample the largest relative error at this budget."""
    rows = []
    for probe in kept.results.headline():
        of = probe.rows(kept.model, eps) if eps in probe.budgets else pd.DataFrame()
        if len(of):
            of = of[(of["sample"] == sample) & (of["status"] == "ok")]
            rows += [(float(row[PICKS]), probe, row) for _, row in of.iterrows()]
    if not rows:
        return None
    _, probe, row = max(rows, key=lambda each: each[0])
    clean = kept.clean(sample)
    attacked = kept.attacked(probe, eps, sample, int(row["view"]) if "view" in row else None)
    if clean is None or attacked is None:
        return None
    (before, i), (after, j) = clean, attacked
    e = np.asarray(after["measured"][j], dtype=np.float64) - before["measured"][i]
    return Shown(
        after["outputs"][j],
        adjoint(_with_maps(e, before["measured"][i])[None])[0],
        float(row[PICKS]),
        float(row["amp"]),
        float(row[RANKS]),
    )


def _with_maps(e: NDArray[Any], measured: NDArray[Any]) -> NDArray[Any]:
    """A change of packed measurements as packed measurements: mask and maps are no part of the change."""
    coils = max(1, len(measured) // 4)
    return np.concatenate([e[: 2 * coils], measured[2 * coils :]])


def _place(arrays: Arrays | None, sample: str, view: int | None) -> tuple[Arrays, int] | None:
    if arrays is None or not {"outputs", "truth", "measured"} <= set(arrays):
        return None
    at = position(arrays, sample, view)
    return None if at is None else (arrays, at)


# -- drawing -----------------------------------------------------------------------------------------------


def draw(case: Case, against: str, headline: Budget | None) -> Figure:
    """A row a budget: original, perturbed original, reconstruction and |difference|, and the reference's last two."""
    from benchmark.drawing.panels import HEAT, Sheet, brighter, percent, window

    columns = 6 if case.theirs else 4
    sheet = Sheet(case.truth.shape[-2:], len(case.budgets), columns, split=4 if case.theirs else 0)
    original = magnitude(case.truth)
    top = float(original.max()) or 1.0
    errors = [magnitude(each.output - case.truth) / top for each in (*case.own, *case.theirs)]
    heat = window(errors)
    bright = brighter([magnitude(each.output) for each in (*case.own, *case.theirs)], top)
    _heads(sheet, case, against)
    for row, (eps, own) in enumerate(zip(case.budgets, case.own, strict=True)):
        sheet.label(row, _budget(eps, headline), strong=eps is not None and eps == headline)
        sheet.put(row, 0, original, top)
        changed = float(np.linalg.norm(own.change) / np.linalg.norm(case.truth))
        said = f"changed by {percent(changed)} of ||x||" if eps else "not perturbed"
        sheet.put(row, 1, magnitude(case.truth + own.change), top, said)
        for column, each in ((2, own), (4, case.theirs[row])) if case.theirs else ((2, own),):
            error = magnitude(each.output - case.truth) / top
            sheet.put(row, column, magnitude(each.output), top, _numbers(each))
            sheet.put(row, column + 1, error, heat.top, f"at most {error.max():.2g}", colours=HEAT)
    _bars(sheet, columns, top, bright, heat)
    return sheet.figure


def _bars(sheet: Sheet, columns: int, top: float, bright: float, heat: Window) -> None:
    """Both windows, and what lies outside them."""
    from benchmark.drawing.panels import HEAT, percent, said_of

    half = columns // 2
    sheet.bar(0, half - 1, top, f"magnitude: 0 to the original's maximum\n{said_of(bright)}", beyond=bright > 0)
    few = f"{percent(heat.beyond)} of the pixels lie above, up to {heat.largest:.2g}"
    above = few if heat.beyond else "no pixel lies above"
    text = f"|difference| / the original's maximum: 0 to {heat.top:.2g}\n{above}"
    sheet.bar(half, columns - 1, heat.top, text, colours=HEAT, beyond=heat.beyond > 0)


def _heads(sheet: Sheet, case: Case, against: str) -> None:
    sheet.title(f"{case.model}: image {case.sample}, of median amplification")
    sheet.group(0, 3, f"{case.model}, its worst case")
    heads = ["original x", "perturbed original\nx + A$^H$e", "reconstruction", "|reconstruction - x|"]
    if case.theirs:
        sheet.group(4, 5, f"{against}, its own worst case")
        heads += heads[2:]
    for column, text in enumerate(heads):
        sheet.head(column, text)


def _budget(eps: Budget | None, headline: Budget | None) -> str:
    if eps is None:
        return "clean"
    return f"{eps.percent} %\nof ||y||" + ("\n(headline)" if eps == headline else "")


def _numbers(shown: Shown) -> str:
    said = f"relative error {shown.error:.3f}"
    if np.isnan(shown.amplification):
        return said
    return f"{said}\namplification {shown.amplification:.2f} ({shown.ratio:.2f} x noise)"
