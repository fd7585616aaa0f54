"""The table of verdicts, from measured scores: one row a metric, versioned, shown by reports and docs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from benchmark.meta.bench import REAL
from benchmark.meta.consistency import meta_consistency
from benchmark.meta.measure import TRUTH, variants
from benchmark.meta.settings import CONTROLS
from benchmark.meta.verdicts import HOLDS, MUST_FAIL, TAU, label
from benchmark.metrics.base import Metric


def make_table(measured: dict[str, pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    """One row a metric (and variant): verdict, controls on each half, tau over fills, agreement, consistency."""
    rows = []
    for metric in variants(names):
        name, scores = label(metric), measured["scores"]
        own = scores[scores["metric"] == name] if len(scores) else scores
        row: dict[str, Any] = {"metric": name, "family": metric.family, "version": metric.version}
        row["verdict"] = "not measured"
        row["models"] = own["model"].nunique() if len(own) else 0
        if len(own):
            row |= _verdict(metric, own)
            row["truth_rho"] = _agreement(measured["scores"], metric, own)
            row |= _consistencies(measured["consistency"], name)
        rows.append(row)
    return pd.DataFrame(rows).set_index("metric")


def _verdict(metric: Metric, own: pd.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if metric.higher_is_better is None or metric.family == "complexity":
        return {"verdict": "descriptive only"}
    base = own[own["fill"].isin(["", "black"])]
    held_by, controls = HOLDS.get(metric.name, ("", MUST_FAIL.get(metric.family, ("random",))))
    passed = {}
    for half in ("set", "check"):
        gaps = [control_gap(base[base["half"] == half], metric, control, held_by) for control in controls]
        passed[half] = all(gap > 0 or np.isnan(gap) for gap in gaps) and not all(np.isnan(gap) for gap in gaps)
        found |= {f"{control}_{half}": gap for control, gap in zip(controls, gaps, strict=True)}
    tau = fill_tau(own) if own["fill"].nunique() > 1 else np.nan
    found["fill_tau"] = tau
    found["verdict"] = _words(metric.family, passed, tau)
    return found


def _words(family: str, passed: dict[str, bool], tau: float) -> str:
    if not passed["set"]:
        return "fails its controls"
    if not passed["check"]:
        return "not confirmed"
    if family == "robustness":
        return "necessary, not sufficient"
    if family == "axiomatic":
        return "axiom"
    return "depends on baseline" if tau < TAU else "sound"


def control_gap(scores: pd.DataFrame, metric: Metric, control: str, held_by: str = "") -> float:
    """Lower end of the 95 % interval of (real explainers - control), in the better direction, in units of the spread.

    Paired by sample: the mean of the real explainers against the control; a bootstrap over samples within models, the
    models weigh alike. Of a stability metric random must be last: the least of each real explainer's own interval. Of
    an axiom ``held_by`` is the explainer that has the property. NaN where the metric refuses the control on every
    sample (it is not scored, so it cannot be taken for good).
    """
    better = 1.0 if metric.higher_is_better else -1.0
    tables = []
    for _, part in scores.groupby(["model", "seed"], sort=False):
        table = better * part.pivot_table(index="sample", columns="explainer", values="value", dropna=False)
        if control in table and table[control].notna().any():
            tables.append(table)
    if not tables:
        return float("nan")
    here = {str(name) for table in tables for name in table}
    names = [name for name in real_first(here) if name not in CONTROLS]
    if held_by:
        return _lower([table[held_by] - table[control] for table in tables])
    if metric.family == "robustness":
        return min(_lower([table[name] - table[control] for table in tables if name in table]) for name in names)
    own = [[name for name in names if name in table] for table in tables]
    return _lower([t[have].mean(axis=1) - t[control] for t, have in zip(tables, own, strict=True)])


def real_first(names: set[str]) -> list[str]:
    """Those of the 8x8 setting in its order, then the others by name."""
    return [*(name for name in REAL if name in names), *sorted(names - set(REAL))]


def _lower(parts: Sequence[Any]) -> float:
    """Lower end of the bootstrap interval of the mean over models of the mean gap, over the gaps' spread."""
    known = [values[np.isfinite(values)] for values in (np.asarray(part, dtype=np.float64) for part in parts)]
    known = [values for values in known if len(values) > 1]  # one sample says nothing of what others would say
    if not known:
        return -float("inf")
    generator = np.random.default_rng(0)
    means = np.mean([[v[generator.integers(0, len(v), len(v))].mean() for _ in range(1000)] for v in known], axis=0)
    spread = float(np.std(np.concatenate(known))) or 1.0
    return float(np.quantile(means, 0.025)) / spread


