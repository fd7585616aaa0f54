"""Errors under common corruptions as the field sums them up: mean, worst, mCE and relative mCE.

Of Hendrycks and Dietterich 2019, section 4.2, with E a mean over the five severities and A AlexNet's:
mCE is the mean over corruptions of E / A, relative mCE of (E - E_clean) / (A - A_clean). Both are means over samples,
and so have intervals. For CIFAR-10-C the field's figure is the plain mean error, or one less it (RobustBench).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.attacks.structural.severities import ALEXNET, ALEXNET_CLEAN, KINDS, SEVERITIES
from benchmark.reported import Extras, ProbeResults, Summary

Errors = dict[str, NDArray[np.float64]]  # corruption to (N, severities): 1 wrong, 0 right, NaN without a verdict


def report(probes: Sequence[ProbeResults]) -> Extras:
    """A row a model and corruption: error at each severity and their mean, and CE where it is defined."""
    lines: list[dict[str, Any]] = []
    for model in _models(probes):
        _, clean, errors = _errors(probes, model)
        whole = _is_imagenet(probes)
        for kind, values in errors.items():
            row: dict[str, Any] = {"model": model, "corruption": kind, "n": len(values), "clean_error": _mean(clean)}
            at = sorted(_severities(probes, kind))
            row |= {f"error_{s}": _mean(values[:, i]) for i, s in enumerate(at)}
            row["error"] = _mean(values)
            if whole and len(at) == len(SEVERITIES):
                row["ce"] = row["error"] / ALEXNET[kind]
                row["relative_ce"] = (row["error"] - row["clean_error"]) / (ALEXNET[kind] - ALEXNET_CLEAN)
            lines.append(row)
    if not lines:
        return Extras()
    table = pd.DataFrame(lines)
    caption = (
        "Error over all samples under each corruption, at each severity and on average over them. CE and relative CE"
        " hold it against AlexNet's published error on ImageNet-C (Hendrycks and Dietterich 2019, section 4.2): 1 is as"
        " AlexNet. They are given where all five severities were run with ImageNet-C's parameters."
    )
    shown = table.pivot(index="corruption", columns="model", values="error").reindex(
        list(dict.fromkeys(table["corruption"]))
    )
    short = shown.map(lambda value: "–" if pd.isna(value) else f"{value:.3f}").reset_index().rename_axis(columns=None)
    return Extras({"corruptions": table}, {"corruptions": caption}, {}, {"corruptions": short})


def summaries(probes: Sequence[ProbeResults]) -> list[Summary]:
    """Of the samples that every corruption was judged on; mCE only of all fifteen at all five severities."""
    found: dict[str, dict[str, tuple[Sequence[str], NDArray[np.float64]]]] = {}
    for model in _models(probes):
        names, clean, errors = _errors(probes, model)
        if not errors or not names:
            continue
        means = {kind: values.mean(1) for kind, values in errors.items()}
        every = np.stack(list(means.values()))
        worst = max(means, key=lambda kind: _mean(means[kind]))
        columns = {
            "corruption_error": every.mean(0),
            "corruption_error_worst": means[worst],
            "corruption_error_any": np.concatenate(list(errors.values()), axis=1).max(1),
        }
        complete = set(errors) == set(KINDS) and all(values.shape[1] == len(SEVERITIES) for values in errors.values())
        if complete and _is_imagenet(probes):
            columns["mce"] = np.mean([means[kind] / ALEXNET[kind] for kind in KINDS], axis=0)
            columns["relative_mce"] = np.mean(
                [(means[kind] - clean) / (ALEXNET[kind] - ALEXNET_CLEAN) for kind in KINDS], axis=0
            )
        for name, values in columns.items():
            found.setdefault(name, {})[model] = (names, values)
    return [Summary(name, values, higher_is_better=False, words=WORDS[name]) for name, values in found.items()]


WORDS = {
    "corruption_error": "mean error over corruptions and severities",
    "corruption_error_worst": "error under the worst corruption, mean over severities",
    "corruption_error_any": "wrong under at least one corruption",
    "mce": "mCE (AlexNet: 1)",
    "relative_mce": "relative mCE (AlexNet: 1)",
}


def _models(probes: Sequence[ProbeResults]) -> list[str]:
    return list(dict.fromkeys(model for probe in probes for model in probe.models))


def _is_imagenet(probes: Sequence[ProbeResults]) -> bool:
    return all(probe.attack.parameters == "imagenet" for probe in probes)


def _severities(probes: Sequence[ProbeResults], kind: str) -> list[int]:
    return [int(eps.value) for probe in probes if probe.attack.kind == kind for eps in probe.budgets if eps is not None]


def _errors(probes: Sequence[ProbeResults], model: str) -> tuple[list[str], NDArray[np.float64], Errors]:
    """Names of the samples that all probes have, their clean errors (N,), and their errors under each corruption."""
    series: dict[str, dict[int, pd.Series[float]]] = {}
    for probe in probes:
        for eps in probe.budgets:
            rows = probe.rows(model, eps)
            if eps is None or not len(rows):
                continue
            wrong = (rows["pred"] != rows["label"]).astype(float).where(rows["status"] == "ok")
            series.setdefault(probe.attack.kind, {})[int(eps.value)] = pd.Series(wrong.to_numpy(), index=rows["sample"])
    known = [each for severities in series.values() for each in severities.values()]
    if not known:
        return [], np.zeros(0), {}
    names = [name for name in known[0].index if all(name in each.index for each in known[1:])]
    clean = probe_clean(probes, model).reindex(names)
    errors: Errors = {
        kind: np.stack([found[s].reindex(names).to_numpy(dtype=np.float64) for s in sorted(found)], axis=1)
        for kind, found in series.items()
    }
    return [str(name) for name in names], np.asarray(1 - clean.to_numpy(dtype=np.float64)), errors


def probe_clean(probes: Sequence[ProbeResults], model: str) -> pd.Series[float]:
    """1 where the clean prediction is right, by sample."""
    clean = probes[0].clean(model)
    right = clean["correct"].to_numpy(dtype=float)
    return pd.Series(right, index=clean.get("sample", clean.index))


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
