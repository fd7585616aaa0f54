"""Columns, ranks and words of tasks with verdicts: a sample is right, and right it stays or is broken."""

from __future__ import annotations

from functools import lru_cache
from math import inf

import numpy as np
import pandas as pd

from benchmark import stats
from benchmark.results.base import Condition, Results, of_budget
from benchmark.results.heads import COUNTED, NORMS, QUERIES, ROBUST, ROUNDED, SUCCESS, Head, Row, put_clean
from benchmark.seeds import derive
from benchmark.spec.budget import at_budget


def at_condition(condition: Condition) -> str:
    """``pgd · 0.03137``."""
    return at_budget(condition.probe, condition.eps, " · ")


def robust_head(results: Results, condition: Condition | None = None) -> Head:
    """Of the robust rate in a condition; None: in the worst case of the headline threat model."""
    robust, threat = results.task.robust_name, results.suite.threat
    words = robust.replace("_acc", " accuracy").replace("_", " ")
    if condition is not None:
        at = at_condition(condition)
        return Head(f"{robust}_{condition.suffix}", True, "share", ROBUST, words, at, condition.probe)
    at = "" if threat is None else f"worst case, {threat.norm} {threat.eps.printed}"
    return Head(f"{robust}_worst", True, "share", ROBUST, words, at)


def success_head(condition: Condition, *, rounded: bool = False) -> Head:
    """Of the attack success rate in a condition."""
    kind, words, group = (
        ("asr_8bit", "attack success, 8 bits", ROUNDED) if rounded else ("asr", "attack success", SUCCESS)
    )
    return Head(f"{kind}_{condition.suffix}", False, "share", group, words, at_condition(condition), condition.probe)


def queries_head(condition: Condition) -> Head:
    """Of the mean queries in a condition."""
    name, at = f"queries_{condition.suffix}", at_condition(condition)
    return Head(name, True, "forwards", QUERIES, "queries", at, condition.probe)


def median_head(results: Results, probe: str) -> Head:
    """Of the median norm of a minimal-norm attack."""
    norm = results.threat(probe).get("norm")
    return Head(f"median_{norm}_{probe}", True, "input units", NORMS, f"median {norm}", probe, probe)


def headline_outcomes(results: Results, model: str) -> pd.Series:
    """Per-sample outcomes behind the headline column."""
    threat = results.suite.threat
    if threat is None or not results.suite.attacks:
        return results.correct(model)
    return results.worst(model, threat.norm, threat.eps)


@lru_cache(maxsize=4)
def rate_pairs(results: Results) -> tuple[list[str], list[stats.Pair]]:
    """Models that have a rank, and every pair of them on the headline column, corrected by Holm."""
    outcomes = {model: headline_outcomes(results, model) for model in results.models}
    whole = {model: values.to_numpy() for model, values in outcomes.items() if len(values) and not values.isna().any()}
    samples = {tuple(outcomes[model].index) for model in whole}
    if len(samples) > 1:  # a plan gives all models the same samples; records of another plan never come here
        raise AssertionError("models were judged on different samples")
    return list(whole), stats.pairs_of_rates(whole)


def put_rates(results: Results, model: str, row: Row) -> None:
    """Columns of a task with verdicts: clean, robust and attack success rates, queries, norms."""
    correct = results.correct(model)
    put_clean(results, model, row)
    suite = results.suite
    if suite.threat is not None and suite.attacks:
        worst = results.rate(model, results.worst(model, suite.threat.norm, suite.threat.eps))
        row.put(robust_head(results), worst, row["n"])
    outcomes = {condition: results.outcome(model, condition) for condition in results.conditions()}
    for condition, outcome in outcomes.items():
        if condition.eps is not None or results.threat(condition.probe).get("kind") != "minimal":
            row.put(robust_head(results, condition), results.rate(model, outcome), row["n"])
        if len(outcome) != row["n"]:
            row.count(f"n_{condition.probe}", len(outcome))
    row.count("n_correct", int(np.nansum(correct.to_numpy())), COUNTED)
    asked = int((correct != 0).sum())  # unknown on clean input: missing here too
    for condition, outcome in outcomes.items():
        attacked = outcome[correct.reindex(outcome.index) != 0]
        row.put(success_head(condition), results.rate(model, 1 - attacked), asked)
    _rounded(results, model, correct, row)
    _queries(results, model, correct, row)
    for condition in outcomes:
        if condition.eps is None and results.threat(condition.probe).get("kind") == "minimal":
            _norms(results, model, condition, row)


def _norms(results: Results, model: str, condition: Condition, row: Row) -> None:
    norm = results.threat(condition.probe)["norm"]
    rows = results.attack_rows(model, condition.probe)
    won = rows[(rows["status"] == "ok") & rows["success"].fillna(False).astype(bool)] if len(rows) else rows
    values = won[f"norm_{norm}"].to_numpy(dtype=float) if len(won) else np.zeros(0)
    groups = results.groups(model, won["sample"]) if len(won) else None
    head, seed = median_head(results, condition.probe), derive("bootstrap", condition.probe)
    row.put(head, stats.bootstrap(values, "median", groups, seed, successes=True))
    row.count(f"n_{head.name}", len(values))


def _rounded(results: Results, model: str, correct: pd.Series, row: Row) -> None:
    """Success rates after rounding the perturbed inputs to 8 bits; older records and other tasks have none."""
    if "success_8bit" not in results.rows:
        return
    asked = int((correct != 0).sum())
    for condition in results.conditions():
        outcome = results.outcome(model, condition, "success_8bit")
        attacked = outcome[correct.reindex(outcome.index) != 0]
        row.put(success_head(condition, rounded=True), results.rate(model, 1 - attacked), asked)


def _queries(results: Results, model: str, correct: pd.Series, row: Row) -> None:
    """Mean forwards a sample of the attacks that only query the model, over the samples right before the attack."""
    for condition in results.conditions():
        threat = results.threat(condition.probe)
        run = condition.eps is None or threat.get("kind") == "fixed"
        if not run or threat.get("knowledge") not in ("score", "decision"):
            continue
        rows = results.attack_rows(model, condition.probe)
        rows = rows[of_budget(rows, condition.eps)]
        rows = rows[(correct.reindex(rows["sample"]) == 1).to_numpy() & (rows["status"] == "ok")] if len(rows) else rows
        counted = len(rows) > 0 and "forwards" in rows
        spent = rows.groupby("sample", sort=False)["forwards"].sum() if counted else pd.Series(dtype=float)
        groups = results.groups(model, spent.index) if len(spent) else None
        head, seed = queries_head(condition), derive("bootstrap", "queries", condition.probe)
        values = spent.to_numpy(dtype=float)
        row.put(head, stats.bootstrap(values, "mean", groups, seed, within=(0, inf)))
        row.count(f"n_{head.name}", len(values))


def rate_pair_words(results: Results, column: str) -> list[str]:
    """A line a pair of models: what the data decide; and which models have no rank."""
    whole, found = rate_pairs(results)
    lines = []
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
