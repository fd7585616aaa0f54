"""Explainers ranked per metric and model, and whether a metric tells them from the controls; paired over samples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import stats
from benchmark.errors import UsageError
from benchmark.explainers.base import explainers
from benchmark.report.explanations import (
    LEVEL,
    control_explainers,
    groups,
    real_explainers,
    refused,
    scores_of,
    similarity,
)
from benchmark.report.soundness import direction, family_of, verdict_on
from benchmark.results.base import Results

PASSING = ("sound", "depends on baseline")  # verdicts of metrics that put every control behind real explainers


def directed(results: Results) -> list[str]:
    """Names of the suite's metrics that have a direction; the others only describe."""
    stated = results.plan["metrics"]
    return [name for name in stated if direction(results.suite, stated, name) is not None]


def _blind(use: str) -> bool:
    try:
        return explainers.lookup(use)[0].blind
    except UsageError:  # a stranger's that is not here
        return False


def controls_of(results: Results, metric: str) -> list[str]:
    """The suite's controls that a metric of that family must put behind real explainers.

    Of stability those alone that are blind (an edge filter and a constant are stable); of randomisation all but the
    blind ones, which have nothing to keep; of an axiom none.
    """
    family = family_of(results.suite, metric)
    names = control_explainers(results)
    drawn = [name for name in names if _blind(results.plan["explainers"][name]["use"])]
    if family == "robustness":
        return drawn
    if family == "randomisation":
        return [name for name in names if name not in drawn]
    return [] if family == "axiomatic" else names


@lru_cache(maxsize=256)
def values(results: Results, model: str, metric: str) -> dict[str, NDArray[np.float64]]:
    """Scores of each explainer of a model on the same samples in the same order; without those that have none."""
    scores, names = scores_of(results), [probe.name for probe in results.suite.explainers]
    parts = {name: scores[model, name, metric] for name in names if (model, name, metric) in scores}
    samples = {name: part["sample"].to_numpy(dtype=object) for name, part in parts.items()}
    order = pd.Index(dict.fromkeys(sample for own in samples.values() for sample in own), dtype=object)
    found = {}
    for name, part in parts.items():
        column = part["value"].to_numpy(dtype=float)
        if len(column) != len(order) or (samples[name] != order.to_numpy()).any():  # most hold all, in the same order
            own = pd.Series(column, index=samples[name])
            column = own[~own.index.duplicated()].reindex(order).to_numpy()
        if np.isfinite(column).any():
            found[name] = np.where(np.isfinite(column), column, nan)
    return found


@lru_cache(maxsize=4)
def explainer_ranks(results: Results) -> pd.DataFrame:
    """One row a model and explainer that is no control: rank on each metric with a direction, and the mean over
    those that pass their controls (over all, where none does).

    rank = 1 + number of methods that are significantly better (Wilcoxon's signed-rank test, paired over samples, Holm
    over all pairs, level 0.05). Explainers that are one method take part as the first of them and share its rank.
    Empty where nothing was compared, or one method alone is left.
    """
    rows: list[dict[str, Any]] = []
    if not len(similarity(results)):
        return pd.DataFrame(rows)
    for model in results.models:
        methods = groups(results, model)
        if refused(results, model) or len(methods) < 2:
            continue
        ranked = {metric: _ranked(results, model, metric, methods) for metric in directed(results)}
        counts = counted(results, [metric for metric in ranked if ranked[metric]])
        for group in methods:
            own = {f"rank_{metric.replace('-', '_')}": ranked[metric].get(group[0], nan) for metric in ranked}
            if all(np.isnan(rank) for rank in own.values()):
                continue  # skipped on this model
            mean = float(np.mean([ranked[metric].get(group[0], nan) for metric in counts])) if counts else nan
            for name in group:
                alike = " ".join(other for other in group if other != name)
                rows.append({"model": model, "explainer": name, "one_method_with": alike, "mean_rank": mean, **own})
    table = pd.DataFrame(rows)
    if not len(table):
        return table
    table = table.astype({str(name): "Int64" for name in table if str(name).startswith("rank_")})
    order = {model: i for i, model in enumerate(results.models)}
    table = table.assign(_model=table["model"].map(order)).sort_values(["_model", "mean_rank"], kind="stable")
    return table.drop(columns="_model").reset_index(drop=True)


