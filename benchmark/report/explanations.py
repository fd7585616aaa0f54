"""Explanations: what every explainer scores, which of them are one method, and how they rank.

``[explaining]`` of a suite says on which samples: it is applied here, to records that hold all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from benchmark import stats
from benchmark.report.gaps import gaps
from benchmark.report.soundness import confounded
from benchmark.results.base import Results
from benchmark.seeds import derive

ALIKE = 0.99  # |rho| above which two explainers are one method
LEVEL = 0.05


def explanations(results: Results) -> pd.DataFrame:
    """One row a model and explainer, controls included: mean of each metric with its interval."""
    return pd.DataFrame(_explained(results)[0])


def explanation_remarks(results: Results) -> list[str]:
    """In words, which means have no interval and why, and what the table must not be read as."""
    return [*gaps(_explained(results)[1]), *confounded([results.suite], len(results.models))]


@lru_cache(maxsize=4)
def _explained(results: Results) -> tuple[list[dict[str, Any]], list[tuple[str, str, str]]]:
    """The rows, and (model, column, why) of each mean without an interval."""
    rows, by_cell, whys = [], scores_of(results), list[tuple[str, str, str]]()
    for model in results.models:
        for probe in results.suite.explainers:
            planned = results.planned(model, "explain", probe.name)
            control = results.plan["explainers"][probe.name]["control"]
            row: dict[str, Any] = {"model": model, "explainer": probe.name, "control": bool(control), "n": planned}
            if results.suite.explaining is not None:
                row["not_scored"] = refused(results, model)
            for metric in results.suite.metrics:
                part = by_cell.get((model, probe.name, metric.name))
                values = np.zeros(0) if part is None else part["value"].to_numpy(dtype=float)
                groups = None if part is None else results.groups(model, part["sample"])
                name = metric.name.replace("-", "_")
                estimate = stats.bootstrap(values, "mean", groups, derive("bootstrap", metric.name))
                row[name], row[f"{name}_low"], row[f"{name}_high"] = estimate.value, estimate.low, estimate.high
                row[f"nan_{name}"] = estimate.missing
                if estimate.why:
                    whys.append((f"{probe.name} on {model}", name, estimate.why))
                if results.suite.explaining is not None:
                    row[f"n_{name}"] = estimate.n
            row |= _explain_counts(results, model, probe.name)
            rows.append(row)
    return rows, _whole(whys, len(results.suite.metrics))


def _whole(whys: list[tuple[str, str, str]], metrics: int) -> list[tuple[str, str, str]]:
    """Of an explainer that lacks every interval for one reason, one entry."""
    counts = Counter((who, why) for who, _, why in whys)
    kept = [
        (who, column if counts[who, why] < metrics or metrics == 1 else "every mean", why) for who, column, why in whys
    ]
    return list(dict.fromkeys(kept))


def _explain_counts(results: Results, model: str, probe: str) -> dict[str, int]:
    cells = results.cells[(results.cells["model"] == model) & (results.cells["probe"] == probe)]["hash"]
    status = [results.heads[cell]["status"] if cell in results.heads else "missing" for cell in cells]
    return {name: status.count(name) for name in ("failed", "skipped", "missing")}


@lru_cache(maxsize=4)
def score_rows(results: Results) -> pd.DataFrame:
    """Rows of score cells, those alone that the suite's ``[explaining]`` lets count."""
    scores: pd.DataFrame = results.rows[results.rows["kind"] == "score"]
    rule = results.suite.explaining
    if rule is None or not len(scores):
        return scores
    keep = np.zeros(len(scores), dtype=bool)
    for model in results.models:
        own = (scores["model"] == model).to_numpy()
        if not refused(results, model):
            right = results.correct(model)
            keep |= own & (scores["sample"].isin(right.index[right == 1]).to_numpy() | (not rule.correct_only))
    kept: pd.DataFrame = scores[keep]
    return kept


@lru_cache(maxsize=4)
def scores_of(results: Results) -> dict[tuple[str, str, str], pd.DataFrame]:
    """:func:`score_rows` of each (model, explainer, metric) that has some."""
    scores = score_rows(results)
    parts = scores.groupby(["model", "probe", "metric"], sort=False) if len(scores) else ()
    return {(str(model), str(probe), str(metric)): part for (model, probe, metric), part in parts}


