"""Leaderboards of tasks that judge by numbers: scores at each budget, ranks, the accuracy gate, verdicts in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isnan, nan
from typing import Any

import numpy as np
import pandas as pd

from benchmark import stats
from benchmark.intervals import ALIKE, FEW
from benchmark.reported import Estimate
from benchmark.results.base import Condition, Results, of_budget
from benchmark.results.heads import BUDGETS, Head, Row, put_clean
from benchmark.seeds import derive
from benchmark.spec.budget import Budget, at_budget
from benchmark.spec.suite import AttackProbe, SuiteSpec
from benchmark.tasks.base import Score, Task

GAIN = 0.02  # share of the error that late steps may bring before more steps are asked for


def score_budgets(results: Results) -> list[Budget]:
    """Budgets of the headline threat model at which an attack runs, smallest first."""
    return sorted({eps for probe in headline_probes(results, control=False) for eps in probe.budgets})


def score_name(score: Score, eps: Budget) -> str:
    """CSV column of a score at a budget."""
    return at_budget(score.name, eps)


def headline_name(results: Results) -> str:
    """CSV column that ranks; empty where the suite has no headline threat model."""
    return score_headline(results.suite, results.task)


def score_headline(suite: SuiteSpec, task: Task) -> str:
    """:func:`headline_name` of a suite and its task."""
    threat = suite.threat
    return at_budget(task.headline, threat.eps) if threat is not None and suite.attacks else ""


def headline_values(results: Results, model: str) -> pd.Series:
    """Per-sample values behind the headline column; empty without one."""
    threat = results.suite.threat
    for score in results.task.scores():
        if threat is not None and score.name == results.task.headline:
            return scored(results, model, score, threat.eps)
    return pd.Series(dtype=float)


def headline_probes(results: Results, *, control: bool) -> list[AttackProbe]:
    """Probes in the headline threat model: its attacks, or its controls."""
    threat = results.suite.threat
    same = results.of_norm(threat.norm) if threat is not None else []
    untargeted = [probe for probe in same if not results.threat(probe.name).get("targeted")]
    return [probe for probe in untargeted if bool(results.threat(probe.name).get("control")) == control]


@lru_cache(maxsize=1024)
def scored(results: Results, model: str, score: Score, eps: Budget) -> pd.Series:
    """A score of each planned sample at a budget: NaN where an attack gave it no valid verdict.

    Of attacks the worst (before any average), of controls the mean over their rows.
    """
    probes = headline_probes(results, control=score.of == "control")
    values: dict[str, list[float]] = {}
    valid: set[str] | None = None
    samples: list[str] = []
    for probe in probes:
        rows = results.attack_rows(model, probe.name)
        for budget in probe.budgets:
            if budget == eps or (score.within and budget < eps):
                _collect(rows, budget, score.column, values)
        if eps in probe.budgets:
            condition = Condition(probe.name, eps)
            found = results.valid(rows, condition)
            valid = found if valid is None else valid & found
            planned = results.attacked_samples(model, condition)
            samples = planned if not samples or len(planned) < len(samples) else samples
    worst = min if score.higher_is_better else max
    combine = np.mean if score.of == "control" else worst
    known = {name: float(combine(found)) for name, found in values.items() if valid is not None and name in valid}
    if score.over:
        against = _against(results, model, score.over, eps)
        known = {name: value / against[name] for name, value in known.items() if name in against}
    return pd.Series([known.get(name, nan) for name in samples], index=samples, dtype=float)


def _against(results: Results, model: str, column: str, eps: Budget) -> dict[str, float]:
    """Mean of a column over all rows of each sample at a budget, of attacks and controls alike."""
    values: dict[str, list[float]] = {}
    for probe in [*headline_probes(results, control=False), *headline_probes(results, control=True)]:
        _collect(results.attack_rows(model, probe.name), eps, column, values)
    return {name: float(np.mean(found)) for name, found in values.items()}


def _collect(rows: pd.DataFrame, eps: Budget, column: str, into: dict[str, list[float]]) -> None:
    if not len(rows) or column not in rows:
        return
    at = rows[of_budget(rows, eps) & (rows["status"] == "ok")]
    for sample, value in zip(at["sample"], at[column].astype(float), strict=True):
        if not isnan(value):
            into.setdefault(sample, []).append(value)


def mean(results: Results, model: str, name: str, values: pd.Series) -> Estimate:
    """Mean with its bootstrap interval; blank where any sample lacks a verdict."""
    numbers = values.to_numpy(dtype=float)
    missing = int(np.isnan(numbers).sum())
    if missing or not len(numbers):
        return Estimate(nan, nan, nan, len(numbers) - missing, missing)
    return stats.bootstrap(numbers, "mean", results.groups(model, values.index), derive("bootstrap", name))


def score_head(score: Score, eps: Budget) -> Head:
    """Of a score at a budget."""
    words, at = score.name.replace("_", " "), f"at {eps.printed}"
    return Head(score_name(score, eps), score.higher_is_better, "", BUDGETS, words, at)


def score_heads(results: Results) -> list[Head]:
    """Of every score, the headline's budget first."""
    budgets, threat = score_budgets(results), results.suite.threat
    if threat is not None:
        budgets = sorted(budgets, key=lambda eps: (eps != threat.eps, eps))
    return [score_head(score, eps) for score in results.task.scores() for eps in budgets]


