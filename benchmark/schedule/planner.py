"""From a suite and its entries to its plan: what does not go together is refused, then cells are built in order.

Each kind of cell has its builder in ``draft``, ``attack_cells`` or ``explain_cells``. Nothing here touches a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.attacks.base import Attack
from benchmark.data.base import Grid
from benchmark.errors import SpecError
from benchmark.schedule.attack_cells import AttackCells
from benchmark.schedule.draft import Draft
from benchmark.schedule.explain_cells import ExplainCells
from benchmark.schedule.kinds import check_kinds
from benchmark.schedule.matching import MAPPED, resized, scaled_notes
from benchmark.schedule.plan import Plan, chunks, make_attack
from benchmark.schedule.request import PlannedEntry
from benchmark.spec.suite import AttackProbe, SuiteSpec

Probes = Mapping[str, tuple[AttackProbe, Attack]]


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
    check_kinds(suite, entries)
    draft = Draft(suite, entries)
    probes = {
        probe.name: (probe, make_attack(probe, f"suite {suite.name!r}, attack {probe.name!r}"))
        for probe in suite.attacks
    }
    _check_headline(suite, probes)
    _check_targets(draft, probes)
    _check_readers(draft, probes)
    _check_reference(draft)
    _add_cells(draft, probes)
    notes = (*scaled_notes(draft.index, suite.dataset.range), *resized(draft.index.shapes, Grid.of(suite.dataset)))
    mapped = {entry.name: MAPPED for entry in draft.entries if draft.outputs[entry.name]}
    facts = draft.dataset.facts()
    return Plan(suite, draft.entries, draft.index, draft.samples, draft.cells, facts, notes, mapped)


def _add_cells(draft: Draft, probes: Probes) -> None:
    """All cells, by entry and chunk."""
    attacks = AttackCells(draft, probes)
    explanations = ExplainCells(draft, probes, attacks.perturbed)
    for entry in draft.entries:
        for probe, attack in probes.values():
            if attack.generates:
                attacks.generate(entry, probe, attack)
        for samples in chunks(draft.samples, draft.suite.run.chunk):
            clean = draft.clean(entry, samples)
            for probe, attack in probes.values():
                if not attack.generates:
                    attacks.attack(entry, probe, attack, clean)
            for explainer in draft.suite.explainers:
                explanations.explain(entry, explainer, clean)
            explanations.similarity(entry, clean)
        explanations.score_jointly(entry)


def _check_headline(suite: SuiteSpec, probes: Probes) -> None:
    """Some attack that is no control runs in the headline threat model."""
    threat = suite.threat
    if threat is None or not probes:
        return
    todo = "add that budget to one of its attacks"
    for probe, attack in probes.values():
        at_eps = attack.threat.kind == "minimal" or threat.eps in probe.budgets
        if attack.threat.norm == threat.norm and at_eps and not attack.control:
            if attack.threat.domain == threat.domain:
                return
            todo = f"attack {probe.name!r} perturbs {attack.threat.domain!r}: say `domain` under [threat]"
    raise SpecError(
        f"suite {suite.name!r}: no attack runs in the headline threat model"
        f" ({threat.norm}, eps {threat.eps.printed}, domain {threat.domain!r}); {todo}"
    )


def _check_targets(draft: Draft, probes: Probes) -> None:
    """A target class is one of the dataset's."""
    classes = len(draft.index.classes)
    for probe, attack in probes.values():
        target = getattr(attack, "target", None)
        if classes and isinstance(target, int) and target >= classes:
            raise SpecError(
                f"suite {draft.suite.name!r}, attack {probe.name!r}: target = {target}, the dataset has the classes"
                f" 0 to {classes - 1}"
            )


def _check_reference(draft: Draft) -> None:
    """The entry that others are held against is one of the suite's: without it there is no gate."""
    entry, _ = draft.task.reference()
    if entry and entry not in draft.by_name:
        known = ", ".join(draft.by_name)
        raise SpecError(
            f"suite {draft.suite.name!r}, [task_params]: against = {entry!r} is none of the entries ({known}); the"
            " accuracy gate needs it"
        )


def _check_readers(draft: Draft, probes: Probes) -> None:
    """An attack that reads says of which probe and which entries."""
    suite = draft.suite
    for probe, attack in probes.values():
        where = f"suite {suite.name!r}, attack {probe.name!r}"
        if attack.reads != bool(probe.of):
            said = "reads what others found; name that probe in `of` and the entries in `sources`"
            said = said if attack.reads else "reads nothing of others; remove `of` and `sources`"
            raise SpecError(f"{where}: {probe.use!r} {said}")
        budgets = probes[probe.of][0].budgets if probe.of in probes else ()
        if probe.of and not set(probe.budgets) <= set(budgets):
            raise SpecError(f"{where}: of = {probe.of!r} must be a probe that runs at each of its budgets")
        unknown = [name for name in probe.sources if name not in draft.by_name]
        if unknown:
            raise SpecError(f"{where}: source {unknown[0]!r} is no entry; known are {', '.join(draft.by_name)}")
