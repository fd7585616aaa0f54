"""Building the cells of a suite: a method a kind of probe. Decides everything, touches no tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from benchmark.attacks.base import Attack
from benchmark.data.base import Grid
from benchmark.data.reading.classes import BY_INDEX
from benchmark.errors import DataError, EntryError, SpecError
from benchmark.explainers.base import explainers
from benchmark.metrics.base import Metric, metrics
from benchmark.schedule.matching import MAPPED, check_labels, matched, resized, scaled_notes
from benchmark.schedule.plan import (
    Plan,
    chunks,
    make_attack,
    ref,
    sample_order,
    threat_of,
)
from benchmark.schedule.request import PlannedEntry, suite_dataset
from benchmark.spec.cell import Cell, DatasetRef, PluginRef
from benchmark.spec.suite import AttackProbe, ExplainerProbe, MetricProbe, SuiteSpec, show_eps
from benchmark.tasks.base import tasks

KEEP_ALL_MB = 1e6  # what other cells read is kept whole


class _Planner:
    """Builds the cells of one suite; a method a kind of probe."""

    def __init__(self, suite: SuiteSpec, entries: Sequence[PlannedEntry]) -> None:
        self.suite, self.entries = suite, [entry for entry in entries if entry.row]
        self.by_name = {entry.name: entry for entry in entries}
        self.dataset = suite_dataset(suite)
        try:
            self.index = self.dataset.index(suite.dataset.split)
        except DataError as error:
            label = suite.dataset.label
            raise DataError(str(error).replace("--data NAME=PATH", f"--data {label}=PATH")) from None
        self.samples = sample_order(self.index, suite.seed, suite.dataset.samples)
        self.task = tasks.make(suite.task, suite.task_params, f"suite {suite.name!r}, [task_params]")
        self.task.check_grid(Grid.of(suite.dataset))
        check_labels(self.index, self.task, suite.dataset.label)
        self.outputs = {entry.name: self.matched(entry) for entry in entries}
        self.read = {probe.of for probe in suite.attacks if probe.of}
        self.read |= {name for probe in suite.explainers for name in probe.attacked}
        self.perturbed: dict[tuple[str, str, Fraction | None], Cell] = {}  # of the chunk that is being planned
        self.cells: list[Cell] = []
        self.planned: set[tuple[str, str, str]] = set()
        self.fits: dict[str, Cell] = {}
        self.explained: dict[tuple[str, str], list[Cell]] = {}

    def dataset_ref(self, split: str) -> DatasetRef:
        spec = self.suite.dataset
        return DatasetRef(
            name=spec.label,
            plugin=ref(self.dataset),
            path=spec.path,
            split=split,
            size=spec.size,
            channels=spec.channels,
            fit=spec.fit,
            range=spec.range,
            classes=spec.classes,
            digest=self.dataset.index(split).digest,
        )

    def base(self, entry: PlannedEntry) -> dict[str, Any]:
        run = self.suite.run
        return {
            "task": ref(self.task),
            "entry": entry.digest,
            "dataset": self.test,
            "outputs": self.outputs[entry.name],
            "model": entry.name,
            "folder": entry.folder,
            "batch_size": run.batch_size,
            "time_limit": run.time_limit,
            "keep_inputs": run.keep_inputs,
            "keep_inputs_mb": run.keep_inputs_mb,
        }

    def matched(self, entry: PlannedEntry) -> tuple[int, ...]:
        """Which output of the entry is each class of the dataset; empty where they are in the same order."""
        spec = self.suite.dataset
        if not self.task.needs_classes or not self.index.classes or spec.classes == BY_INDEX:
            return ()
        known_as = self.dataset.known_as(spec.split)
        return matched(entry.name, entry.classes, entry.class_count, known_as, named=self.index.named)

    def plan(self) -> Plan:
        self.test = self.dataset_ref(self.suite.dataset.split)
        probes = [
            (probe, make_attack(probe, f"suite {self.suite.name!r}, attack {probe.name!r}"))
            for probe in self.suite.attacks
        ]
        self.check_headline(probes)
        self.check_targets(probes)
        self.check_readers(probes)
        self.check_reference()
        self.probes = {probe.name: (probe, attack) for probe, attack in probes}
        for entry in self.entries:
            for probe, attack in probes:
                if attack.generates:
                    self.generate(entry, probe, attack)
            for samples in chunks(self.samples, self.suite.run.chunk):
                clean = self.clean(entry, samples)
                for probe, attack in probes:
                    if not attack.generates:
                        self.attack(entry, probe, attack, clean)
                for explain in self.suite.explainers:
                    self.explain(entry, explain, clean)
                self.similarity(entry, clean)
            self.score_jointly(entry)
        notes = [
            *scaled_notes(self.index, self.suite.dataset.range),
            *resized(self.index.shapes, Grid.of(self.suite.dataset)),
        ]
        mapped = {entry.name: MAPPED for entry in self.entries if self.outputs[entry.name]}
        return Plan(
            self.suite, self.entries, self.index, self.samples, self.cells, self.dataset.facts(), tuple(notes), mapped
        )

    def add(self, cell: Cell) -> Cell:
        """Plan a cell, unless it is planned already (another entry reads it)."""
        key = (cell.hash, cell.model, cell.probe)
        if key not in self.planned:
            self.planned.add(key)
            self.cells.append(cell)
        return cell

    def clean(self, entry: PlannedEntry, samples: tuple[str, ...]) -> Cell:
        return self.add(Cell(kind="clean", samples=samples, **self.base(entry)))

    def check_headline(self, probes: Sequence[tuple[AttackProbe, Attack]]) -> None:
        threat = self.suite.threat
        if threat is None or not probes:
            return
        for probe, attack in probes:
            at_eps = attack.threat.kind == "minimal" or threat.eps in probe.budgets
            same = attack.threat.norm == threat.norm and attack.threat.domain == threat.domain
            if same and at_eps and not attack.control:
                return
        raise SpecError(
            f"suite {self.suite.name!r}: no attack runs in the headline threat model"
            f" ({threat.norm}, eps {show_eps(threat.eps)}); add that budget to one of its attacks"
        )

    def check_targets(self, probes: Sequence[tuple[AttackProbe, Attack]]) -> None:
        """A target class is one of the dataset's."""
        classes = len(self.index.classes)
        for probe, attack in probes:
            target = getattr(attack, "target", None)
            if classes and isinstance(target, int) and target >= classes:
                raise SpecError(
                    f"suite {self.suite.name!r}, attack {probe.name!r}: target = {target}, the dataset has the classes"
                    f" 0 to {classes - 1}"
                )

    def check_reference(self) -> None:
        """The entry that others are held against is one of the suite's: without it there is no gate."""
        entry, _ = self.task.reference()
        if entry and entry not in self.by_name:
            known = ", ".join(self.by_name)
            raise SpecError(
                f"suite {self.suite.name!r}, [task_params]: against = {entry!r} is none of the entries ({known}); the"
                " accuracy gate needs it"
            )

    def check_readers(self, probes: Sequence[tuple[AttackProbe, Attack]]) -> None:
        """An attack is made for the suite's task; one that reads says of which probe and which entries."""
        budgets = {probe.name: probe.budgets for probe, _ in probes}
        for probe, attack in probes:
            where = f"suite {self.suite.name!r}, attack {probe.name!r}"
            if attack.task != self.suite.task and (attack.task or not self.task.images):
                made = f"the task {attack.task!r}" if attack.task else "inputs that are images in [0, 1]"
                raise SpecError(f"{where}: {probe.use!r} is made for {made}, the suite's task is {self.suite.task!r}")
            if attack.reads != bool(probe.of):
                said = "reads what others found; name that probe in `of` and the entries in `sources`"
                said = said if attack.reads else "reads nothing of others; remove `of` and `sources`"
                raise SpecError(f"{where}: {probe.use!r} {said}")
            if probe.of and not set(probe.budgets) <= set(budgets.get(probe.of, ())):
                raise SpecError(f"{where}: of = {probe.of!r} must be a probe that runs at each of its budgets")
            unknown = [name for name in probe.sources if name not in self.by_name]
            if unknown:
                raise SpecError(f"{where}: source {unknown[0]!r} is no entry; known are {', '.join(self.by_name)}")

    def within(self, samples: tuple[str, ...], limit: int | None) -> tuple[str, ...]:
        """The part of a chunk that lies in the first ``limit`` samples."""
        start = self.samples.index(samples[0])
        return samples if limit is None else samples[: max(0, limit - start)]

    def attack(self, entry: PlannedEntry, probe: AttackProbe, attack: Attack, clean: Cell) -> None:
        samples = self.within(clean.samples, probe.samples)
        if not samples:
            return
        for eps in self.run_at(probe, attack):
            for source in self.sources(entry, probe, attack):
                needs = {"clean": clean.hash}
                if source:
                    needs["fit"] = self.fit(source, probe, attack, None if eps is None else str(eps)).hash
                for name in probe.sources:
                    needs[f"found:{name}"] = self.found(name, probe.of, eps, clean.samples).hash
                cell = self.attacked(entry, probe, attack, eps, samples, needs, source)
                if source in ("", probe.source or entry.name):
                    self.perturbed[entry.name, probe.name, eps] = cell

    def run_at(self, probe: AttackProbe, attack: Attack) -> Sequence[Fraction | None]:
        """The budgets that get a cell, in the order in which they run."""
        if attack.threat.kind != "fixed":
            return (None,)
        return sorted(probe.budgets, reverse=True) if attack.descends else probe.budgets

    def attacked(
        self,
        entry: PlannedEntry,
        probe: AttackProbe,
        attack: Attack,
        eps: Fraction | None,
        samples: tuple[str, ...],
        needs: dict[str, str],
        source: str = "",
    ) -> Cell:
        """One attack cell; of an attack that descends it needs the one at the next larger budget."""
        common = self.base(entry) | {"time_limit": probe.time_limit or self.suite.run.time_limit}
        if attack.descends:
            larger = [other for other in self.run_at(probe, attack) if other is not None and eps and other > eps]
            if larger:
                above = self.attacked(entry, probe, attack, larger[-1], samples, needs, source)
                needs = needs | {"larger": above.hash}
        if attack.descends or probe.name in self.read:
            common |= {"keep_inputs": "all", "keep_inputs_mb": KEEP_ALL_MB}
        return self.add(
            Cell(
                kind="attack",
                samples=samples,
                plugin=ref(attack),
                eps=None if eps is None else str(eps),
                seed=self.suite.seed,
                needs=needs,
                probe=probe.name,
                source=source,
                threat=threat_of(attack),
                **common,
            )
        )

    def found(self, name: str, of: str, eps: Fraction | None, samples: tuple[str, ...]) -> Cell:
        """The cell of another entry whose perturbed inputs are read."""
        entry, (probe, attack) = self.by_name[name], self.probes[of]
        needs = {"clean": self.clean(entry, samples).hash}
        return self.attacked(entry, probe, attack, eps, self.within(samples, probe.samples), needs)

    def sources(self, entry: PlannedEntry, probe: AttackProbe, attack: Attack) -> list[str]:
        """Entries whose fit is judged on this one: the named source, itself, or with ``transfer`` every entry."""
        if not attack.fits:
            return [""]
        if not probe.transfer:
            return [probe.source or entry.name]
        return list(dict.fromkeys([*(name for name in self.suite.entries if name in self.by_name), entry.name]))

    def generate(self, entry: PlannedEntry, probe: AttackProbe, attack: Attack) -> None:
        """Cells that make one input a class, from nothing."""
        classes = len(self.index.classes)
        if not classes:
            raise SpecError(f"suite {self.suite.name!r}, attack {probe.name!r}: the dataset has no classes")
        for samples in chunks([f"class-{k}" for k in range(classes)], self.suite.run.chunk):
            self.cells.append(
                Cell(
                    kind="generate",
                    samples=samples,
                    plugin=ref(attack),
                    seed=self.suite.seed,
                    probe=probe.name,
                    threat=threat_of(attack),
                    **(self.base(entry) | {"time_limit": probe.time_limit or self.suite.run.time_limit}),
                )
            )

    def fit(self, name: str, probe: AttackProbe, attack: Attack, eps: str | None) -> Cell:
        source = self.by_name.get(name)
        if source is None:
            raise SpecError(
                f"suite {self.suite.name!r}, attack {probe.name!r}: source {probe.source!r} is no entry;"
                f" known are {', '.join(self.by_name)}"
            )
        split = self.suite.dataset.fit_split
        known = len(self.dataset.index(split).ids)
        if probe.fit_samples is not None and probe.fit_samples > known:
            raise SpecError(
                f"suite {self.suite.name!r}, attack {probe.name!r}: fit_samples = {probe.fit_samples}, the split"
                f" {split!r} has {known} samples"
            )
        order = sample_order(self.dataset.index(split), self.suite.seed, probe.fit_samples)
        cell = Cell(
            kind="fit",
            samples=order,
            plugin=ref(attack),
            eps=eps,
            seed=self.suite.seed,
            probe=probe.name,
            **(self.base(source) | {"dataset": self.dataset_ref(split), "time_limit": probe.time_limit or 3600.0}),
        )
        if cell.hash not in self.fits:
            self.fits[cell.hash] = cell
            self.cells.append(cell)
        return self.fits[cell.hash]

    def explain(self, entry: PlannedEntry, probe: ExplainerProbe, clean: Cell) -> None:
        samples = self.within(clean.samples, probe.samples)
        if not samples:
            return
        where = f"suite {self.suite.name!r}, explainer {probe.name!r}"
        explainer = explainers.make(probe.use, probe.params, where)
        common = self.base(entry) | {
            "samples": samples,
            "explainer": ref(explainer),
            "target": probe.target,
            "seed": self.suite.seed,
            "probe": probe.name,
            "time_limit": probe.time_limit or self.suite.run.time_limit,
        }
        cell = Cell(kind="explain", needs={"clean": clean.hash}, **common)
        self.cells.append(cell)
        self.explained.setdefault((entry.name, probe.name), []).append(cell)
        for metric, plugin in self.metrics_of(probe):
            if not plugin.joint:
                needs = {"explain": cell.hash}
                self.cells.append(Cell(kind="score", plugin=ref(plugin), needs=needs, metric=metric.name, **common))
        self.drift(entry, probe, cell, clean)

    def drift(self, entry: PlannedEntry, probe: ExplainerProbe, explain: Cell, clean: Cell) -> None:
        """What each attack that the explainer names does to its attributions, a cell a budget."""
        for name in probe.attacked:
            attack_probe, attack = self.probes[name]
            if attack.generates or attack.views() > 1:
                made = "makes inputs from nothing" if attack.generates else "judges each sample under several views"
                raise SpecError(
                    f"suite {self.suite.name!r}, explainer {probe.name!r}: attacked names {name!r}, but"
                    f" {attack_probe.use!r} {made}; name attacks that leave one perturbed input a sample"
                )
            for eps in self.run_at(attack_probe, attack):
                attacked = self.perturbed.get((entry.name, name, eps))
                samples = self.within(explain.samples, attack_probe.samples)
                if attacked is None or not samples:
                    continue
                own = {field: getattr(explain, field) for field in Cell.model_fields}
                own |= {
                    "kind": "drift",
                    "samples": samples,
                    "plugin": attacked.plugin,
                    "eps": attacked.eps,
                    "needs": {"clean": clean.hash, "explain": explain.hash, "attack": attacked.hash},
                    "metric": name,
                }
                self.cells.append(Cell(**own))

    def similarity(self, entry: PlannedEntry, clean: Cell) -> None:
        """One cell that compares the attributions of this chunk's samples, where two explainers or more have them."""
        cells = {
            probe.name: cell
            for probe in self.suite.explainers
            for cell in self.explained.get((entry.name, probe.name), [])
            if cell.needs["clean"] == clean.hash
        }
        if len(cells) > 1:
            self.cells.append(
                Cell(
                    kind="similarity",
                    samples=max((cell.samples for cell in cells.values()), key=len),
                    plugin=PluginRef(use="spearman"),
                    needs={"clean": clean.hash} | {f"explain:{name}": cell.hash for name, cell in cells.items()},
                    **self.base(entry),
                )
            )

    def metrics_of(self, probe: ExplainerProbe) -> Iterator[tuple[MetricProbe, Metric]]:
        """The metrics that score an explainer."""
        for metric in self.suite.metrics:
            if probe.metrics is None or metric.name in probe.metrics:
                yield (
                    metric,
                    metrics.make(metric.use, metric.params, f"suite {self.suite.name!r}, metric {metric.name!r}"),
                )

    def score_jointly(self, entry: PlannedEntry) -> None:
        """Cells of metrics that must see all samples at once: one for all explain cells of an explainer."""
        for probe in self.suite.explainers:
            cells = self.explained.get((entry.name, probe.name), [])
            for metric, plugin in self.metrics_of(probe):
                if cells and plugin.joint:
                    own = {name: getattr(cells[0], name) for name in Cell.model_fields}
                    own |= {
                        "kind": "score",
                        "plugin": ref(plugin),
                        "metric": metric.name,
                        "samples": tuple(name for cell in cells for name in cell.samples),
                        "needs": {f"explain:{i}": cell.hash for i, cell in enumerate(cells)},
                    }
                    self.cells.append(Cell(**own))


def make_plan(suite: SuiteSpec, entries: Sequence[PlannedEntry]) -> Plan:
    """The cells of a suite, for these entries.

    Args:
        suite: the resolved suite.
        entries: the entries that get a row, and those whose artefacts a probe uses (``source``).

    Raises:
        SpecError, UnknownNameError: a probe that cannot be planned.
        DataError: the dataset is missing or empty.
        EntryError: an entry made for another task.
    """
    for entry in entries:
        if entry.task != suite.task:
            raise EntryError(
                f"entry {entry.name!r} is made for the task {entry.task!r}, suite {suite.name!r} asks for"
                f" {suite.task!r}; leave it out with --models, or choose another suite"
            )
    return _Planner(suite, entries).plan()