def put_scores(results: Results, model: str, row: Row) -> None:
    """The headline first, then what is measured clean, then the rest."""
    gate, found, first = gates(results).get(model), score_columns(results, model), headline_name(results)
    heads = {head.name: head for head in score_heads(results)}
    row["gate"] = "" if gate is None else "passed" if gate.passed else "failed"
    if first in found:
        row.put(heads[first], found[first], row["n"])
    put_clean(results, model, row)
    for name, estimate in found.items():
        row.put(heads[name], estimate, row["n"])


def score_columns(results: Results, model: str) -> dict[str, Estimate]:
    """Every score of a model, by CSV column: the headline's budget first."""
    budgets = score_budgets(results)
    threat = results.suite.threat
    if threat is not None:
        budgets = sorted(budgets, key=lambda eps: (eps != threat.eps, eps))
    found = {}
    for score in results.task.scores():
        for eps in budgets:
            name = score_name(score, eps)
            found[name] = mean(results, model, name, scored(results, model, score, eps))
    return found


# -- the gate ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gate:
    """Whether a row's clean error is no worse than the reference's: mean paired difference with its interval."""

    passed: bool
    difference: Estimate
    own: float
    theirs: float


@lru_cache(maxsize=4)
def gates(results: Results) -> dict[str, Gate]:
    """The gate of every model; empty where the task or the results have no reference.

    One-sided: a row fails where the whole interval of the paired difference lies on the worse side. Where all
    differences are the same there is no interval, and their common sign decides, of as many as an interval needs.
    """
    entry, column = results.task.reference()
    if entry not in results.models or not len(results.clean(entry)):
        return {}
    better_high = next((c.higher_is_better for c in results.task.columns(()) if c.name == column), True)
    theirs, found = results.clean(entry)[column].astype(float), {}
    for model in results.models:
        clean = results.clean(model)
        if not len(clean):
            continue
        own = clean[column].astype(float)
        pairs = pd.concat([own, theirs], axis=1, join="inner").dropna()
        both = pairs.to_numpy()
        worse = (both[:, 1] - both[:, 0]) if better_high else (both[:, 0] - both[:, 1])
        groups = results.groups(model, pairs.index)
        estimate = stats.bootstrap(worse, "mean", groups, derive("gate", column))
        alike = estimate.why == ALIKE and estimate.n >= FEW
        passed = not (estimate.value if alike else estimate.low) > 0
        found[model] = Gate(passed, estimate, float(both[:, 0].mean()), float(both[:, 1].mean()))
    return found


# -- ranks and words ---------------------------------------------------------------------------------------


