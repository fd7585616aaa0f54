"""Cells of explanations, a method a kind: ``explain``, ``score``, ``drift``, ``similarity``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.attacks.base import Attack
from benchmark.errors import SpecError
from benchmark.explainers.base import explainers
from benchmark.metrics.base import Metric, metrics
from benchmark.schedule.attack_cells import budgets_run
from benchmark.schedule.draft import Draft
from benchmark.schedule.plan import ref
from benchmark.schedule.request import PlannedEntry
from benchmark.spec.budget import Budget
from benchmark.spec.cell import Cell, PluginRef
from benchmark.spec.suite import AttackProbe, ExplainerProbe, MetricProbe


class ExplainCells:
    """Builds them.

    Args:
        draft: takes the cells.
        probes: name to the suite's attack probe and its attack.
        perturbed: (entry, probe, budget) to the attack cell of the chunk that is being planned.
    """

    def __init__(
        self,
        draft: Draft,
        probes: Mapping[str, tuple[AttackProbe, Attack]],
        perturbed: Mapping[tuple[str, str, Budget | None], Cell],
    ) -> None:
        self.draft, self.probes, self.perturbed = draft, probes, perturbed
        self._explained: dict[tuple[str, str], list[Cell]] = {}

    def explain(self, entry: PlannedEntry, probe: ExplainerProbe, clean: Cell) -> None:
        """A chunk's attributions, and what is computed from them alone."""
        suite, samples = self.draft.suite, self.draft.within(clean.samples, probe.samples)
        if not samples:
            return
        where = f"suite {suite.name!r}, explainer {probe.name!r}"
        common = self.draft.base(entry) | {
            "samples": samples,
            "explainer": ref(explainers.make(probe.use, probe.params, where).check_installed(where)),
            "target": probe.target,
            "seed": suite.seed,
            "probe": probe.name,
            "time_limit": probe.time_limit or suite.run.time_limit,
        }
        cell = Cell(kind="explain", needs={"clean": clean.hash}, **common)
        self.draft.cells.append(cell)
        self._explained.setdefault((entry.name, probe.name), []).append(cell)
        self.score(probe, cell)
        self.drift(entry, probe, cell, clean)

    def score(self, probe: ExplainerProbe, explain: Cell) -> None:
        """A cell for each metric that looks at one sample at a time."""
        for metric, plugin in self._metrics(probe):
            if not plugin.joint:
                self._add(
                    explain, kind="score", plugin=ref(plugin), needs={"explain": explain.hash}, metric=metric.name
                )

    def score_jointly(self, entry: PlannedEntry) -> None:
        """Cells of metrics that must see all samples at once: one for all explain cells of an explainer."""
        for probe in self.draft.suite.explainers:
            cells = self._explained.get((entry.name, probe.name), [])
            for metric, plugin in self._metrics(probe):
                if cells and plugin.joint:
                    self._add(
                        cells[0],
                        kind="score",
                        plugin=ref(plugin),
                        metric=metric.name,
                        samples=tuple(name for cell in cells for name in cell.samples),
                        needs={f"explain:{i}": cell.hash for i, cell in enumerate(cells)},
                    )

    def drift(self, entry: PlannedEntry, probe: ExplainerProbe, explain: Cell, clean: Cell) -> None:
        """What each attack that the explainer names does to its attributions, a cell a budget.

        Raises:
            SpecError: an attack that leaves no perturbed input a sample.
        """
        for name in probe.attacked:
            attack_probe, attack = self.probes[name]
            if attack.generates or attack.views() > 1:
                made = "makes inputs from nothing" if attack.generates else "judges each sample under several views"
                raise SpecError(
                    f"suite {self.draft.suite.name!r}, explainer {probe.name!r}: attacked names {name!r}, but"
                    f" {attack_probe.use!r} {made}; name attacks that leave one perturbed input a sample"
                )
            for eps in budgets_run(attack_probe, attack):
                attacked = self.perturbed.get((entry.name, name, eps))
                samples = self.draft.within(explain.samples, attack_probe.samples)
                if attacked is None or not samples:
                    continue
                self._add(
                    explain,
                    kind="drift",
                    samples=samples,
                    plugin=attacked.plugin,
                    eps=attacked.eps,
                    needs={"clean": clean.hash, "explain": explain.hash, "attack": attacked.hash},
                    metric=name,
                )

    def similarity(self, entry: PlannedEntry, clean: Cell) -> None:
        """One cell that compares the attributions of this chunk's samples, where two explainers or more have them."""
        cells = {
            probe.name: cell
            for probe in self.draft.suite.explainers
            for cell in self._explained.get((entry.name, probe.name), [])
            if cell.needs["clean"] == clean.hash
        }
        if len(cells) > 1:
            self.draft.cells.append(
                Cell(
                    kind="similarity",
                    samples=max((cell.samples for cell in cells.values()), key=len),
                    plugin=PluginRef(use="spearman"),
                    needs={"clean": clean.hash} | {f"explain:{name}": cell.hash for name, cell in cells.items()},
                    **self.draft.base(entry),
                )
            )

    def _add(self, explain: Cell, **changed: Any) -> None:
        """Plan a cell of the same entry, explainer and samples but for what is changed."""
        own = {name: getattr(explain, name) for name in Cell.model_fields}
        self.draft.cells.append(Cell(**(own | changed)))

    def _metrics(self, probe: ExplainerProbe) -> Iterator[tuple[MetricProbe, Metric]]:
        """The metrics that score an explainer."""
        suite = self.draft.suite
        for metric in suite.metrics:
            if probe.metrics is None or metric.name in probe.metrics:
                where = f"suite {suite.name!r}, metric {metric.name!r}"
                yield metric, metrics.make(metric.use, metric.params, where).check_installed(where)