def counted(results: Results, scored: list[str]) -> list[str]:
    """Of the scored metrics those that pass their controls, over which the mean rank is taken; all, where none does."""
    passing = [metric for metric in scored if verdict_on(results.suite, metric) in PASSING]
    return passing or scored


def _ranked(results: Results, model: str, metric: str, methods: list[list[str]]) -> dict[str, float]:
    scores = values(results, model, metric)
    scored = {group[0]: next((scores[name] for name in group if name in scores), None) for group in methods}
    known = {name: column for name, column in scored.items() if column is not None}
    higher = bool(results.plan["metrics"][metric]["higher_is_better"])
    return {name: float(rank) for name, rank in stats.ranks_by_values(known, higher_is_better=higher).items()}


@lru_cache(maxsize=4)
def control_lines(results: Results) -> tuple[str, ...]:
    """In words, for each metric with a direction: on which models its controls are worse than the best explainer.

    Its controls are those of :func:`controls_of`; where these are not all of the suite's, they are named.

    The best explainer is that of the best mean. A control is worse where a paired Wilcoxon test says so after Holm's
    correction over every pair of an explainer and a control, since the best is chosen from the same samples.
    """
    real, controls = real_explainers(results), control_explainers(results)
    if not len(similarity(results)) or not real or not controls:
        return ()
    lines = []
    for metric in directed(results):
        good, bad = dict[tuple[str, ...], list[str]](), []
        for model in results.models:
            verdict = None if refused(results, model) else separates(results, model, metric)
            if verdict is None:
                continue
            best, kept, undefined = verdict
            note = f" ({_list(undefined)} undefined)" if undefined else ""
            if kept:
                bad.append(f"{_list(kept)} from {best} on {model}{note}")
            else:  # a control without a value was not shown to be worse than anything
                shown = tuple(name for name in controls_of(results, metric) if name not in undefined)
                good.setdefault(shown, []).append(f"{model} ({best}){note}")
        said = [f"{_worse(shown, controls)} on {', '.join(models)}" for shown, models in good.items()]
        said += [f"does not separate {'; '.join(bad)}"] if bad else []
        if said:
            lines.append(f"{metric}: {'; '.join(said)}.")
    return tuple(lines)


def _worse(shown: Sequence[str], controls: Sequence[str]) -> str:
    """What was found of these controls, by name unless they are all of the suite's."""
    every = len(shown) == len(controls)
    which = "every control" if every else f"{_list(shown)}, of the controls,"
    return f"{which} {'is' if every or len(shown) == 1 else 'are'} significantly worse than the best explainer"


def separates(results: Results, model: str, metric: str) -> tuple[str, list[str], list[str]] | None:
    """(best explainer, controls that are not significantly worse, controls without a value); None without scores."""
    scores, higher = values(results, model, metric), bool(results.plan["metrics"][metric]["higher_is_better"])
    real = [name for name in real_explainers(results) if name in scores]
    asked = controls_of(results, metric)
    controls = [name for name in asked if name in scores]
    undefined = [name for name in asked if name not in scores]
    if not real or not controls:
        return None
    sign = 1 if higher else -1
    best = max(real, key=lambda name: sign * float(np.nanmean(scores[name])))
    pairs = [(name, control) for name in real for control in controls]
    tests = stats.each_paired([(scores[name], scores[control]) for name, control in pairs])
    p = dict(zip(pairs, stats.holm([test.p for test in tests]), strict=True))
    difference = {pair: sign * test.difference for pair, test in zip(pairs, tests, strict=True)}
    kept = [c for c in controls if not (p[best, c] < LEVEL and difference[best, c] > 0)]
    return best, kept, undefined


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
