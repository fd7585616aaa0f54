"""What a model was not tested on: every threat that Assay knows and of which it has no record of this model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmark.report.label.facts import Number, Sentence, Source, listed, plural
from benchmark.report.label.shapes import CONTRAST
from benchmark.report.label.tested import Tested
from benchmark.report.worth import verdict_on
from benchmark.spec.suite import AttackProbe

SECTION = "untested"
STRUCTURAL = (
    ("rotation-translation", "turned and shifted images"),
    ("scale", "enlarged and shrunk images"),
    ("shear", "slanted images"),
    ("brightness", "brighter and darker images"),
    ("contrast", "lower contrast"),
    ("gamma", "other midtones"),
    ("blur", "blurred images"),
    ("jpeg", "images stored as JPEG"),
    ("fog", "fog"),
    ("occlusion", "a part covered"),
)
SEVERITIES = len(CONTRAST)


@dataclass(frozen=True)
class Threat:
    """One kind of test: how it is said, and whether a probe of a suite is one."""

    key: str
    words: str
    of: Callable[[Tested, AttackProbe], bool]


def _norm(*norms: str, knowledge: Sequence[str] = ("white-box",)) -> Callable[[Tested, AttackProbe], bool]:
    def of(tested: Tested, probe: AttackProbe) -> bool:
        threat = tested.results.threat(probe.name)
        inside = threat.get("norm") in norms and threat.get("domain", "image") == "image"
        return (
            inside and threat.get("knowledge") in knowledge and threat.get("breaks", True) and not _fits(tested, probe)
        )

    return of


def _fits(tested: Tested, probe: AttackProbe) -> bool:
    return probe.name in tested.views and type(tested.views[probe.name].attack).fits


def _use(*uses: str) -> Callable[[Tested, AttackProbe], bool]:
    return lambda _, probe: probe.use in uses


def _family(name: str) -> Callable[[Tested, AttackProbe], bool]:
    return lambda _, probe: probe.use == "structural" and probe.params.get("family", STRUCTURAL[0][0]) == name


CLASSIFICATION = (
    Threat("linf", "small changes of every pixel", _norm("linf")),
    Threat("l2", "changes of a limited total size", _norm("l2")),
    Threat("sparse", "changes of a few pixels only", _norm("l0", "l1")),
    Threat("queries", "attackers who can only ask it", _norm("linf", "l2", knowledge=("score", "decision"))),
    Threat("noise", "random noise", _norm("linf", "l2", knowledge=("none",))),
    *(Threat(f"structural:{name}", words, _family(name)) for name, words in STRUCTURAL),
    Threat("patch", "a sticker laid on the image", _use("patch")),
    Threat("physical", "a sticker in the scene, seen from other places", _use("rp2")),
    Threat("universal", "one pattern for all images", lambda _, p: p.use.startswith("universal")),
    Threat("fooling", "images that show nothing", _use("fooling-gradient", "fooling-evolution")),
    Threat("regions", "shortcuts in a part of the image", _use("mask-region", "keep-region")),
    Threat("watermark", "shortcuts by a mark", _use("watermark")),
    Threat("structure", "shortcuts by a hint that goes along with the truth", _use("structure-conflict")),
    Threat("bent", "attacks on its explanations", lambda t, p: not t.results.threat(p.name).get("breaks", True)),
)
RECONSTRUCTION = (
    Threat("worst", "the worst noise in the measurement", _use("measurement-l2")),
    Threat("transfer", "noise made for another method", _use("measurement-transfer")),
    Threat("random", "random noise in the measurement", _use("measurement-noise")),
    Threat("image", "small changes of the image itself", _use("pnas")),
    Threat("details", "small details", _use("details")),
    Threat("lesion", "lesions hidden or made by somebody", _use("lesion")),
    Threat("sampling", "more or fewer measured points", _use("sampling")),
    Threat("shift", "another way of measuring", _use("shift")),
)


def missing(every: Sequence[Tested]) -> list[Threat]:
    """Threats of the model's task without a finished record in any of these suites."""
    known = CLASSIFICATION if every[0].task.verdicts else RECONSTRUCTION
    return [threat for threat in known if not any(tried(tested, threat) for tested in every)]


def tried(tested: Tested, threat: Threat) -> bool:
    """Whether a suite has a finished record of such a probe on the model."""
    return any(threat.of(tested, probe) and tested.ran(probe) for probe in tested.suite.attacks)


def checked(tested: Tested) -> bool:
    """Whether explanations were scored by a sound metric."""
    cells = tested.cells
    for metric in tested.suite.metrics:
        scored = cells[(cells["kind"] == "score") & (cells["metric"] == metric.name)]
        if verdict_on(tested.suite, metric.name) == "sound" and tested.done(scored):
            return True
    return False


def untested(every: Sequence[Tested]) -> Iterator[Sentence]:
    """What was not asked, what failed, and what no test of these can say."""
    plans = tuple(tested.plan_source("what the plan asks for") for tested in every)
    left = [threat.words for threat in missing(every)]
    classifies = every[0].task.verdicts
    if classifies and not any(checked(tested) for tested in every):
        left.append("whether explanations of its answers are true")
    if left:
        yield Sentence(SECTION, f"Not tested on this model: {'; '.join(left)}.", plans)
    for tested in every:
        yield from _unfinished(tested)
    yield from _limits(every, plans)


def _unfinished(tested: Tested) -> Iterator[Sentence]:
    counts, reasons = tested.not_done()
    lost = {name: n for name, n in counts.items() if n}
    if not lost:
        return
    words = {"failed": "failed", "skipped": "do not apply to it", "missing": "did not run"}
    said = listed([f"{n} {words[name]}" for name, n in lost.items()])
    total = len(tested.cells)
    text = f"In `{tested.name}`, of {plural(total, 'step')} planned for this model {said}; they count for nothing here."
    numbers = tuple(Number(f"{n:,}", n, "(steps of the plan)") for n in (total, *lost.values()))
    if reasons:
        text += f" First reason: {reasons[0]}"
        numbers += tuple(Number(t, float(t), "(in the reason)") for t in re.findall(r"\d+(?:\.\d+)?", reasons[0]))
    heads = tested.results.heads
    cells = [c for c in tested.cells["hash"] if c in heads and heads[c]["status"] != "done"]
    yield Sentence(
        SECTION, text, (tested.source("failed or skipped", 0, cells),) if cells else plans_of(tested), numbers
    )


def plans_of(tested: Tested) -> tuple[Source, ...]:
    """The plan as the source of what is not there."""
    return (tested.plan_source("what the plan asks for"),)


def _limits(every: Sequence[Tested], plans: tuple[Source, ...]) -> Iterator[Sentence]:
    data = list(dict.fromkeys(tested.suite.dataset.label for tested in every))
    yield Sentence(
        SECTION,
        f"Nothing here says how it behaves on other data than {listed([f'`{name}`' for name in data])}: other machines,"
        " other places, other people.",
        plans,
    )
    yield Sentence(
        SECTION,
        "A stronger attack than those tried may exist. The numbers show how badly it can fail, never that it is safe.",
        plans,
    )
