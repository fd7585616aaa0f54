"""Tables and pictures of a report that its task, its attacks and its metrics make themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark import stats
from benchmark.report.gallery import gallery
from benchmark.reported import Extras, ProbeResults
from benchmark.results.base import Results
from benchmark.results.explained import explained_views
from benchmark.results.probes import artefact, views
from benchmark.results.scores import gates, headline_probes, mean, score_budgets, score_name, scored
from benchmark.seeds import derive
from benchmark.spec.budget import Budget


@dataclass
class TaskView:
    """A suite's results, as :class:`benchmark.reported.TaskResults` describes them."""

    results: Results

    @property
    def models(self) -> Sequence[str]:
        """Entries with a row."""
        return self.results.models

    @property
    def probes(self) -> Sequence[ProbeResults]:
        """The suite's attack probes."""
        return views(self.results)

    def clean(self, model: str) -> pd.DataFrame:
        """Clean rows of a model."""
        return self.results.clean(model)

    def facts(self, model: str) -> Mapping[str, Any]:
        """Facts of an entry and of the data."""
        return self.results.facts(model)

    def kept(self, model: str) -> Mapping[str, NDArray[Any]] | None:
        """See :class:`benchmark.reported.TaskResults`."""
        cells = self.results.cells
        return artefact(self.results, cells["hash"][(cells["kind"] == "clean") & (cells["model"] == model)], "clean")

    def budgets(self) -> Sequence[Budget]:
        """Budgets of the headline threat model, smallest first."""
        return score_budgets(self.results)

    def score(self, name: str, model: str, eps: Budget) -> tuple[float, float, float]:
        """See :class:`benchmark.reported.TaskResults`."""
        score = next(each for each in self.results.task.scores() if each.name == name)
        values = scored(self.results, model, score, eps)
        found = mean(self.results, model, score_name(score, eps), values)
        return found.value, found.low, found.high

    @property
    def eps(self) -> Budget | None:
        """See :class:`benchmark.reported.TaskResults`."""
        return None if self.results.suite.threat is None else self.results.suite.threat.eps

    @property
    def size(self) -> tuple[int, int] | None:
        """The suite's grid."""
        return self.results.suite.dataset.size

    def headline(self, *, control: bool = False) -> Sequence[ProbeResults]:
        """See :class:`benchmark.reported.TaskResults`."""
        names = {probe.name for probe in headline_probes(self.results, control=control)}
        return [view for view in views(self.results) if view.name in names]

    def summary(self, name: str, model: str) -> tuple[float, float, float]:
        """As the leaderboard has it."""
        clean = self.clean(model)
        values = clean[name].to_numpy(dtype=float) if len(clean) else np.zeros(0)
        groups = self.results.groups(model, clean.index) if len(clean) else None
        found = stats.bootstrap(values, "mean", groups, derive("bootstrap", name))
        return found.value, found.low, found.high

    def gate(self, model: str) -> bool | None:
        """See :class:`benchmark.reported.TaskResults`."""
        gate = gates(self.results).get(model)
        return None if gate is None else gate.passed


def extras(results: Results) -> Extras:
    """Tables and pictures of the task, of the explanations, of all attacks and of all metrics."""
    found, known = Extras(), views(results)
    makers: list[tuple[str, Callable[[], Extras]]] = [
        (results.task.name, partial(results.task.extras, TaskView(results))),
        ("explanations", partial(gallery, results)),
    ]
    for cls in dict.fromkeys(type(view.attack) for view in known):
        makers.append((cls.use, partial(cls.extras, [view for view in known if type(view.attack) is cls])))
    explained = explained_views(results)
    for kind in dict.fromkeys(type(view.metric) for view in explained):
        makers.append((kind.use, partial(kind.extras, [view for view in explained if type(view.metric) is kind])))
    for name, make in makers:
        try:
            own = make()
        except Exception as error:  # a stranger's plugin costs its own part of the report, no more
            own = Extras(faults=[f"tables and pictures of {name}: {type(error).__name__}: {error}"])
        found.faults += own.faults
        stated = results.plan["dataset"].get("facts", {})  # what every table must say of the data
        found.tables |= {stem: table.assign(**stated) for stem, table in own.tables.items()}
        found.shown |= {stem: table.assign(**stated) for stem, table in own.shown.items()}
        found.captions |= own.captions
        found.figures |= own.figures
    return found
