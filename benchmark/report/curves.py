"""Robust accuracy against the budget, exact from per-sample norms; the area under it; AttackBench's optimality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import stats
from benchmark.registry import digest
from benchmark.report.judgement.choice import judgement_of
from benchmark.reported import EMPTY, Estimate
from benchmark.results.base import Condition, Results
from benchmark.seeds import derive
from benchmark.spec.budget import Budget
from benchmark.spec.suite import AttackProbe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST = "worst"
STEPS = 40
UNLIMITED = 1  # linf budget from which on every input of [0, 1] is allowed
Floats = NDArray[np.float64]


@dataclass
class Distances:
    """The smallest verified norm that breaks each sample, of one attack or of all attacks of a norm.

    Attributes:
        samples: N ids.
        values: (N,) in input units: 0 where the clean prediction is wrong, inf where nothing broke the sample, NaN
            where the clean prediction is not known.
        open: (N,) True where a verdict is missing: the value is then an upper bound.
        groups: name of each sample's group, where known.
    """

    samples: list[str]
    values: Floats
    open: NDArray[np.bool_]
    groups: NDArray[Any] | None = None

    def robust(self, eps: float) -> Estimate:
        """Share of samples right and not broken within eps, with Wilson's interval; blank with bounds where open."""
        held = (self.values > eps).astype(float)
        held[np.isnan(self.values) | (self.open & (held == 1))] = np.nan
        return stats.rate(held, self.groups)

    def reach(self, d_max: float) -> Floats:
        """(N,) norm up to which a sample holds, at most ``d_max``: its mean is the area under the curve."""
        return np.minimum(self.values, d_max)


@dataclass
class Curves:
    """What the report adds.

    Attributes:
        points: a row a model, norm, attack and budget (``curves.csv``).
        areas: a row a model, norm and attack (``curve_area.csv``).
        figures: file stem to a function that draws it.
    """

    points: pd.DataFrame
    areas: pd.DataFrame
    figures: dict[str, Callable[[], Figure]] = field(default_factory=dict)


def curves(results: Results) -> Curves:
    """Curves, areas and pictures of every norm in which the suite attacks with a budget or a minimal norm."""
    points: list[dict[str, Any]] = []
    areas: list[dict[str, Any]] = []
    norms = []
    for norm in judgement_of(results.task).curve_norms:
        probes = [p for p in results.of_norm(norm) if results.threat(p.name).get("kind") in ("fixed", "minimal")]
        if not probes:
            continue
        worst = {model: _worst(results, model, norm, probes) for model in results.models}
        d_max = largest_budget(results, norm, probes, worst)
        if d_max is None:
            continue
        norms.append(norm)
        grid = _grid(results, norm, probes, d_max)
        version = reference(results, norm, probes)
        for model in results.models:
            shown = [probe for probe in probes if not _unlimited(norm, probe)]
            of = {probe.name: distances(results, model, probe) for probe in shown} | {WORST: worst[model]}
            for name, found in of.items():
                at = {"model": model, "norm": norm, "attack": name}
                points += [at | _point(eps, found.robust(eps)) for eps in grid]
                areas.append(at | _area(found, worst[model], d_max) | {"reference": version})
    table = pd.DataFrame(points)
    return Curves(table, pd.DataFrame(areas), {f"curves_{norm}": _Draw(results, table, norm) for norm in norms})


def distances(results: Results, model: str, probe: AttackProbe) -> Distances:
    """Of one probe, over all budgets that it ran at; a fitted attack as the suite means it for this model."""
    threat = results.threat(probe.name)
    fixed = threat.get("kind") == "fixed"
    conditions = [Condition(probe.name, eps) for eps in probe.budgets] if fixed else [Condition(probe.name, None)]
    rows = results.attack_rows(model, probe.name)
    valid = set.intersection(*(results.valid(rows, condition) for condition in conditions))
    samples = results.attacked_samples(model, conditions[0])
    return _distances(results, model, rows, str(threat["norm"]), samples, valid)


def _worst(results: Results, model: str, norm: str, probes: list[AttackProbe]) -> Distances:
    """Of all attacks and controls of a norm together, on the samples that all of them were asked for."""
    conditions = [
        Condition(probe.name, eps, source)
        for probe in probes
        for source in results.planned_sources(model, probe.name)
        for eps in (probe.budgets if results.threat(probe.name).get("kind") == "fixed" else (None,))
    ]
    valid, samples = results.common(model, conditions)
    return _distances(results, model, results.attack_rows(model, norm=norm), norm, samples, valid)


def _distances(
    results: Results, model: str, rows: pd.DataFrame, norm: str, samples: list[str], valid: set[str]
) -> Distances:
    found = pd.Series(np.inf, index=samples, dtype=float)
    won = rows[(rows["status"] == "ok") & rows["success"].fillna(False).astype(bool)] if len(rows) else rows
    if len(won) and f"norm_{norm}" in won:
        # a norm may lie one rounding above the budget that it was verified to keep
        budget = {text: Budget.parse(text).value for text in won["eps"].dropna().unique()}
        size = np.fmin(won[f"norm_{norm}"].to_numpy(dtype=float), won["eps"].map(budget).to_numpy(dtype=float))
        nearest = pd.Series(size).groupby(won["sample"].to_numpy()).min()
        found = nearest.reindex(samples).fillna(np.inf)
    right = results.correct(model).reindex(samples).to_numpy()
    values = np.where(np.isnan(right), nan, np.where(right == 1, found.to_numpy(), 0.0))
    judged = np.array([sample in valid for sample in samples], dtype=bool)
    groups = results.groups(model, samples)
    codes = None if groups is None else np.unique(groups.astype(str), return_inverse=True)[1]
    return Distances(samples, values, ~judged & (values != 0), codes)


