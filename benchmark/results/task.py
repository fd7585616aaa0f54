"""A task's own part of a report: what it is handed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark import stats
from benchmark.reported import ProbeResults
from benchmark.results.probes import artefact, views
from benchmark.results.scores import gates, headline_probes, mean, score_budgets, score_name, scored
from benchmark.results.view import SuiteView
from benchmark.seeds import derive
from benchmark.spec.budget import Budget


@dataclass
class TaskView(SuiteView):
    """A suite's results, as :class:`benchmark.reported.TaskResults` describes them."""

    @property
    def probes(self) -> Sequence[ProbeResults]:
        """The suite's attack probes."""
        return views(self.results)

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
