"""Local and global optimality of the observed attacks, and their curves: the tables of AttackBench."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.attacks.base import attacks
from benchmark.attacks.observed.optimality import curve, optimality, reference
from benchmark.drawing.curves import draw_curves
from benchmark.registry import Family, digest
from benchmark.reported import Extras, ProbeResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORMS = ("l0", "l1", "l2", "linf")
SHOWN = 8  # attacks in a picture
LOCAL, GLOBAL = "optimality", "optimality_global"


@dataclass
class Measured:
    """One attack on one network.

    Attributes:
        probe: its results.
        model: the network.
        distances: (N,) norms by sample: 0 of a sample that is wrong without it, inf where it found nothing.
        rows: (N,) the records' rows in the same order.
        heads: what the records say of each cell.
    """

    probe: ProbeResults
    model: str
    distances: pd.Series
    rows: pd.DataFrame
    heads: Sequence[Mapping[str, Any]]

    @property
    def attack(self) -> Any:
        """:class:`benchmark.attacks.observed.observed.BestObserved` with its parameters."""
        return self.probe.attack

    @property
    def identity(self) -> list[str]:
        """What the records say that ran: the attacks, with parameters and versions."""
        ran = [(head.get("spec") or {}).get("plugin") or {} for head in self.heads]
        return sorted({digest(plugin) for plugin in ran})


def report(probes: Sequence[ProbeResults]) -> Extras:
    """What all probes of a suite add to its report."""
    extra, every = Extras(), [found for probe in probes for found in measured(probe)]
    local = local_table(every)
    if not len(local):
        return extra
    extra.tables[LOCAL] = local
    extra.captions[LOCAL] = (
        "Each attack's best observed points on each network: optimality is 1 for the reference, each sample's smallest"
        " norm over all attacks of the suite, and 0 for an attack that finds nothing. `reference` is a hash of the"
        " attacks that it was made of: numbers of two references are not comparable."
    )
    extra.shown[LOCAL] = local[local["place"] <= 3]
    models = list(dict.fromkeys(local["model"]))
    extra.tables[GLOBAL] = global_table(local, models)
    extra.captions[GLOBAL] = f"The mean over {len(models)} networks; blank where an attack did not run on all of them."
    for norm in NORMS:
        part = [found for found in every if found.attack.norm == norm]
        if part:
            stem = f"optimality_{norm}"
            extra.captions[stem] = (
                f"Robust accuracy against the {norm} budget: the {SHOWN} attacks of the highest optimality at the"
                " largest number of queries, and the best of all attacks together."
            )
            extra.figures[stem] = partial(draw, part, local, norm)
    return extra


def measured(probe: ProbeResults) -> Iterable[Measured]:
    """One probe on each network where each of its samples has a valid row."""
    for model in probe.models:
        rows = probe.rows(model)
        if not len(rows) or len(rows) < len(probe.clean(model)) or rows["status"].isna().any():
            continue
        rows = rows.sort_values("sample", kind="stable")
        won = rows["success"].to_numpy(dtype=bool) & (rows["status"].to_numpy() == "ok")
        norms = rows[f"norm_{probe.attack.norm}"].to_numpy(dtype=np.float64)
        distances = np.where(rows["correct"].to_numpy(dtype=bool), np.where(won, norms, np.inf), 0.0)
        yield Measured(probe, model, pd.Series(distances, index=rows["sample"].to_numpy()), rows, probe.heads(model))


def best_of(every: Sequence[Measured]) -> tuple[NDArray[np.float64], str]:
    """The reference (N,) of attacks on one network in one norm, and what names them: a hash of their identities."""
    best = reference(np.stack([found.distances.to_numpy() for found in every]))
    return best, digest(sorted({key for found in every for key in found.identity}))[:12]


def local_table(every: Sequence[Measured]) -> pd.DataFrame:
    """A row a network, norm, attack and number of queries; ``place`` 1 is the best of those of equal queries."""
    rows = []
    for model, norm in product(dict.fromkeys(found.model for found in every), NORMS):
        part = [found for found in every if found.model == model and found.attack.norm == norm]
        if not part:
            continue
        best, name = best_of(part)
        rows += [_row(found, best, name, len(part)) for found in part]
    table = pd.DataFrame(rows)
    if not len(table):
        return table
    groups = table.groupby(["model", "norm", "queries"], sort=False)["optimality"]
    table.insert(5, "place", groups.rank(ascending=False, method="min", na_option="bottom").astype(int))
    order = {norm: i for i, norm in enumerate(NORMS)}
    keys = table.assign(norm=table["norm"].map(order), queries=-table["queries"])
    return table.loc[keys.sort_values(["model", "norm", "queries", "place"], kind="stable").index].reset_index(
        drop=True
    )


def _row(found: Measured, best: NDArray[np.float64], name: str, attacks: int) -> dict[str, Any]:
    distances, attack = found.distances.to_numpy(), found.attack
    right = best > 0
    won = right & np.isfinite(distances)
    made = found.rows["param_queries"].to_numpy(dtype=np.float64) if "param_queries" in found.rows else None
    return {
        "model": found.model,
        "norm": attack.norm,
        "attack": attack.attack,
        "library": library_of(attack.attack),
        "queries": attack.queries,
        "probe": found.probe.name,
        "n": int(right.sum()),
        "success": float(won.sum() / right.sum()) if right.any() else np.nan,
        "median_norm": float(np.median(distances[won])) if won.any() else np.nan,
        "optimality": optimality(distances, best),
        "queries_made": float(made[right].mean()) if made is not None else np.nan,
        "seconds": float(sum(head.get("seconds") or 0.0 for head in found.heads)),
        "attacks": attacks,
        "reference": name,
    }


def global_table(local: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """The means over networks of :func:`local_table`; NaN where an attack has no row on one of them."""
    rows = []
    for (norm, queries, attack, library), part in local.groupby(["norm", "queries", "attack", "library"], sort=False):
        for probe, each in part.groupby("probe", sort=False):
            whole = set(models) <= set(each["model"])
            rows.append(
                {
                    "norm": norm,
                    "queries": queries,
                    "attack": attack,
                    "library": library,
                    "probe": probe,
                    "networks": len(each),
                    "optimality": float(each["optimality"].mean()) if whole else np.nan,
                    "least": float(each["optimality"].min()),
                    "success": float(each["success"].mean()),
                    "queries_made": float(each["queries_made"].mean()),
                    "seconds": float(each["seconds"].sum()),
                }
            )
    table = pd.DataFrame(rows)
    order = {norm: i for i, norm in enumerate(NORMS)}
    keys = table.assign(norm=table["norm"].map(order), queries=-table["queries"], optimality=-table["optimality"])
    return table.loc[keys.sort_values(["norm", "queries", "optimality"], kind="stable").index].reset_index(drop=True)


def draw(every: Sequence[Measured], local: pd.DataFrame, norm: str) -> Figure:
    """One panel a network, a line an attack; the reference is black."""
    most = max(found.attack.queries for found in every)
    table = local[(local["norm"] == norm) & (local["queries"] == most)]
    means = table.groupby("probe", sort=False)["optimality"].mean().sort_values(ascending=False, kind="stable")
    chosen = list(means.index[:SHOWN])
    points: list[pd.DataFrame] = []
    for model in dict.fromkeys(found.model for found in every):
        part = [found for found in every if found.model == model]
        best = best_of(part)[0]
        end = float(best[np.isfinite(best)].max(initial=0.0))
        lines = {"worst": best}
        named = {found.probe.name: found.distances.to_numpy() for found in part}
        lines |= {probe: named[probe] for probe in chosen if probe in named}
        for attack, distances in lines.items():
            eps, left = curve(distances, end)
            line = {"model": model, "attack": attack, "eps": eps, "robust_acc": left, "low": np.nan, "high": np.nan}
            points.append(pd.DataFrame(line))
    return draw_curves(pd.concat(points, ignore_index=True), norm, set(), None)


def library_of(use: str) -> str:
    """The library of an attack's name, such as ``"foolbox"``; ``"assay"`` of our own."""
    cls, _ = attacks.lookup(use)
    return use.partition(":")[0] if issubclass(cls, Family) else cls.library or "assay"