def largest_budget(results: Results, norm: str, probes: list[AttackProbe], worst: dict[str, Distances]) -> float | None:
    """Where curves end: the suite's largest budget of the norm, linf ones of 1 and more (no limit at all) left out.

    Without any budget: the largest norm that the best attack needed for any sample; None where it broke none.
    """
    budgets = [eps.value for probe in probes for eps in probe.budgets if norm != "linf" or eps.value < UNLIMITED]
    threat = results.suite.threat
    if threat is not None and threat.norm == norm:
        budgets.append(threat.eps.value)
    if not budgets:
        values = np.concatenate([found.values for found in worst.values()])
        budgets = [float(value) for value in values[np.isfinite(values) & (values > 0)]]
    return max(budgets) if budgets else None


def _unlimited(norm: str, probe: AttackProbe) -> bool:
    """Whether a probe runs without any effective limit only: then it has no curve, but counts among all together."""
    return norm == "linf" and bool(probe.budgets) and min(probe.budgets).value >= UNLIMITED


def _grid(results: Results, norm: str, probes: list[AttackProbe], d_max: float) -> list[float]:
    budgets = {eps.value for probe in probes for eps in probe.budgets}
    threat = results.suite.threat
    if threat is not None and threat.norm == norm:
        budgets.add(threat.eps.value)
    return sorted({*np.linspace(0, d_max, STEPS + 1).tolist(), *(eps for eps in budgets if eps <= d_max)})


def _point(eps: float, found: Estimate) -> dict[str, Any]:
    return {"eps": eps, "robust_acc": found.value, "low": found.low, "high": found.high, "n": found.n}


def _area(found: Distances, worst: Distances, d_max: float) -> dict[str, Any]:
    """Area under the curve up to d_max with its interval, and the optimality against the best of all attacks.

    optimality = 1 - (A - A*) / (clean_acc d_max - A*) (AttackBench, Cina et al. 2025, arXiv:2404.19460): A* is
    the area of the best of all attacks run, per sample, on the same samples. 1: as good as all of them together.
    """
    reach = found.reach(d_max)
    if not len(reach):
        area, optimality = EMPTY, nan
    elif np.isnan(reach).any() or found.open.any():
        unsure = np.isnan(reach) | found.open
        low, high = np.where(unsure, 0, reach).mean(), np.where(np.isnan(reach), d_max, reach).mean()
        area = Estimate(nan, float(low), float(high), len(reach))
        optimality = nan
    else:
        area = stats.bootstrap(reach, "mean", found.groups, derive("bootstrap", "area"), within=(0, d_max))
        best = pd.Series(worst.reach(d_max), index=worst.samples).reindex(found.samples).to_numpy()
        clean = float((found.values > 0).mean()) * d_max
        same = not (np.isnan(best).any() or worst.open.any()) and clean > best.mean()
        optimality = 1 - (area.value - float(best.mean())) / (clean - float(best.mean())) if same else nan
    return {
        "n": len(reach),
        "area": area.value,
        "area_low": area.low,
        "area_high": area.high,
        "optimality": optimality,
        "d_max": d_max,
    }


def reference(results: Results, norm: str, probes: list[AttackProbe]) -> str:
    """Version of the best known ensemble: a short digest over every attack of the norm that makes it.

    Optimality moves when attacks are added or changed; numbers with another reference are not comparable.
    """
    versions = results.plan.get("versions", {})
    made = [
        [p.use, p.params, p.norm, p.kind, [eps.text for eps in p.budgets], versions.get(p.name, "")] for p in probes
    ]
    return digest([norm, sorted(made, key=str)])[:12]


@dataclass
class _Draw:
    """Draws one norm's picture when it is called."""

    results: Results
    points: pd.DataFrame
    norm: str

    def __call__(self) -> Figure:
        from benchmark.drawing.curves import draw_curves

        part = self.points[self.points["norm"] == self.norm]
        probes = {p.name: p for p in self.results.of_norm(self.norm)}
        one_step = {
            name
            for name, probe in probes.items()
            if self.results.threat(name).get("kind") == "fixed" and len(probe.budgets) == 1
        }
        if set(part["attack"]) - one_step - {WORST}:  # one budget is a vertical line: its area says as much
            part = part[~part["attack"].isin(one_step)]
        controls = {p.name for p in self.results.of_norm(self.norm) if self.results.threat(p.name).get("control")}
        threat = self.results.suite.threat
        eps = threat.eps.value if threat is not None and threat.norm == self.norm else None
        return draw_curves(part, self.norm, controls, eps)


def describe(areas: pd.DataFrame) -> list[str]:
    """One sentence a norm: where its curves end, and which reference the optimality is against."""
    return [
        f"{norm}: budgets up to {part['d_max'].iloc[0]:.4g}; reference `{part['reference'].iloc[0]}`."
        for norm, part in areas.groupby("norm", sort=False)
    ]