@lru_cache(maxsize=64)
def refused(results: Results, model: str) -> str:
    """Why a model's explanations are not scored, such as ``accuracy 0.53 < 0.8``; "" where they are."""
    rule = results.suite.explaining
    if rule is None or not (rule.min_accuracy or rule.correct_only):
        return ""
    if "correct" not in results.clean(model):
        return "no clean predictions"
    accuracy = float(np.nanmean(results.correct(model)))
    return f"accuracy {accuracy:.2f} < {rule.min_accuracy:g}" if accuracy < rule.min_accuracy else ""


def scoring_lines(results: Results) -> list[str]:
    """In words, what the suite's ``[explaining]`` leaves out."""
    rule = results.suite.explaining
    if rule is None:
        return []
    lines = ["Only samples whose clean prediction is right count."] if rule.correct_only else []
    reasons = {model: refused(results, model) for model in results.models}
    return lines + [f"{model}: not scored: {reason}." for model, reason in reasons.items() if reason]


# -- near-identical methods ------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def similarity(results: Results) -> pd.DataFrame:
    """One row a model and pair of explainers: mean rank correlation of their attributions, its extremes, samples.

    Empty where the plan has no such cells (a suite with one explainer, or one that an older version ran).
    """
    rows = results.rows[results.rows["kind"] == "similarity"]
    found = []
    for (model, pair), part in rows.groupby(["model", "sample"], sort=False) if len(rows) else ():
        n = part["n"].to_numpy(dtype=float)
        values, total = part["value"].to_numpy(dtype=float), int(n.sum())
        a, _, b = str(pair).partition("|")
        found.append(
            {
                "model": model,
                "a": a,
                "b": b,
                "rho": float((values[n > 0] * n[n > 0]).sum() / total) if total else nan,
                "rho_lowest": float(part["lowest"].min()),
                "rho_highest": float(part["highest"].max()),
                "n": total,
            }
        )
    return pd.DataFrame(found)


def groups(results: Results, model: str) -> list[list[str]]:
    """The explainers of a model that are no controls, those that are one method together, in the suite's order.

    An explainer joins the first group with all of whose members its |rho| is above 0.99.
    """
    table, found = similarity(results), list[list[str]]()
    own = table[(table["model"] == model) & (table["rho"].abs() > ALIKE)] if len(table) else table
    alike = {frozenset(pair) for pair in zip(own["a"], own["b"], strict=True)} if len(own) else set()
    for name in real_explainers(results):
        home = next((group for group in found if all(frozenset((name, other)) in alike for other in group)), None)
        if home is None:
            found.append([name])
        else:
            home.append(name)
    return found


def real_explainers(results: Results) -> list[str]:
    """Names of the suite's explainers that are no controls."""
    return [p.name for p in results.suite.explainers if not results.plan["explainers"][p.name]["control"]]


def control_explainers(results: Results) -> list[str]:
    """Names of the suite's controls."""
    return [p.name for p in results.suite.explainers if results.plan["explainers"][p.name]["control"]]


def one_method(results: Results) -> list[str]:
    """In words, which explainers are one method; the models on which they are so share a line."""
    table = similarity(results)
    if not len(table):
        return []
    said: dict[tuple[str, ...], list[str]] = {}
    for model in results.models:
        for group in groups(results, model):
            if len(group) > 1:
                own = table[(table["model"] == model) & table["a"].isin(group) & table["b"].isin(group)]
                said.setdefault(tuple(group), []).append(f"rho = {_near_one(own['rho'])} on {model}")
    return [f"{_and(group)} are one method here: {', '.join(where)}." for group, where in said.items()]


def _near_one(values: pd.Series) -> str:
    """The value that is farthest from 1 (or -1), with as many digits as it takes to tell it from there."""
    value = float(values.iloc[int(values.abs().argmin())])
    texts = [f"{value:.{digits}f}" for digits in range(4, 11)]
    return next((text for text in texts if abs(float(text)) != 1), f"{value:.0f}")


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
