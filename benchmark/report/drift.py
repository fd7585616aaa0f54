"""Explanations under attack: how much of an attribution is left on the perturbed input, by whether the class stayed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from benchmark import stats
from benchmark.results.base import Results
from benchmark.seeds import derive
from benchmark.spec.budget import Budget

MEASURES = {"spearman": "value", "topk": "own_topk", "ssim": "own_ssim"}
CHANGED = ("all", "no", "yes")
SHOWN = (
    *("model", "explainer", "attack", "eps"),
    *("n_kept", "spearman_kept", "topk_kept", "ssim_kept", "n_changed", "spearman_changed"),
)
PICTURED = ("ssim",)  # measures of pictures: of other inputs there are none
TITLE = "Explanations under attack (1: the same attribution as on the clean input)"
SAYING = (
    "The attribution of the clean class on the perturbed input against that on the clean one: Spearman's correlation"
    " over the elements with their sign, the share of the 10 % most relevant elements in common{};"
    " 1 is the same attribution. Samples that were wrong before the attack were not attacked and are left out. `kept`:"
    " the attack left the prediction as it was; an explanation that moves there moved alone."
)


def says(table: pd.DataFrame) -> str:
    """What the table of :func:`compact` shows, in words."""
    return SAYING.format(", and SSIM of the maps" if "ssim_kept" in table else "")


def shown(table: pd.DataFrame) -> list[str]:
    """Columns of :func:`compact` for people."""
    return [name for name in SHOWN if name in table]


@lru_cache(maxsize=4)
def attacked_explanations(results: Results) -> pd.DataFrame:
    """One row a model, explainer, attack, budget and kind of sample: means of the similarities with 95 % intervals.

    Columns: ``model``, ``explainer``, ``control`` (of the explainer), ``attack``, ``eps``, ``changed`` (``all``;
    ``no``: the prediction stayed; ``yes``), ``n``, then ``spearman``, ``topk`` and, of images, ``ssim``, each with
    ``_low`` and ``_high``, and of the rows ``all`` the samples left out: ``not_attacked`` (wrong before),
    ``not_judged`` (out of budget or not finite), ``undefined`` (an attribution without any relevance), ``missing`` (no
    record). Empty where no explainer names an attack.
    """
    rows = []
    keys = ["model", "probe", "metric", "eps"]
    rated, planned = (
        part[part["kind"] == "drift"].assign(eps=part["eps"].astype(object).fillna("").astype(str))
        for part in (results.rows, results.cells)
    )
    found = dict(tuple(rated.groupby(keys, sort=False))) if len(rated) else {}
    for key, cells in planned.groupby(keys, sort=False):
        rows += _rows(results, key, int(cells["n"].sum()), found.get(key, rated.iloc[:0]))
    order = {model: i for i, model in enumerate(results.models)}
    rows.sort(key=lambda row: order[row["model"]])
    return pd.DataFrame(rows)


def _rows(results: Results, key: Any, planned: int, part: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of one model, explainer, attack and budget."""
    model, explainer, attack, eps = key
    head = {
        "model": model,
        "explainer": explainer,
        "control": bool(results.plan["explainers"][explainer]["control"]),
        "attack": attack,
        "eps": Budget.parse(eps).printed if eps else "",
    }
    status = part["status"] if len(part) else pd.Series(dtype=object)
    judged = part[status == "ok"] if len(part) else part
    moved = judged["own_changed"].to_numpy(dtype=float) if len(judged) else np.zeros(0)
    rows = []
    for changed in CHANGED:
        chosen = judged if changed == "all" else judged[moved == (1 if changed == "yes" else 0)]
        row: dict[str, Any] = {**head, "changed": changed, "n": len(chosen)}
        groups = results.groups(model, chosen["sample"]) if len(chosen) else None
        for name, column in _measures(results):
            values = chosen[column].to_numpy(dtype=float) if len(chosen) else np.zeros(0)
            estimate = stats.bootstrap(values, "mean", groups, derive("bootstrap", "drift", name))
            row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        every = changed == "all"
        for name, word in (("not_attacked",) * 2, ("not_judged",) * 2, ("undefined", "nan")):
            row[name] = int((status == word).sum()) if every else 0
        row["missing"] = planned - len(part) if every else 0
        rows.append(row)
    return rows


def _measures(results: Results) -> list[tuple[str, str]]:
    """Names and columns of the similarities that the task's inputs have."""
    image = results.pictured
    return [(name, column) for name, column in MEASURES.items() if image or name not in PICTURED]


def compact(table: pd.DataFrame) -> pd.DataFrame:
    """For people: a row a model, explainer, attack and budget; the similarities where the prediction stayed, and
    Spearman's where it changed."""
    if not len(table):
        return table
    keys = ["model", "explainer", "control", "attack", "eps"]
    stayed = table[table["changed"] == "no"].drop(
        columns=["changed", "not_attacked", "not_judged", "undefined", "missing"]
    )
    went = table[table["changed"] == "yes"][[*keys, "n", "spearman", "spearman_low", "spearman_high"]]
    names = {name: f"{name}_kept" for name in stayed.columns if name not in keys}
    names = {old: _bound_last(new) for old, new in names.items()}
    others = {"n": "n_changed"} | {n: _bound_last(f"{n}_changed") for n in went.columns if n.startswith("spearman")}
    return stayed.rename(columns=names).merge(went.rename(columns=others), on=keys, how="left")


def _bound_last(name: str) -> str:
    """``spearman_low_kept`` as ``spearman_kept_low``, so that a table finds a value's interval."""
    for side in ("low", "high"):
        start, middle, end = name.partition(f"_{side}_")
        if middle:
            return f"{start}_{end}_{side}"
    return name
