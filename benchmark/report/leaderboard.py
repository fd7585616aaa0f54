"""The leaderboard: a row a model, from plan and records alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf, isnan, nan
from typing import Any

import numpy as np
import pandas as pd

from benchmark.registry import digest
from benchmark.report import stats
from benchmark.report.flags import flag_names
from benchmark.report.probes import own_columns
from benchmark.report.results import Condition, Results
from benchmark.report.scores import (
    gates,
    headline_name,
    score_columns,
    score_headline,
    score_pairs,
    score_verdicts,
    seed_spreads,
)
from benchmark.reported import Estimate
from benchmark.seeds import derive
from benchmark.spec.suite import SuiteSpec
from benchmark.tasks.base import Task

COUNTS = ("cells", "failed", "skipped", "missing", "nan", "out_of_budget")


class Row(dict[str, Any]):
    """A model's columns; ``whys`` says of columns why they have no interval, or no number."""

    def __init__(self, **columns: Any) -> None:
        super().__init__(columns)
        self.whys: dict[str, str] = {}

    def put(self, name: str, estimate: Estimate, whole: int | None = None) -> None:
        """A number with its bounds; with its own denominator where that is not ``whole``."""
        self[name], self[f"{name}_low"], self[f"{name}_high"] = estimate.value, estimate.low, estimate.high
        if whole is not None and estimate.n + estimate.missing * isnan(estimate.low) != whole:
            self[f"n_{name}"] = estimate.n
        if estimate.why:
            self.whys[name] = estimate.why


@lru_cache(maxsize=4)
def rows_of(results: Results) -> tuple[Row, ...]:
    """A row a model, in the plan's order."""
    return tuple(_row(results, model) for model in results.models)


def leaderboard(results: Results) -> pd.DataFrame:
    """One row a model, best first: rates and norms with 95 % intervals, rank, counts, digests."""
    table = pd.DataFrame([dict(row) for row in rows_of(results)])
    ranked = stats.ranks_of(*pairs(results))
    names = flag_names(results)
    table.insert(1, "rank", pd.Series([ranked.get(model) for model in table["model"]], dtype="Int64"))
    table.insert(3, "flags", [" ".join(names.get(model, ())) for model in table["model"]])
    headline = headline_column(results)
    if not results.task.verdicts:
        spread = seed_spreads(results, dict(zip(table["model"], table[headline].astype(float), strict=True)))
        table.insert(4, "seed_spread", [spread.get(model, nan) for model in table["model"]])
    table = table.assign(_unranked=table["rank"].isna()).sort_values(
        ["_unranked", "rank", headline, "model"], ascending=[True, True, not results.task.verdicts, True], kind="stable"
    )
    return table.drop(columns="_unranked").reset_index(drop=True)


def headline_column(results: Results) -> str:
    """Name of the column that ranks: the worst case in the headline threat model, else the clean one."""
    return headline_of(results.suite, results.task, results.plan["dataset"]["classes"])


def headline_of(suite: SuiteSpec, task: Task, classes: Sequence[str]) -> str:
    """:func:`headline_column` of a suite and its task."""
    first = task.columns(classes)[0].name
    if not task.verdicts:
        return score_headline(suite, task) or first
    return f"{task.robust_name}_worst" if suite.threat is not None and suite.attacks else first


def headline_outcomes(results: Results, model: str) -> pd.Series:
    """Per-sample outcomes behind the headline column."""
    threat = results.suite.threat
    if threat is None or not results.suite.attacks:
        return results.correct(model)
    return results.worst(model, threat.norm, threat.eps)


@lru_cache(maxsize=4)
def pairs(results: Results) -> tuple[list[str], list[stats.Pair]]:
    """Models that have a rank, and every pair of them on the headline column, corrected by Holm."""
    if not results.task.verdicts:
        return score_pairs(results)
    outcomes = {model: headline_outcomes(results, model) for model in results.models}
    whole = {model: values.to_numpy() for model, values in outcomes.items() if len(values) and not values.isna().any()}
    samples = {tuple(outcomes[model].index) for model in whole}
    if len(samples) > 1:  # a plan gives all models the same samples; records of another plan never come here
        raise AssertionError("models were judged on different samples")
    return list(whole), stats.pairs_of_rates(whole)


def _row(results: Results, model: str) -> Row:
    row = Row(model=model, n=results.planned(model), **results.facts(model))
    if results.task.verdicts:
        _judged(results, model, row)
    else:
        _scored(results, model, row)
    for name, estimate in own_columns(results, model):
        row.put(name, estimate)
        row[f"n_{name}"] = estimate.n
    row |= results.counts(model)
    row["entry_digest"] = results.plan["entries"][model]
    row["dataset_digest"] = results.plan["dataset"]["digest"]
    cells = results.cells[results.cells["model"] == model]["hash"]
    row["records_digest"] = digest([[cell, cell in results.heads] for cell in cells])
    return row


def _scored(results: Results, model: str, row: Row) -> None:
    """Columns of a task that judges by numbers: the headline first, then what is measured clean, then the rest."""
    gate, found, first = gates(results).get(model), score_columns(results, model), headline_name(results)
    row["gate"] = "" if gate is None else "passed" if gate.passed else "failed"
    if first in found:
        row.put(first, found[first], row["n"])
    _clean_columns(results, model, row)
    for name, estimate in found.items():
        row.put(name, estimate, row["n"])


