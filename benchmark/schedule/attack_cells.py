"""Cells of attacks, a method a kind: ``attack``, ``fit``, ``generate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.attacks.base import Attack
from benchmark.errors import SpecError
from benchmark.schedule.draft import Draft
from benchmark.schedule.plan import chunks, ref, sample_order, threat_of
from benchmark.schedule.request import PlannedEntry
from benchmark.spec.budget import Budget
from benchmark.spec.cell import Cell
from benchmark.spec.suite import AttackProbe

KEEP_ALL_MB = 1e6  # what other cells read is kept whole
FIT_SECONDS = 3600.0  # limit of a fit where its probe says none


class AttackCells:
    """Builds them.

    Args:
        draft: takes the cells.
        probes: name to the suite's probe and its attack.

    Attributes:
        perturbed: (entry, probe, budget) to the attack cell of the chunk that is being planned.
    """

    def __init__(self, draft: Draft, probes: Mapping[str, tuple[AttackProbe, Attack]]) -> None:
        self.draft, self.probes = draft, probes
        suite = draft.suite
        self.read = {probe.of for probe in suite.attacks if probe.of}
        self.read |= {name for probe in suite.explainers for name in probe.attacked}
        self.perturbed: dict[tuple[str, str, Budget | None], Cell] = {}
        self._fits: dict[str, Cell] = {}

    def attack(self, entry: PlannedEntry, probe: AttackProbe, attack: Attack, clean: Cell) -> None:
        """A chunk's cells, one a budget and a source of a fit."""
        samples = self.draft.within(clean.samples, probe.samples)
        if not samples:
            return
        for eps in budgets_run(probe, attack):
            for source in self._sources(entry, probe, attack):
                needs = {"clean": clean.hash}
                if source:
                    needs["fit"] = self.fit(source, probe, attack, eps).hash
                for name in probe.sources:
                    needs[f"found:{name}"] = self._read_cell(name, probe.of, eps, clean.samples).hash
                cell = self._attack_cell(entry, probe, attack, eps, samples, needs, source)
                if source in ("", probe.source or entry.name):
                    self.perturbed[entry.name, probe.name, eps] = cell

    def _attack_cell(
        self,
        entry: PlannedEntry,
        probe: AttackProbe,
        attack: Attack,
        eps: Budget | None,
        samples: tuple[str, ...],
        needs: dict[str, str],
        source: str = "",
    ) -> Cell:
        """One attack cell; of an attack that descends it needs the one at the next larger budget."""
        suite = self.draft.suite
        common = self.draft.base(entry) | {"time_limit": probe.time_limit or suite.run.time_limit}
        if attack.descends:
            larger = [other for other in budgets_run(probe, attack) if other and eps and eps.value and other > eps]
            if larger:
                above = self._attack_cell(entry, probe, attack, larger[-1], samples, needs, source)
                needs = needs | {"larger": above.hash}
        if attack.descends or probe.name in self.read:
            common |= {"keep_inputs": "all", "keep_inputs_mb": KEEP_ALL_MB}
        return self.draft.add(
            Cell(
                kind="attack",
                samples=samples,
                plugin=ref(attack),
                eps=eps,
                seed=suite.seed,
                needs=needs,
                probe=probe.name,
                source=source,
                threat=threat_of(attack, self.draft.task.inputs),
                **common,
            )
        )

    def _read_cell(self, name: str, of: str, eps: Budget | None, samples: tuple[str, ...]) -> Cell:
        """The cell of another entry whose perturbed inputs are read."""
        entry, (probe, attack) = self.draft.by_name[name], self.probes[of]
        needs = {"clean": self.draft.clean(entry, samples).hash}
        return self._attack_cell(entry, probe, attack, eps, self.draft.within(samples, probe.samples), needs)

    def _sources(self, entry: PlannedEntry, probe: AttackProbe, attack: Attack) -> list[str]:
        """Entries whose fit is judged on this one: the named source, itself, or with ``transfer`` every entry."""
        if not attack.fits:
            return [""]
        if not probe.transfer:
            return [probe.source or entry.name]
        known = self.draft.by_name
        return list(dict.fromkeys([*(name for name in self.draft.suite.entries if name in known), entry.name]))

    def fit(self, name: str, probe: AttackProbe, attack: Attack, eps: Budget | None) -> Cell:
        """The cell that fits an attack on an entry's training samples.

        Raises:
            SpecError: no such entry, or fewer training samples than asked for.
        """
        draft, where = self.draft, f"suite {self.draft.suite.name!r}, attack {probe.name!r}"
        source = draft.by_name.get(name)
        if source is None:
            raise SpecError(f"{where}: source {probe.source!r} is no entry; known are {', '.join(draft.by_name)}")
        split = draft.suite.dataset.fit_split
        index = draft.dataset.index(split)
        if probe.fit_samples is not None and probe.fit_samples > len(index.ids):
            raise SpecError(
                f"{where}: fit_samples = {probe.fit_samples}, the split {split!r} has {len(index.ids)} samples"
            )
        cell = Cell(
            kind="fit",
            samples=sample_order(index, draft.suite.seed, probe.fit_samples),
            plugin=ref(attack),
            eps=eps,
            seed=draft.suite.seed,
            probe=probe.name,
            **(
                draft.base(source)
                | {"dataset": draft.dataset_ref(split), "time_limit": probe.time_limit or FIT_SECONDS}
            ),
        )
        if cell.hash not in self._fits:
            self._fits[cell.hash] = cell
            draft.cells.append(cell)
        return self._fits[cell.hash]

    def generate(self, entry: PlannedEntry, probe: AttackProbe, attack: Attack) -> None:
        """Cells that make one input a class, from nothing.

        Raises:
            SpecError: the dataset has no classes.
        """
        suite, classes = self.draft.suite, len(self.draft.index.classes)
        if not classes:
            raise SpecError(f"suite {suite.name!r}, attack {probe.name!r}: the dataset has no classes")
        for samples in chunks([f"class-{k}" for k in range(classes)], suite.run.chunk):
            self.draft.cells.append(
                Cell(
                    kind="generate",
                    samples=samples,
                    plugin=ref(attack),
                    seed=suite.seed,
                    probe=probe.name,
                    threat=threat_of(attack, self.draft.task.inputs),
                    **(self.draft.base(entry) | {"time_limit": probe.time_limit or suite.run.time_limit}),
                )
            )


def budgets_run(probe: AttackProbe, attack: Attack) -> Sequence[Budget | None]:
    """The budgets that get a cell, in the order in which they run."""
    if attack.threat.kind != "fixed":
        return (None,)
    return sorted(probe.budgets, reverse=True) if attack.descends else probe.budgets
