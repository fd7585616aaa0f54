"""What happened to each sample under each attack: the matrix of models and attacks, and the rows behind its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.inputs import IMAGE
from benchmark.report import stats
from benchmark.report.explained import samples_at_hand
from benchmark.report.page.pictures import sheet
from benchmark.report.page.tables import short
from benchmark.report.probes import ProbeView, views
from benchmark.report.results import Condition, Results
from benchmark.reported import Estimate
from benchmark.spec.suite import show_eps

MOST_ROWS = 120_000  # samples over all cells of the matrix
THUMBNAILS = 1_300_000  # bytes of all thumbnails together
HELD, BROKEN, WRONG, OPEN = range(4)  # what happened to a sample
NUMBERS = ("amp", "rel_err", "rel_err_before", "psnr", "ssim", "halluc")  # of tasks without verdicts


@dataclass
class Attacked:
    """One attack at one budget: a row or a column of the matrix."""

    view: ProbeView
    eps: str | None

    @property
    def key(self) -> str:
        """What it is called in the page's address."""
        return self.view.name if self.eps is None else f"{self.view.name}@{show_eps(Fraction(self.eps))}"

    @property
    def budget(self) -> str:
        """The budget for reading; empty where there is none."""
        return "" if self.eps is None else show_eps(Fraction(self.eps))

    @property
    def norm(self) -> str:
        """The norm of its threat model, empty without one."""
        norm = str(self.view.results.threat(self.view.name).get("norm", "none"))
        return "" if norm == "none" else norm

    @property
    def control(self) -> bool:
        """Whether it is known to be no attack."""
        return bool(self.view.attack.control)


@dataclass
class Judged:
    """What an attack did to a model's samples, in the order in which it is shown: columns of equal length.

    ``by`` names the column that orders them, ``made`` says that the inputs were made from nothing.
    """

    samples: list[str]
    columns: dict[str, list[Any]]
    share: Estimate
    words: str
    of: int
    views: int = 1
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    by: str = ""
    made: bool = False


