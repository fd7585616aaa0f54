"""What happened to each sample under each attack: the matrix of models and attacks, and the rows behind its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.report.events import Events, generated_samples
from benchmark.report.judgement.base import Judgement
from benchmark.report.judgement.choice import judgement_of
from benchmark.report.page.pictures import sheet
from benchmark.results.base import Results
from benchmark.results.explained import samples_at_hand
from benchmark.results.probes import ProbeView, views
from benchmark.spec.budget import Budget, at_budget

MOST_ROWS = 120_000  # samples over all cells of the matrix
THUMBNAILS = 1_300_000  # bytes of all thumbnails together


@dataclass
class Attacked:
    """One attack at one budget: a row or a column of the matrix."""

    view: ProbeView
    eps: Budget | None

    @property
    def key(self) -> str:
        """What it is called in the page's address."""
        return at_budget(self.view.name, self.eps, "@")

    @property
    def budget(self) -> str:
        """The budget for reading; empty where there is none."""
        return "" if self.eps is None else self.eps.printed

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
class Samples:
    """The per-sample part of the page.

    Args:
        results: of the suite.
    """

    results: Results

    @property
    def judgement(self) -> Judgement:
        """Of the suite's task."""
        return judgement_of(self.results.task)

    @cached_property
    def attacks(self) -> list[Attacked]:
        """Every attack at every budget that it was run at."""
        found = []
        for view in views(self.results):
            if view.attack.generates or view.attack.breaks:
                found += [Attacked(view, eps) for eps in view.budgets]
        return found

    @cached_property
    def events(self) -> dict[tuple[str, str], Events]:
        """(model, key of the attack) to what happened; without pairs that have no rows."""
        found = {}
        for attacked in self.attacks:
            for model in self.results.models:
                one = self._of_cell(model, attacked)
                if one is not None:
                    found[model, attacked.key] = one
        return found

    def _of_cell(self, model: str, attacked: Attacked) -> Events | None:
        view = attacked.view
        rows = view.rows(model, attacked.eps, kind="generate" if view.attack.generates else "attack")
        if not len(rows):
            return None
        if view.attack.generates:
            return generated_samples(rows)
        return self.judgement.events(self.results, model, view, attacked.eps, attacked.norm, rows)

    # -- what the page holds ------------------------------------------------------------------------------------

    def data(self) -> dict[str, Any]:
        """Everything the per-sample view needs, for JSON: ids and classes once, then a list a column."""
        ids: dict[str, int] = {}
        cells: dict[str, Any] = {}
        total = sum(len(each.samples) for each in self.events.values())
        most = max(1, MOST_ROWS // max(1, len(self.events))) if total > MOST_ROWS else total
        for (model, key), each in self.events.items():
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
        sheets, clean = self._thumbnails(self.events, most)
        for name, found in sheets.items():
            cells[name]["thumbs"] = found
        return {
            "samples": list(ids),
            "classes": list(self.results.plan["dataset"]["classes"]) if self.results.task.needs_classes else [],
            "attacks": {a.key: {"name": a.view.name, "eps": a.budget, "norm": a.norm} for a in self.attacks},
            "cells": cells,
            "clean": clean,
            "breaks": self.judgement.breaks,
            "measured": list(self.results.task.measured.items()),
        }

    def kept(self, model: str, attacked: Attacked) -> dict[str, NDArray[Any]]:
        """Perturbed inputs at hand, by sample: of several views the one that stands in the sample's row."""
        kind = "generate" if attacked.view.attack.generates else "attack"
        arrays = attacked.view.artefact(model, attacked.eps, kind=kind)
        one = self.events.get((model, attacked.key))
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
    def _views_shown(one: Events) -> dict[str, int]:
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
        self, judged: Mapping[tuple[str, str], Events], most: int
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """A sheet a cell of the matrix with the perturbed inputs that are at hand, and one of their clean inputs."""
        if not self.results.pictured:
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