def _judged(results: Results, model: str, row: Row) -> None:
    """Columns of a task with verdicts: clean, robust and attack success rates, queries, norms."""
    correct = results.correct(model)
    _clean_columns(results, model, row)
    robust, suite = results.task.robust_name, results.suite
    if suite.threat is not None and suite.attacks:
        worst = results.rate(model, results.worst(model, suite.threat.norm, suite.threat.eps))
        row.put(f"{robust}_worst", worst, row["n"])
    outcomes = {condition: results.outcome(model, condition) for condition in results.conditions()}
    for condition, outcome in outcomes.items():
        if condition.eps is not None or results.threat(condition.probe).get("kind") != "minimal":
            row.put(f"{robust}_{condition.suffix}", results.rate(model, outcome), row["n"])
        if len(outcome) != row["n"]:
            row[f"n_{condition.probe}"] = len(outcome)
    row["n_correct"] = int(np.nansum(correct.to_numpy()))
    asked = int((correct != 0).sum())  # unknown on clean input: missing here too
    for condition, outcome in outcomes.items():
        attacked = outcome[correct.reindex(outcome.index) != 0]
        row.put(f"asr_{condition.suffix}", results.rate(model, 1 - attacked), asked)
    _rounded(results, model, correct, row)
    _queries(results, model, correct, row)
    for condition in outcomes:
        if condition.eps is None and results.threat(condition.probe).get("kind") == "minimal":
            _norms(results, model, condition, row)


def _clean_columns(results: Results, model: str, row: Row) -> None:
    clean, planned = results.clean(model), results.samples(model)
    for column in results.task.columns(results.plan["dataset"]["classes"]):
        if not len(clean):
            bounds = (0.0, 1.0) if column.statistic == "rate" else (nan, nan)
            row.put(column.name, Estimate(nan, *bounds, 0, len(planned)))
            continue
        values = pd.Series(np.asarray(column.values(clean), dtype=float), index=clean.index)
        if column.statistic == "rate":
            estimate = results.rate_of_known(model, values)
        else:
            groups = results.groups(model, clean.index)
            estimate = stats.bootstrap(values.to_numpy(), column.statistic, groups, derive("bootstrap", column.name))
        row.put(column.name, estimate)


def _norms(results: Results, model: str, condition: Condition, row: Row) -> None:
    norm = results.threat(condition.probe)["norm"]
    rows = results.attack_rows(model, condition.probe)
    won = rows[(rows["status"] == "ok") & rows["success"].fillna(False).astype(bool)] if len(rows) else rows
    values = won[f"norm_{norm}"].to_numpy(dtype=float) if len(won) else np.zeros(0)
    groups = results.groups(model, won["sample"]) if len(won) else None
    name = f"median_{norm}_{condition.probe}"
    row.put(name, stats.bootstrap(values, "median", groups, derive("bootstrap", condition.probe), successes=True))
    row[f"n_{name}"] = len(values)


def _rounded(results: Results, model: str, correct: pd.Series, row: Row) -> None:
    """Success rates after rounding the perturbed inputs to 8 bits; older records and other tasks have none."""
    if "success_8bit" not in results.rows:
        return
    asked = int((correct != 0).sum())
    for condition in results.conditions():
        outcome = results.outcome(model, condition, "success_8bit")
        attacked = outcome[correct.reindex(outcome.index) != 0]
        row.put(f"asr_8bit_{condition.suffix}", results.rate(model, 1 - attacked), asked)


def _queries(results: Results, model: str, correct: pd.Series, row: Row) -> None:
    """Mean forwards a sample of the attacks that only query the model, over the samples right before the attack."""
    for condition in results.conditions():
        threat = results.threat(condition.probe)
        run = condition.eps is None or threat.get("kind") == "fixed"
        if not run or threat.get("knowledge") not in ("score", "decision"):
            continue
        rows = results.attack_rows(model, condition.probe)
        rows = rows[rows["eps"].isna() if condition.eps is None else rows["eps"] == str(condition.eps)]
        rows = rows[(correct.reindex(rows["sample"]) == 1).to_numpy() & (rows["status"] == "ok")] if len(rows) else rows
        counted = len(rows) > 0 and "forwards" in rows
        spent = rows.groupby("sample", sort=False)["forwards"].sum() if counted else pd.Series(dtype=float)
        groups = results.groups(model, spent.index) if len(spent) else None
        name, seed = f"queries_{condition.suffix}", derive("bootstrap", "queries", condition.probe)
        values = spent.to_numpy(dtype=float)
        row.put(name, stats.bootstrap(values, "mean", groups, seed, within=(0, inf)))
        row[f"n_{name}"] = len(values)


def verified_words(results: Results) -> list[str]:
    """How many returned inputs the verifier judged; empty where there are none."""
    judged, outside, lost = results.verified()
    return [f"{judged:,} returned inputs verified: {outside} out of budget, {lost} not finite."] if judged else []


def pair_words(results: Results) -> list[str]:
    """A line a pair of models: what the data decide; and which models have no rank."""
    if not results.task.verdicts:
        return score_verdicts(results)
    whole, found = pairs(results)
    lines, column = [], headline_column(results)
    for pair in found:
        if pair.better is not None:
            worse = pair.b if pair.better == pair.a else pair.a
            lines.append(
                f"{pair.better} is better than {worse} on {column}: {abs(pair.difference):.3f}"
                f" (p = {pair.p:.2g} after Holm)."
            )
        elif pair.alike:
            lines.append(f"{pair.a} and {pair.b} agree on every one of {pair.n} samples.")
        else:
            lines.append(
                f"The data do not decide between {pair.a} and {pair.b} on {column} (p = {pair.p:.2g} after Holm)."
            )
    for model in results.models:
        if model not in whole:
            lines.append(f"{model} is not ranked: some samples have no valid verdict.")
    return lines