def score_pairs(results: Results) -> tuple[list[str], list[stats.Pair]]:
    """Models that can have a rank, and every pair of them on the headline (paired Wilcoxon, Holm over all pairs).

    A model without a value for some sample has no rank; nor has one that fails the gate: its numbers can prove that it
    is unstable, never that it is robust.
    """
    barred = {model for model, gate in gates(results).items() if not gate.passed}
    values = {model: headline_values(results, model) for model in results.models}
    whole = {m: v.to_numpy() for m, v in values.items() if len(v) and not v.isna().any() and m not in barred}
    return list(whole), stats.pairs_of_values(whole, higher_is_better=False)


def score_verdicts(results: Results) -> list[str]:
    """Each model against the reference on the headline, in words."""
    name, (entry, _) = headline_name(results), results.task.reference()
    values = {model: headline_values(results, model) for model in results.models}
    whole = {model: v for model, v in values.items() if len(v) and not v.isna().any()}
    unranked = [model for model in values if model not in whole] if name else []
    are = "is" if len(unranked) == 1 else "are"
    lines = [f"{', '.join(unranked)} {are} not ranked: samples lack a valid verdict."] if unranked else []
    if entry in whole:
        others = [model for model in whole if model != entry]
        tests = [
            stats.paired_values(whole[m].to_numpy(), whole[entry].reindex(whole[m].index).to_numpy()) for m in others
        ]
        adjusted = stats.holm([test.p for test in tests])
        lines = [_words(results, m, entry, name, t, p) for m, t, p in zip(others, tests, adjusted, strict=True)] + lines
    return lines


def _words(results: Results, model: str, entry: str, name: str, test: stats.PairedValues, p: float) -> str:
    gate = gates(results).get(model)
    numbers = f"{test.a:.2f} against {test.b:.2f} of {entry}, p = {p:.2g} after Holm"
    if p < 0.05 and test.difference > 0:
        return f"{model} is less stable than {entry}: {name} {numbers}."
    if gate is not None and not gate.passed:
        return f"{model}: no claim, since it fails the accuracy gate ({name} {numbers})."
    if test.p == 1 and test.difference == 0:
        return f"{model} and {entry} have the same {name} on every one of {test.n} samples: {test.a:.2f}."
    if p < 0.05:
        return f"{model} is more stable than {entry}: {name} {numbers}."
    return f"The data do not decide between {model} and {entry}: {name} {numbers}."


def score_flags(results: Results) -> list[tuple[str, str, str]]:
    """(model, flag, words): what makes a claim about a model doubtful."""
    found = []
    entry, column = results.task.reference()
    for model, gate in gates(results).items():
        if not gate.passed:
            words = (
                f"clean {column} {gate.own:.3g}, worse than {entry}'s {gate.theirs:.3g} (paired difference"
                f" {gate.difference.value:.3g} [{gate.difference.low:.3g}, {gate.difference.high:.3g}]): such a row can"
                " show instability, never robustness"
            )
            found.append((model, "accuracy-gate", words))
    for model in results.models:
        gain = _late_gain(results, model)
        if gain > GAIN:
            words = (
                f"the last quarter of the attack's steps still brought {gain:.1%} of the squared error: run more steps"
            )
            found.append((model, "more-steps-gain", words))
    return sorted(found, key=lambda each: results.models.index(each[0]))


def _late_gain(results: Results, model: str) -> float:
    """Largest median late gain of the headline's attacks at its budget; 0 where none is recorded."""
    threat, largest = results.suite.threat, 0.0
    for probe in headline_probes(results, control=False):
        rows = results.attack_rows(model, probe.name)
        if threat is not None and len(rows) and "param_gain" in rows:
            gain: Any = rows.loc[of_budget(rows, threat.eps), "param_gain"].astype(float).median()
            largest = max(largest, 0.0 if isnan(gain) else float(gain))
    return largest


def seed_spreads(results: Results, values: dict[str, float]) -> dict[str, float]:
    """Largest minus smallest headline among the entries that are one network trained from several seeds."""
    facts = results.plan.get("facts", {})
    families: dict[str, list[str]] = {}
    for model in results.models:
        families.setdefault(str(facts.get(model, {}).get("seed_of", model)), []).append(model)
    found: dict[str, float] = {}
    for members in families.values():
        known = [values[m] for m in members if not isnan(values.get(m, nan))]
        if len(known) > 1:
            found |= dict.fromkeys(members, max(known) - min(known))
    return found
