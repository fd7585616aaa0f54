"""How reconstructions answer to more samples and to other acquisitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.attacks.base import Extras, ProbeResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DROP = 0.1  # dB by which an image must get worse with more samples to count


def sampling(probes: Sequence[ProbeResults]) -> Extras:
    """Table ``sampling``: mean PSNR at each share and the violations; and its curves."""
    tables: dict[str, pd.DataFrame] = {}
    captions: dict[str, str] = {}
    figures: dict[str, Callable[[], Figure]] = {}
    for probe in probes:
        attack: Any = probe.attack
        by_model = {model: _by_view(probe.rows(model)) for model in probe.models}
        by_model = {model: psnr for model, psnr in by_model.items() if psnr.size}
        if not by_model:
            continue
        order = np.argsort(attack.fractions)
        rows = []
        for model, psnr in by_model.items():
            ordered = psnr[:, order]
            steps = np.diff(ordered, axis=1)
            row: dict[str, Any] = {"model": model}
            row |= {f"psnr_{attack.fractions[i]:.3g}": float(ordered[:, k].mean()) for k, i in enumerate(order)}
            row["violations"] = float((steps < -DROP).mean())
            row["images_with_one"] = float((steps < -DROP).any(axis=1).mean())
            rows.append(row)
        stem = f"sampling_{probe.name}" if len(probes) > 1 else "sampling"
        tables[stem] = pd.DataFrame(rows)
        captions[stem] = (
            "Mean PSNR (dB) at nested masks of rising share. `violations`: share of the steps to more samples at which"
            f" an image lost more than {DROP} dB; `images_with_one`: share of the images with at least one. Grey:"
            " the reference; dotted: the share in training. Networks made for one mask cannot take the test (see"
            " skipped)."
        )
        figures[stem] = partial(_curve, by_model, attack, probe.reference)
    return Extras(tables=tables, captions=captions, figures=figures)


def shift(probes: Sequence[ProbeResults]) -> Extras:
    """Table ``shift``: mean PSNR under each condition, clean beside it."""
    rows = []
    for probe in probes:
        attack: Any = probe.attack
        for model in probe.models:
            psnr = _by_view(probe.rows(model))
            if not psnr.size:
                continue
            row: dict[str, Any] = {"model": model, "psnr_clean": float(probe.clean(model)["psnr"].mean())}
            names = [condition.label for condition in attack.conditions()]
            row |= {name: float(psnr[:, k].mean()) for k, name in enumerate(names)}
            rows.append(row)
    if not rows:
        return Extras()
    caption = "Mean PSNR (dB) when the same heads are measured otherwise than in training, without an adversary."
    return Extras(tables={"shift": pd.DataFrame(rows)}, captions={"shift": caption})


def _by_view(rows: pd.DataFrame) -> NDArray[np.float64]:
    """(N, views) PSNR, samples without a verdict left out."""
    if not len(rows) or "psnr" not in rows:
        return np.zeros((0, 0))
    table = rows[rows["status"] == "ok"].pivot_table(index="sample", columns="view", values="psnr")
    return table.dropna().to_numpy(dtype=float)


def _curve(by_model: dict[str, NDArray[np.float64]], attack: Any, against: str) -> Figure:
    """A panel an entry; bands are the mean plus and minus two standard errors."""
    from benchmark.attacks._multiples import Labels, Line, multiples

    order = np.argsort(attack.fractions)
    shares = 100 * np.asarray(attack.fractions)[order]
    lines = {}
    for model, psnr in by_model.items():
        mean, error = psnr[:, order].mean(0), psnr[:, order].std(0) / np.sqrt(len(psnr))
        lines[model] = [Line(shares, np.stack([mean, mean - 2 * error, mean + 2 * error], axis=1))]
    mark = (100 * attack.mask.fraction, "share in training")
    labels = Labels(x="measured share of k-space (%)", y="PSNR (dB)", mark=mark)
    return multiples(lines, against, labels, from_zero=False)
