"""Sentences on ordinary images, and on images that somebody changed by a bounded amount."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import isnan

from benchmark.report.label.facts import Bar, Says, Sentence, listed, steps
from benchmark.report.label.tested import Tested
from benchmark.report.results import Condition
from benchmark.reported import EMPTY, Estimate
from benchmark.spec.suite import write_eps

HALF = 0.5
NORMS = ("linf", "l2", "l1", "l0")
DOUBT = " This test is itself in doubt (see the top): the truth may be worse."


def size(norm: str, eps: Fraction, says: Says | None = None) -> str:
    """A budget in plain words."""
    shown, grey = write_eps(eps), steps(eps)
    if says is not None:
        for text in (shown, grey):
            says.number(text, float(eps), "(the plan's budget)")
    if norm == "linf":
        return f"no pixel changed by more than {shown} ({grey} of 255 grey steps)"
    if norm == "l2":
        return (
            f"a total change of at most {shown} (the root of the summed squares of all pixel changes; one pixel from"
            " black to white counts as one)"
        )
    if norm == "l1":
        return f"all pixel changes together at most {shown} (one pixel from black to white counts as one)"
    return f"at most {shown} pixel values changed"


def ordinary(tested: Tested) -> Iterator[Sentence]:
    """Clean accuracy; and for classes whose errors are not alike, what is found and what is a false alarm."""
    accuracy = tested.clean.get("clean_acc")
    if accuracy is None:
        return
    says = Says(tested)
    yield says.done(
        "ordinary",
        f"On images as they are, its answer is right on {says.rate('clean_acc', accuracy)}.",
        tested.clean_cells(),
    )
    if len(tested.classes) != 2:
        return
    columns = class_columns(tested)
    for name in getattr(tested.task, "flips", ()) if columns else ():
        other = next(c for c in tested.classes if c != name)
        found, right = (f"recall_{columns[c]}" for c in (name, other))
        says = Says(tested)
        text = (
            f"Of 100 {name} images it finds {_count(says, found, tested.clean[found])}; of 100 {other} images it calls"
            f" {_count(says, right, tested.clean[right], turned=True)} {name} (a false alarm)."
        )
        yield says.done("ordinary", text, tested.clean_cells())


def class_columns(tested: Tested) -> dict[str, str]:
    """Class to how its name stands in columns; empty where there are no columns of classes."""
    names = [c.name for c in tested.task.columns(tested.classes) if c.name.startswith("recall_")]
    return dict(zip(tested.classes, (name.removeprefix("recall_") for name in names), strict=False)) if names else {}


def _count(says: Says, column: str, estimate: Estimate, *, turned: bool = False) -> str:
    """``95 (95 % interval 89 to 97; 111 images)``."""
    return says.share(column, estimate, turned=turned).removesuffix(" of 100") + says.interval(
        column, estimate, turned=turned
    )


# -- norms -------------------------------------------------------------------------------------------------


def budgets(tested: Tested, norm: str) -> list[Fraction]:
    """Budgets of a norm that attacks of any joined suite were run at, smallest first, up to where every image is
    possible."""
    found = {eps for one in tested.group for probe in one.breaking(norm) for eps in probe.budgets}
    return sorted(eps for eps in found if norm != "linf" or eps < 1)


def smallest(tested: Tested, norm: str) -> Fraction | None:
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
        yield from _flips(speaker, norm, telling)
        yield from _black_box(speaker, norm, telling)
    for one in tested.group:
        minimal = [p for p in one.breaking(norm) if one.results.threat(p.name).get("kind") == "minimal"]
        for probe in [p for p in minimal if not p.budgets][:1]:
            yield from _minimal(one, probe.name, norm, doubted=doubted)
            return  # the first that the suite names: another library's variant says no more to a reader


def _fewer_images(tested: Tested, norm: str, eps: Fraction) -> Iterator[Sentence]:
    """A suite of far fewer images on which attacks left less: said beside the headline, never in place of it."""
    _, known, speaker = tested.worst(norm, eps)
    for one in speaker.smaller(norm, eps):
        rate = one.results.rate(one.model, one.joined(norm, eps))
        if isnan(rate.value) or isnan(known.value) or rate.value >= known.value:
            continue
        says = Says(one, f"every attack at {norm} {eps}")
        column = f"(joined {norm} {eps})"
        text = (
            f"On fewer images, those of `{one.name}`, stronger attacks of that size were tried: only"
            f" {says.rate(column, rate)} are still answered right."
        )
        yield says.done("deliberate", text, _cells(one, norm, eps), more=one.joined_sources(norm, eps))


def _cells(tested: Tested, norm: str, eps: Fraction) -> list[str]:
    probes = [p for p in tested.results.of_norm(norm) if eps in p.budgets or not p.budgets]
    return tested.clean_cells() + [c for p in probes for c in tested.attack_cells(p.name, eps)]


def _one(tested: Tested, norm: str, eps: Fraction, *, doubted: bool, half: bool = False) -> Sentence:
    column, estimate, speaker = tested.worst_broken(norm, eps)
    group = speaker.group
    names = list(dict.fromkeys(p.name for one in group for p in one.breaking(norm) if eps in p.budgets))
    says = Says(speaker, f"{listed(names)} at {norm} {eps}")
    broke = not isnan(estimate.value) and estimate.value >= HALF
    note = ""
    if half and broke:
        note = " It is the smallest tested size that turns at least half of them wrong."
    elif half:
        note = " No tested size of change turned half of them wrong; this is the largest."
    text = (
        f"{_changing(norm, eps, says)}, on purpose and by {_who(group, names)}, turns"
        f" {says.rate(column, estimate, noun='right answers wrong')}.{note}{DOUBT if doubted else ''}"
    )
    return says.done("deliberate", text, _cells(speaker, norm, eps), more=speaker.joined_sources(norm, eps))


def _changing(norm: str, eps: Fraction, says: Says) -> str:
    if norm == "linf":
        return size(norm, eps, says).replace("no pixel changed", "Changing no pixel").capitalize()
    return f"Changing the image, with {size(norm, eps, says)}"


def _who(group: Sequence[Tested], names: Sequence[str]) -> str:
    """What the adversary must know."""
    inside = any(one.results.threat(name).get("knowledge") == "white-box" for one in group for name in names)
    return "somebody who can look inside the model" if inside else "somebody who can only ask the model"


def _control(tested: Tested, norm: str, eps: Fraction) -> Iterator[Sentence]:
    for probe in tested.breaking(norm, control=True):
        if eps in probe.budgets:
            column, estimate = tested.broken(Condition(probe.name, eps))
            says = Says(tested, f"{probe.name} at {norm} {eps}")
            text = (
                "For comparison, random noise of that same size turns"
                f" {says.rate(column, estimate, noun='right answers wrong')}."
            )
            yield says.done("deliberate", text, tested.clean_cells() + tested.attack_cells(probe.name, eps))


def _flips(tested: Tested, norm: str, eps: Fraction) -> Iterator[Sentence]:
    """Which way answers turn, where errors are not alike: of the strongest attack at that size."""
    flips = getattr(tested.task, "flips", ())
    probes = [p for p in tested.breaking(norm) if eps in p.budgets and p.name in tested.views]
    if not flips or not probes:
        return
    probe = max(probes, key=lambda p: tested.broken(Condition(p.name, eps))[1].low)
    suffix = Condition(probe.name, eps).suffix
    columns = class_columns(tested)
    for name in flips if columns else ():
        column = columns[name]
        away, to = (tested.own.get(f"flips_{way}_{column}_{suffix}", EMPTY) for way in ("from", "to"))
        if not away.n or not to.n or isnan(away.value + to.value):
            continue
        says = Says(tested, f"{probe.name} at {norm} {eps}")
        text = (
            f"At that size, of 100 {name} images that it recognises, "
            f"{_count(says, f'flips_from_{column}_{suffix}', away)} are no longer recognised ({name} is missed); of 100"
            f" other images that it reads right, {_count(says, f'flips_to_{column}_{suffix}', to)} are called {name} (a"
            " false alarm)."
        )
        yield says.done("deliberate", text, tested.clean_cells() + tested.attack_cells(probe.name, eps))


def _black_box(tested: Tested, norm: str, eps: Fraction) -> Iterator[Sentence]:
    """What somebody does who cannot look inside."""
    found = []
    for probe in tested.breaking(norm):
        if tested.results.threat(probe.name).get("knowledge") in ("score", "decision") and eps in probe.budgets:
            found.append((tested.broken(Condition(probe.name, eps)), probe.name))
    if not found:
        return
    (column, estimate), name = max(found, key=lambda each: (each[0][1].low, each[1]))
    says = Says(tested, f"{name} at {norm} {eps}")
    text = (
        "Somebody who cannot look inside the model and only sends it images and reads its answers can, at that size,"
        f" turn {says.rate(column, estimate, noun='right answers wrong')}."
    )
    yield says.done("deliberate", text, tested.clean_cells() + tested.attack_cells(name, eps))


def _minimal(tested: Tested, probe: str, norm: str, *, doubted: bool) -> Iterator[Sentence]:
    """An attack that looks for the smallest change: how many it turns, how large that is, what an image file keeps."""
    condition = Condition(probe, None)
    column, estimate = tested.broken(condition)
    says = Says(tested, f"{probe}, smallest {norm}")
    text = (
        "An attack that may change the whole image, and looks for the smallest change that works, turns"
        f" {says.rate(column, estimate, noun='right answers wrong')}."
    )
    name = f"mean_relative_{norm}_{probe}"
    relative = tested.own.get(name, EMPTY)
    if relative.n and norm == "l2" and isnan(relative.low) and not isnan(relative.value):
        share = says.number(f"{100 * relative.value:.1f}", relative.value, name)
        text += f" On average that change has {share} % of the image's own strength (strength is the root of the summed"
        text += " squares of all pixels)."
    elif relative.n and norm == "l2" and not isnan(relative.value):
        shown = [says.number(f"{100 * v:.1f}", v, name + end) for v, end in _ends(relative)]
        text += (
            f" On average that change has {shown[0]} % of the image's own strength (95 % interval {shown[1]} to"
            f" {shown[2]} %; strength is the root of the summed squares of all pixels)."
        )
    if "success_8bit" in tested.results.rows:
        column, kept = tested.broken(condition, "success_8bit")
        if not isnan(kept.value) and kept.value < estimate.value:
            text += (
                f" Stored as a common image file (256 grey values), {says.rate(column, kept)} stay wrong: the rest are"
                " changes too fine for such a file."
            )
    yield says.done("deliberate", text + (DOUBT if doubted else ""), tested.clean_cells() + tested.attack_cells(probe))


def _ends(estimate: Estimate) -> list[tuple[float, str]]:
    return [(estimate.value, ""), (estimate.low, "_low"), (estimate.high, "_high")]


# -- the chart ---------------------------------------------------------------------------------------------


def bars(tested: Tested, norm: str) -> Iterator[Bar]:
    """Right answers of 100: as they are, under noise, under each size of a change made on purpose."""
    accuracy = tested.clean.get("clean_acc")
    if accuracy is None:
        return
    clean = tested.source("", accuracy.n, tested.clean_cells(), ["clean_acc"])
    yield Bar("Images as they are", accuracy, clean, "clean_acc", "ordinary")
    if not norm:
        return
    for probe in tested.breaking(norm, control=True):
        for eps in [e for e in sorted(probe.budgets) if e in budgets(tested, norm)][-1:]:
            column, estimate = tested.robust(Condition(probe.name, eps))
            source = tested.source(f"{probe.name} at {norm} {eps}", estimate.n, tested.attack_cells(probe.name, eps))
            yield Bar(f"Random noise, {short(norm, eps)}", estimate, source, column, "control")
    threat = tested.suite.threat
    for eps in budgets(tested, norm):
        column, estimate, speaker = tested.worst(norm, eps)
        source = speaker.source(f"every attack at {norm} {eps}", estimate.n, _cells(speaker, norm, eps))
        first = threat is not None and (threat.norm, threat.eps) == (norm, eps)
        more = speaker.joined_sources(norm, eps)
        yield Bar(f"Changed on purpose, {short(norm, eps)}", estimate, source, column, more=more, headline=first)


def short(norm: str, eps: Fraction) -> str:
    """A budget in a few words."""
    return f"each pixel by at most {write_eps(eps)}" if norm == "linf" else f"{norm} size at most {write_eps(eps)}"