@dataclass
class Samples:
    """The per-sample part of the page.

    Args:
        results: of the suite.
    """

    results: Results

    @cached_property
    def attacks(self) -> list[Attacked]:
        """Every attack at every budget that it was run at."""
        found = []
        for view in views(self.results):
            if view.attack.generates or view.attack.breaks:
                found += [Attacked(view, eps) for eps in view.budgets]
        return found

    @cached_property
    def judged(self) -> dict[tuple[str, str], Judged]:
        """(model, key of the attack) to what happened; without pairs that have no rows."""
        found = {}
        for attacked in self.attacks:
            for model in self.results.models:
                one = self._judge(model, attacked)
                if one is not None:
                    found[model, attacked.key] = one
        return found

    def _judge(self, model: str, attacked: Attacked) -> Judged | None:
        kind = "generate" if attacked.view.attack.generates else "attack"
        rows = attacked.view.rows(model, attacked.eps, kind=kind)
        if not len(rows):
            return None
        several = rows.groupby("sample", sort=False)["sample"].transform("size").max()
        if kind == "generate":
            return _generated(rows)
        if not self.results.task.verdicts:
            return self._measured(model, attacked, rows, int(several))
        return self._broken(model, attacked, rows, int(several))

    def _broken(self, model: str, attacked: Attacked, rows: pd.DataFrame, several: int) -> Judged:
        """Rows of a task with verdicts, one a sample: of several views the one that comes nearest to another class."""
        good = rows["status"].to_numpy() == "ok"
        won = rows["success"].fillna(False).astype(bool).to_numpy() & good
        share_of_views = pd.Series(won).groupby(rows["sample"].to_numpy()).mean() if several > 1 else None
        one = rows.assign(_won=won, _good=good)
        if several > 1:
            keys = ["_won", "margin"] if "margin" in one else ["_won"]
            one = one.sort_values(keys, ascending=[False, True][: len(keys)], kind="stable").drop_duplicates("sample")
        right = self.results.correct(model).reindex(one["sample"]).to_numpy()
        if "reference_correct" in one:  # what counts is the view without the perturbation
            right = one["reference_correct"].astype(float).to_numpy()
        state = np.where(one["_won"], BROKEN, np.where(right == 0, WRONG, np.where(one["_good"], HELD, OPEN)))
        norm = f"norm_{attacked.norm}"
        clean = self.results.clean(model)
        columns: dict[str, list[Any]] = {
            "state": state.tolist(),
            "label": _whole(one, "label"),
            "before": _whole(one, "pred_clean"),
            "pred": _whole(one, "pred"),
            "norm": _floats(np.where(one["_good"], one[norm], np.nan)) if norm in one else [],
            "margin": _floats(one["margin"].to_numpy(float)) if "margin" in one else [],
            "sure": _floats(clean["confidence"].reindex(one["sample"]).to_numpy(float))
            if "confidence" in clean
            else [],
            "now": _after(one, "confidence_perturbed"),
            "views": _floats(share_of_views.reindex(one["sample"]).to_numpy()) if share_of_views is not None else [],
        }
        condition = Condition(attacked.view.name, None if attacked.eps is None else Fraction(attacked.eps))
        outcome = self.results.outcome(model, condition)
        asked = outcome[self.results.correct(model).reindex(outcome.index) != 0]
        share = self.results.rate(model, 1 - asked)
        words = f"{int((asked == 0).sum())} of {len(asked)} right samples broken"
        if several > 1:
            words += f" under at least one of {several} views"
        return self._ordered(one, columns, Judged([], {}, share, words, len(asked), several, rows))

    def _measured(self, model: str, attacked: Attacked, rows: pd.DataFrame, several: int) -> Judged | None:
        """Rows of a task that judges by numbers; of several views the worst; None where nothing is measured."""
        names = [name for name in NUMBERS if name in rows]
        column = next((s.column for s in self.results.task.scores() if s.name == self.results.task.headline), "")
        if not column or column not in rows:
            column = next((name for name in ("amp", "rel_err") if name in rows), "")
        moved = [name for name in ("norm_l2", "norm_linf") if name in rows]
        if not column or (moved and not rows[moved].to_numpy(float).any()):  # it measures the network, perturbs nothing
            return None
        ok = rows["status"].to_numpy() == "ok"
        one = rows.assign(_good=ok)
        one = one.sort_values(column, ascending=False, kind="stable").drop_duplicates("sample")
        norm = f"norm_{attacked.norm}"
        columns: dict[str, list[Any]] = {
            "state": np.where(one["_good"], HELD, OPEN).tolist(),
            "norm": _floats(one[norm].to_numpy(float)) if norm in one else [],
        }
        columns |= {name: _floats(one[name].to_numpy(float)) for name in names}
        values = rows.loc[ok, column].to_numpy(float)
        mean = float(np.nanmean(values)) if len(values) and np.isfinite(values).any() else float("nan")
        share = Estimate(mean, float("nan"), float("nan"), len(values))
        words = f"mean {column} {short(mean)} over {len(one)} samples" if isfinite(mean) else "no valid verdict"
        words += f" under {several} views each" if several > 1 else ""
        found = Judged([], {}, share, words, len(one), several, rows, by=column)
        return self._ordered(one, columns, found, (-one[column]).fillna(np.inf).tolist())

    @staticmethod
    def _ordered(
        one: pd.DataFrame, columns: dict[str, list[Any]], found: Judged, by: Sequence[float | None] = ()
    ) -> Judged:
        """By these values, else by norm, equal ones (a budget spent whole) by margin; missing ones last."""
        found.by = found.by or next((name for name in ("norm", "margin") if columns.get(name)), "")
        by = by or columns.get(found.by) or columns["state"]
        key = np.array([np.inf if value is None else value for value in by], dtype=float)
        state = np.asarray(columns["state"])
        margin = columns.get("margin") or [0.0] * len(key)
        tie = np.array([np.inf if value is None else value for value in margin], dtype=float)
        order = np.lexsort((tie, key, state == OPEN))  # norms are rounded: those of a whole budget are equal
        samples = one["sample"].tolist()
        found.samples = [samples[i] for i in order]
        found.columns = {name: [values[i] for i in order] for name, values in columns.items() if len(values)}
        return found

    # -- what the page holds ------------------------------------------------------------------------------------

    def data(self) -> dict[str, Any]:
        """Everything the per-sample view needs, for JSON: ids and classes once, then a list a column."""
        ids: dict[str, int] = {}
        cells: dict[str, Any] = {}
        total = sum(len(each.samples) for each in self.judged.values())
        most = max(1, MOST_ROWS // max(1, len(self.judged))) if total > MOST_ROWS else total
        for (model, key), each in self.judged.items():
            samples = each.samples[:most]
            cell: dict[str, Any] = {
                "s": [ids.setdefault(name, len(ids)) for name in samples],
                "w": each.words,
                "of": len(each.samples),
                "by": each.by,
                "made": each.made,
                **{name: values[:most] for name, values in each.columns.items()},
            }
            cells[f"{model}|{key}"] = cell
        sheets, clean = self._thumbnails(self.judged, most)
        for name, found in sheets.items():
            cells[name]["thumbs"] = found
        return {
            "samples": list(ids),
            "classes": list(self.results.plan["dataset"]["classes"]) if self.results.task.needs_classes else [],
            "attacks": {a.key: {"name": a.view.name, "eps": a.budget, "norm": a.norm} for a in self.attacks},
            "cells": cells,
            "clean": clean,
            "verdicts": self.results.task.verdicts,
        }

    def kept(self, model: str, attacked: Attacked) -> dict[str, NDArray[Any]]:
        """Perturbed inputs at hand, by sample: of several views the one that stands in the sample's row."""
        kind = "generate" if attacked.view.attack.generates else "attack"
        arrays = attacked.view.artefact(model, attacked.eps, kind=kind)
        one = self.judged.get((model, attacked.key))
        if arrays is None or one is None or "inputs" not in arrays:
            return {}
        wanted = self._views_shown(one) if "views" in arrays else {}
        at = arrays["views"] if "views" in arrays else np.zeros(len(arrays["samples"]), int)
        known = set(one.samples)  # a stranger's artefact may hold samples that have no row
        return {
            str(sample): values
            for sample, values, view in zip(arrays["samples"], arrays["inputs"], at, strict=True)
            if str(sample) in known and (not wanted or wanted.get(str(sample)) == int(view))
        }

    @staticmethod
    def _views_shown(one: Judged) -> dict[str, int]:
        """Sample to the view of its row."""
        rows = one.rows
        if "view" not in rows:
            return {}
        won = rows["success"].fillna(False).astype(bool) & (rows["status"] == "ok")
        keys = ["_won", "margin"] if "margin" in rows else ["_won"]
        first = rows.assign(_won=won).sort_values(keys, ascending=[False, True][: len(keys)], kind="stable")
        first = first.drop_duplicates("sample")
        return dict(zip(first["sample"], first["view"].astype(int), strict=True))

    def _thumbnails(
        self, judged: Mapping[tuple[str, str], Judged], most: int
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """A sheet a cell of the matrix with the perturbed inputs that are at hand, and one of their clean inputs."""
        if self.results.task.inputs != IMAGE:
            return {}, None
        found, shown = {}, dict[str, None]()
        room = THUMBNAILS // max(1, 2 * len(judged))
        for attacked in self.attacks:
            for model in self.results.models:
                one = judged.get((model, attacked.key))
                kept = self.kept(model, attacked) if one is not None else {}
                names = [name for name in (one.samples[:most] if one else []) if name in kept]
                names = names[: _fits(kept[names[0]], room)] if names else []
                if names:
                    found[f"{model}|{attacked.key}"] = _sheet(names, [kept[name] for name in names])
                    shown |= {} if attacked.view.attack.generates else dict.fromkeys(names)
        clean = self.clean(list(shown))
        names = [name for name in shown if name in clean]
        names = names[: _fits(clean[names[0]], THUMBNAILS // 2)] if names else []
        return found, _sheet(names, [clean[name] for name in names]) if names else None

    def clean(self, samples: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Clean inputs by sample, from the dataset; empty where it is not at hand."""
        batch = samples_at_hand(self.results, samples) if samples else None
        return {} if batch is None else dict(zip(batch.ids, batch.inputs, strict=True))


def _sheet(names: list[str], images: list[NDArray[Any]]) -> dict[str, Any]:
    uri, across, width, height = sheet(images)
    return {"uri": uri, "across": across, "w": width, "h": height, "n": len(names), "of": names}


def _fits(image: NDArray[Any], room: int) -> int:
    """How many thumbnails of this shape fit into so many bytes of a picture in base 64."""
    ratio = min(1.0, 40 / max(image.shape[1:]))
    pixels = image.shape[1] * image.shape[2] * ratio**2 * (len(image) if len(image) == 3 else 1)
    return max(4, int(room / (pixels * 4 / 3)))


def _generated(rows: pd.DataFrame) -> Judged:
    """Inputs that an attack made from nothing, one a class."""
    good = rows["status"].to_numpy() == "ok"
    won = rows["success"].fillna(False).astype(bool).to_numpy() & good
    columns: dict[str, list[Any]] = {
        "state": np.where(won, BROKEN, np.where(good, HELD, OPEN)).tolist(),
        "label": _whole(rows, "label"),
        "pred": _whole(rows, "pred"),
        "now": _after(rows, "confidence"),
    }
    words = f"{int(won.sum())} of {len(rows)} made inputs are taken for their class"
    share = stats.rate(np.where(good, won.astype(float), np.nan))
    return Judged(rows["sample"].tolist(), columns, share, words, len(rows), 1, rows, made=True)


def _after(rows: pd.DataFrame, name: str) -> list[Any]:
    """Confidence on the perturbed input; records of an older version have none."""
    return _floats(rows[name].to_numpy(float)) if name in rows else []


def _whole(rows: pd.DataFrame, name: str) -> list[Any]:
    """Classes; of a task without classes the numbers themselves."""
    found = _floats(rows[name].to_numpy(float)) if name in rows else []
    return [value if value is None or value % 1 else int(value) for value in found]


def _floats(values: NDArray[Any]) -> list[Any]:
    return [float(f"{value:.4g}") if isfinite(value) else None for value in values]
