"""What a model was not tested on: every hazard that Assay knows and of which it has no record of this model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from benchmark.accounts import Hazard
from benchmark.attacks.base import attacks
from benchmark.inputs import takes
from benchmark.report.label.account import account_of
from benchmark.report.label.tested import Tested
from benchmark.report.soundness import verdict_on
from benchmark.sentences import Number, Sentence, Source, listed, plural

SECTION = "untested"


def hazards(tested: Tested) -> list[Hazard]:
    """Everything that a model of this task may meet: what the task says, then what families of attacks say."""
    said = {
        cls.says
        for cls in attacks.classes().values()
        if cls.says is not None and takes(cls.accepts, tested.task.inputs)
    }
    chapters = sorted(said, key=lambda chapter: chapter.order)
    return [*account_of(tested.task).hazards(), *(hazard for chapter in chapters for hazard in chapter.hazards)]


def missing(every: Sequence[Tested]) -> list[Hazard]:
    """Hazards of the model's task without a finished record in any of these suites."""
    return [hazard for hazard in hazards(every[0]) if not any(tried(tested, hazard) for tested in every)]


def tried(tested: Tested, hazard: Hazard) -> bool:
    """Whether a suite has a finished record of an attack that tests it on the model."""
    return any(_tests(tested, probe.name, hazard) and tested.ran(probe.name) for probe in tested.suite.attacks)


def _tests(tested: Tested, probe: str, hazard: Hazard) -> bool:
    attack = tested.views[probe].attack if probe in tested.views else None
    if hazard.of is None:
        return attack is not None and hazard.key in attack.hazards()
    return hazard.of({**tested.threat(probe), "fits": attack is not None and attack.fits, "inputs": tested.task.inputs})


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
    left = [hazard.words for hazard in missing(every)]
    if account_of(every[0].task).explained and not any(checked(tested) for tested in every):
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
