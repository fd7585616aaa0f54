"""Sentences on samples as they are, and on samples that somebody changed by a bounded amount."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan

from benchmark.report.label.tested import Tested
from benchmark.reported import EMPTY, Column
from benchmark.sentences import HALF, Bar, Draft, Sentence, listed
from benchmark.spec.budget import Budget

DOUBT = " This test is itself in doubt (see the top): the truth may be worse."


def ordinary(tested: Tested) -> Iterator[Sentence]:
    """Clean accuracy, and what the task adds."""
    accuracy = tested.clean_rate
    if accuracy is None:
        return
    draft = Draft(tested)
    yield draft.done(
        "ordinary",
        f"On {tested.words.samples} as they are, its answer is right on {draft.rate(tested.clean_column, accuracy)}.",
        tested.clean_cells(),
    )
    yield from tested.task.asides(tested)


# -- norms -------------------------------------------------------------------------------------------------


def budgets(tested: Tested, norm: str) -> list[Budget]:
    """Budgets of a norm that attacks of any joined suite were run at, smallest first, up to where every input is
    possible."""
    found = {eps for one in tested.group for probe in one.breaking(norm) for eps in probe.budgets}
    return sorted(eps for eps in found if norm != "linf" or eps.value < 1)


def smallest(tested: Tested, norm: str) -> Budget | None:
    """The smallest tested budget at which at least half of the right answers are made wrong."""
    for eps in budgets(tested, norm):
        value = tested.worst_broken(norm, eps)[1].value
        if not isnan(value) and value >= HALF:
            return eps
    return None


def deliberate(tested: Tested, norm: str, *, doubted: bool) -> Iterator[Sentence]:
    """The smallest change that breaks half, the headline, the control, who can do it, and which errors it makes."""
    tried = budgets(tested, norm)
    if tried:
        telling = smallest(tested, norm) or tried[-1]
        threat = tested.suite.threat
        if threat is not None and threat.norm == norm and threat.eps in tried and threat.eps != telling:
            yield _one(tested, norm, threat.eps, doubted=doubted)
            yield from _fewer_images(tested, norm, threat.eps)
        yield _one(tested, norm, telling, doubted=doubted, half=True)
        yield from _fewer_images(tested, norm, telling)
        speaker = tested.speaker(norm, telling)
        yield from _control(speaker, norm, telling)
        yield from _asides(speaker, norm, telling)
        yield from _black_box(speaker, norm, telling)
    for one in tested.group:
        minimal = [p for p in one.breaking(norm) if one.results.threat(p.name).get("kind") == "minimal"]
        for probe in [p for p in minimal if not p.budgets][:1]:
            yield from _minimal(one, probe.name, norm, doubted=doubted)
            return  # the first that the suite names: another library's variant says no more to a reader


def _fewer_images(tested: Tested, norm: str, eps: Budget) -> Iterator[Sentence]:
    """A suite of far fewer samples on which attacks left less: said beside the headline, never in place of it."""
    _, known, speaker = tested.worst(norm, eps)
    for one in speaker.smaller(norm, eps):
        rate = one.results.rate(one.model, one.joined(norm, eps))
        if isnan(rate.value) or isnan(known.value) or rate.value >= known.value:
            continue
        draft = Draft(one, f"every attack at {norm} {eps}")
        column = f"(joined {norm} {eps})"
        text = (
            f"On fewer {one.words.samples}, those of `{one.name}`, stronger attacks of that size were tried: only"
            f" {draft.rate(column, rate)} are still answered right."
        )
        yield draft.done("deliberate", text, _cells(one, norm, eps), more=one.joined_sources(norm, eps))


def _cells(tested: Tested, norm: str, eps: Budget) -> list[str]:
    probes = [p for p in tested.results.of_norm(norm) if eps in p.budgets or not p.budgets]
    return tested.clean_cells() + [c for p in probes for c in tested.attack_cells(p.name, eps)]


def _one(tested: Tested, norm: str, eps: Budget, *, doubted: bool, half: bool = False) -> Sentence:
    column, estimate, speaker = tested.worst_broken(norm, eps)
    group = speaker.group
    names = list(dict.fromkeys(p.name for one in group for p in one.breaking(norm) if eps in p.budgets))
    draft = Draft(speaker, f"{listed(names)} at {norm} {eps}")
    broke = not isnan(estimate.value) and estimate.value >= HALF
    note = ""
    if half and broke:
        note = " It is the smallest tested size that turns at least half of them wrong."
    elif half:
        note = " No tested size of change turned half of them wrong; this is the largest."
    text = (
        f"{_changing(norm, eps, draft)}, on purpose and by {_who(group, names)}, turns"
        f" {draft.rate(column, estimate, noun='right answers wrong')}.{note}{DOUBT if doubted else ''}"
    )
    return draft.done("deliberate", text, _cells(speaker, norm, eps), more=speaker.joined_sources(norm, eps))


def _changing(norm: str, eps: Budget, draft: Draft) -> str:
    words, size = draft.model.words, draft.size(norm, eps)
    if norm == "linf":
        return size.replace(f"no {words.element} changed", f"Changing no {words.element}").capitalize()
    return f"Changing the {words.sample}, with {size}"


def _who(group: Sequence[Tested], names: Sequence[str]) -> str:
    """What the adversary must know."""
    inside = any(one.results.threat(name).get("knowledge") == "white-box" for one in group for name in names)
    return "somebody who can look inside the model" if inside else "somebody who can only ask the model"


def _control(tested: Tested, norm: str, eps: Budget) -> Iterator[Sentence]:
    for probe in tested.breaking(norm, control=True):
        if eps in probe.budgets:
            column, estimate = tested.broken(probe.name, eps)
            draft = Draft(tested, f"{probe.name} at {norm} {eps}")
            text = (
                "For comparison, random noise of that same size turns"
                f" {draft.rate(column, estimate, noun='right answers wrong')}."
            )
            yield draft.done("deliberate", text, tested.clean_cells() + tested.attack_cells(probe.name, eps))


def _asides(tested: Tested, norm: str, eps: Budget) -> Iterator[Sentence]:
    """What the task adds, of the strongest attack at that size."""
    probes = [p for p in tested.breaking(norm) if eps in p.budgets and p.name in tested.views]
    if probes:
        strongest = max(probes, key=lambda p: tested.broken(p.name, eps)[1].low)
        yield from tested.task.asides(tested, strongest.name, eps)


def _black_box(tested: Tested, norm: str, eps: Budget) -> Iterator[Sentence]:
    """What somebody does who cannot look inside."""
    found = []
    for probe in tested.breaking(norm):
        if tested.results.threat(probe.name).get("knowledge") in ("score", "decision") and eps in probe.budgets:
            found.append((tested.broken(probe.name, eps), probe.name))
    if not found:
        return
    (column, estimate), name = max(found, key=lambda each: (each[0][1].low, each[1]))
    draft = Draft(tested, f"{name} at {norm} {eps}")
    text = (
        f"Somebody who cannot look inside the model and only sends it {tested.words.samples} and reads its answers can,"
        " at that size,"
        f" turn {draft.rate(column, estimate, noun='right answers wrong')}."
    )
    yield draft.done("deliberate", text, tested.clean_cells() + tested.attack_cells(name, eps))


def _minimal(tested: Tested, probe: str, norm: str, *, doubted: bool) -> Iterator[Sentence]:
    """An attack that looks for the smallest change: how many it turns, how large that is, what an image file keeps."""
    column, estimate = tested.broken(probe)
    draft = Draft(tested, f"{probe}, smallest {norm}")
    text = (
        f"An attack that may change the whole {tested.words.sample}, and looks for the smallest change that works,"
        f" turns {draft.rate(column, estimate, noun='right answers wrong')}."
    )
    for declared in tested.views[probe].attack.columns() if probe in tested.views else ():
        text += _share(draft, f"{declared.name}_{probe}", declared)
    if tested.words.rounding and "success_8bit" in tested.results.rows:
        column, kept = tested.broken(probe, None, "success_8bit")
        if not isnan(kept.value) and kept.value < estimate.value:
            text += (
                f" Stored as {tested.words.rounding}, {draft.rate(column, kept)} stay wrong: the rest are"
                " changes too fine for such a file."
            )
    yield draft.done("deliberate", text + (DOUBT if doubted else ""), tested.clean_cells() + tested.attack_cells(probe))


def _share(draft: Draft, name: str, column: Column) -> str:
    """What a column of the attack adds to the sentence on its success; empty where it has nothing to say."""
    estimate = draft.model.own.get(name, EMPTY)
    if column.label is None or not estimate.n or isnan(estimate.value):
        return ""
    clause, meaning = column.label
    ends = [("", estimate.value), *([] if isnan(estimate.low) else [("_low", estimate.low), ("_high", estimate.high)])]
    shown = [draft.number(f"{100 * value:.1f}", value, name + end) for end, value in ends]
    interval = f"95 % interval {shown[1]} to {shown[2]} %; " if len(shown) > 1 else ""
    return f" {clause.format(shown[0])} ({interval}{meaning})."


# -- the chart ---------------------------------------------------------------------------------------------


def bars(tested: Tested, norm: str) -> Iterator[Bar]:
    """Right answers of 100: as they are, under noise, under each size of a change made on purpose."""
    accuracy = tested.clean_rate
    if accuracy is None:
        return
    clean = tested.source("", accuracy.n, tested.clean_cells(), [tested.clean_column])
    yield Bar(f"{tested.words.samples.capitalize()} as they are", accuracy, clean, tested.clean_column, "ordinary")
    if not norm:
        return
    for probe in tested.breaking(norm, control=True):
        for eps in [e for e in sorted(probe.budgets) if e in budgets(tested, norm)][-1:]:
            column, estimate = tested.robust(probe.name, eps)
            source = tested.source(f"{probe.name} at {norm} {eps}", estimate.n, tested.attack_cells(probe.name, eps))
            yield Bar(f"Random noise, {tested.words.short_size(norm, eps)}", estimate, source, column, "control")
    threat = tested.suite.threat
    for eps in budgets(tested, norm):
        column, estimate, speaker = tested.worst(norm, eps)
        source = speaker.source(f"every attack at {norm} {eps}", estimate.n, _cells(speaker, norm, eps))
        first = threat is not None and (threat.norm, threat.eps) == (norm, eps)
        more = speaker.joined_sources(norm, eps)
        yield Bar(
            f"Changed on purpose, {tested.words.short_size(norm, eps)}",
            estimate,
            source,
            column,
            more=more,
            headline=first,
        )