def fill_tau(own: pd.DataFrame) -> float:
    """Kendall's tau of the real explainers' order between fills, averaged over pairs of fills and models.

    Explainers that are one method on a model count once: their order is rounding.
    """
    from scipy.stats import kendalltau

    found = []
    real = ~own["explainer"].isin(CONTROLS) & own.get("distinct", True)
    for _, part in own[real].groupby(["model", "seed"], sort=False):
        means = part.groupby(["fill", "explainer"])["value"].mean().unstack("fill").dropna()
        pairs = combinations(means.columns, 2)
        found += [float(kendalltau(means[a], means[b]).statistic) for a, b in pairs if len(means) > 2]
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _agreement(scores: pd.DataFrame, metric: Metric, own: pd.DataFrame) -> float:
    """Spearman's rho over explainers (controls too) with the relevance mass on the true mask, averaged over models."""
    from scipy.stats import spearmanr

    truth, found = scores[scores["metric"] == TRUTH], []
    better = 1.0 if metric.higher_is_better else -1.0
    base = own[own["fill"].isin(["", "black"])]
    for key, part in base.groupby(["model", "seed"], sort=False):
        known = truth[(truth["model"] == key[0]) & (truth["seed"] == key[1])]
        if not len(known) or label(metric) == TRUTH:
            continue
        both = pd.concat(
            [each.groupby("explainer")["value"].mean() for each in (part, known)], axis=1, join="inner"
        ).dropna()
        if len(both) > 3 and (both.nunique() > 1).all():
            found.append(float(spearmanr(better * both.iloc[:, 0], both.iloc[:, 1]).statistic))
    return float(np.mean(found)) if found else float("nan")


def _consistencies(consistency: pd.DataFrame, name: str) -> dict[str, float]:
    own = consistency[consistency["metric"] == name] if len(consistency) else consistency
    found: dict[str, float] = {}
    for space in ("input", "model"):
        values = {}
        for strength, short in (("minor", "nr"), ("disruptive", "ar")):
            part = own[(own["space"] == space) & (own["strength"] == strength)] if len(own) else own
            for kind in ("iac", "iec"):
                values[f"{kind}_{short}"] = float(part[kind].mean()) if len(part) else float("nan")
        found |= {f"{space}_{key}": value for key, value in values.items()}
        found[f"{space}_mc"] = meta_consistency(values)
    return found


def updated(found: pd.DataFrame, known: pd.DataFrame, *, whole: bool, perturbed: bool) -> pd.DataFrame:
    """A new table with what it did not measure from the one before: other metrics, and consistencies.

    Args:
        found: what was measured now.
        known: the table before.
        whole: False where only some metrics were measured: the others keep their rows.
        perturbed: False where no perturbations were measured: metrics of the same version keep their consistencies.
    """
    if not perturbed:
        consistency = [name for name in known if str(name).startswith(("input_", "model_"))]
        same = [name for name in found.index if name in known.index]
        same = [name for name in same if str(known.loc[name, "version"]) == str(found.loc[name, "version"])]
        found = found.drop(columns=[name for name in consistency if name in found])
        found = found.join(known.loc[same, consistency])
    if not whole:
        found = pd.concat([found, known[~known.index.isin(found.index)]])
    return found[[*(name for name in known if name in found), *(name for name in found if name not in known)]]
