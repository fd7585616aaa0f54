"""The top of a label: one line, the chart, what makes it doubtful, what it was tested on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isnan

from benchmark.report.label import reconstruction, robust, shapes
from benchmark.report.label.facts import FEW, SMALL, Bar, Number, Says, Sentence, listed, plural
from benchmark.report.label.tested import Tested
from benchmark.report.text import per_100
from benchmark.spec.suite import show_eps

FLAGS = {
    "black-box-stronger": "an attack that cannot look inside the model beat those that can: those were too weak",
    "zero-gradient": "the attacks that look inside the model had nothing to follow",
    "randomised": "the model answers differently when it is asked twice",
    "softmax-output": "the model gives probabilities where the attacks expect raw scores",
    "more-steps-gain": "attacks that were given more time still found more",
    "unbounded-fails": "even attacks without any limit did not break every image, which says that they were stuck",
    "accuracy-gate": "it is worse on ordinary measurements than the method without learning, so nothing here can show"
    " that it is the more stable one",
}


def first(every: Sequence[Tested]) -> Iterator[Sentence]:
    """What makes the numbers doubtful: flags, few samples."""
    found: dict[str, tuple[str, list[Tested]]] = {}
    for tested in every:
        for flag in tested.flags:
            found.setdefault(flag.name, (FLAGS.get(flag.name, flag.words), []))[1].append(tested)
    for name, (words, of) in found.items():
        lead = "" if name == "accuracy-gate" else "the test itself is in doubt: "
        text = f"In {listed([f'`{tested.name}`' for tested in of])} {lead}{words}."
        sources = tuple(tested.source(f"flag {name}", 0, tested.done(tested.cells)) for tested in of)
        yield Sentence("first", text, sources)
    few = [tested for tested in every if tested.results.planned(tested.model) < SMALL]
    if few:
        counts = [tested.results.planned(tested.model) for tested in few]
        said = listed([f"`{tested.name}` ({plural(n, 'image')})" for tested, n in zip(few, counts, strict=True)])
        numbers = tuple(Number(f"{n:,}", n, "n") for n in counts)
        text = f"Few images were tested: take the numbers as rough. They are of {said}."
        yield Sentence("first", text, tuple(tested.source("", 0, tested.clean_cells()) for tested in few), numbers)


def what(every: Sequence[Tested]) -> Iterator[Sentence]:
    """Data, split, size, answers: one sentence a dataset."""
    groups: dict[tuple[str, str], list[Tested]] = {}
    for tested in every:
        groups.setdefault((tested.suite.dataset.label, tested.suite.dataset.split), []).append(tested)
    for (data, split), of in groups.items():
        numbers, parts = list[Number](), []
        for tested in of:
            n = tested.results.planned(tested.model)
            numbers.append(Number(f"{n:,}", n, "n"))
            parts.append(f"{plural(n, 'image')} in `{tested.name}`")
        text = f"Images of the data set `{data}` (its part `{split}`, as given to Assay): {', '.join(parts)}."
        size = of[0].suite.dataset.size
        if size is not None:
            height, width = size
            numbers += [Number(str(v), v, "(the plan's size)") for v in (height, width)]
            text += f" Each was first made {height} pixels high and {width} wide."
        classes = of[0].classes
        if classes:
            numbers.append(Number(str(len(classes)), len(classes), "(the data set's classes)"))
            names = f": {', '.join(classes)}" if len(classes) <= 10 else ""
            text += f" It chooses one of {len(classes)} answers{names}."
        numbers += [Number(name, float(name), "(class)") for name in classes if name.isdigit() and len(classes) <= 10]
        yield Sentence("tested", text, tuple(t.plan_source("what the plan asks for") for t in of), tuple(numbers))


def bars(first: Tested, every: Sequence[Tested]) -> Iterator[Bar]:
    """The chart: the headline suite's, and what other suites on its data say of turned images."""
    if isinstance(first, reconstruction.Rebuilt):
        yield from reconstruction.bars(first)
        return
    threat = first.suite.threat
    yield from robust.bars(first, threat.norm if threat is not None else "")
    for tested in every:
        if tested.results.plan["dataset"]["digest"] == first.results.plan["dataset"]["digest"]:
            yield from shapes.structural_bars(tested)


def headline_bars(first: Tested, charts: Sequence[Bar]) -> list[Bar]:
    """Ordinary, and the worst case of the headline threat model; of a suite without one, the lowest that is there."""
    threat = first.suite.threat
    name = f"rel_err_worst_{show_eps(threat.eps)}" if not first.task.verdicts and threat is not None else ""
    ordinary = [b for b in charts if b.kind == "ordinary"][:1]
    worst = [b for b in charts if (b.column == name if name else b.headline)][:1]
    if ordinary and worst and first.task.verdicts and worst[0].estimate.n != ordinary[0].estimate.n:
        ordinary = [_on_the_same(first, ordinary[0], worst[0])]
    return ordinary + worst


def _on_the_same(first: Tested, ordinary: Bar, worst: Bar) -> Bar:
    """Ordinary images, those alone that the worst case is of: a pair compares the same images."""
    threat = first.suite.threat
    assert threat is not None
    speaker = first.speaker(threat.norm, threat.eps)
    right = speaker.results.correct(speaker.model).reindex(speaker.joined(threat.norm, threat.eps).index)
    rate = speaker.results.rate(speaker.model, right)
    source = speaker.source("the attacked images as they are", worst.estimate.n, speaker.clean_cells())
    return replace(ordinary, estimate=rate, source=source, column="(clean, the attacked images)")


def verdict(first: Tested, charts: Sequence[Bar], sentences: Sequence[Sentence]) -> Sentence:
    """Average against worst case, in one line."""
    top, numbers = headline_bars(first, charts), list[Number]()
    if not top:
        source = first.plan_source("what the plan asks for")
        return Sentence("verdict", "No valid answer on ordinary images is on record.", (source,))

    def share(bar: Bar) -> str:
        value = bar.estimate.value
        if isnan(value):
            ends = [(bar.estimate.low, "_low"), (bar.estimate.high, "_high")]
            numbers.extend(Number(per_100(value), value, bar.column + end) for value, end in ends)
            low, high = (per_100(value) for value, _ in ends)
            return f"between {low} and {high}" + (" of 100" if first.task.verdicts else "")
        text = per_100(value) if first.task.verdicts else f"{100 * value:.1f}"
        total = 100
        if first.task.verdicts and bar.estimate.n < FEW:
            text, total = str(round(value * bar.estimate.n)), bar.estimate.n
            numbers.append(Number(str(total), total, "(samples)"))
        numbers.append(Number(text, value, bar.column))
        return f"{text} of {total}" if first.task.verdicts else text

    doubt = "at most " if first.doubted and first.task.verdicts else ""
    if not first.task.verdicts:
        text = f"Its images are off by {share(top[0])} % of the true image's strength on ordinary measurements"
        if len(top) > 1:
            eps = first.suite.threat.eps if first.suite.threat is not None else 0
            at = f"{100 * float(eps):.3g}"
            numbers.append(Number(at, float(eps), "(the plan's budget)"))
            text += f"; by {share(top[1])} % under the worst noise that was found, {at} % as strong as the measurement"
        return Sentence("verdict", text + ".", tuple(bar.source for bar in top), tuple(numbers))
    text = f"Right on {share(top[0])} ordinary images"
    sources = [source for bar in top for source in bar.sources]
    if len(top) > 1 and first.suite.threat is not None:
        says = Says(first)
        n = says.number(f"{top[1].estimate.n:,}", top[1].estimate.n, "(samples)")
        text += (
            f"; on {doubt}{share(top[1])} ({n} images) once somebody changes them on purpose, with"
            f" {robust.size(first.suite.threat.norm, first.suite.threat.eps, says)}"
        )
        numbers += says.numbers
    lowest = _lowest(charts, top)
    worst = max(sentences, key=lambda sentence: sentence.harm)
    if len(top) == 1 and lowest is None and worst.harm > 0:
        text += f"; {worst.short}"
        numbers += worst.numbers
        sources += worst.sources
    if lowest is not None:
        numbers += [Number(t, float(t), "(in the name of the test)") for t in _digits(lowest.name)]
        text += f"; on {share(lowest)} in the hardest test in the chart ({lowest.name.lower()})"
        sources.append(lowest.source)
    return Sentence("verdict", text + ".", tuple(dict.fromkeys(sources)), tuple(numbers))


def _lowest(charts: Sequence[Bar], top: Sequence[Bar]) -> Bar | None:
    known = [bar for bar in charts if not isnan(bar.estimate.value)]
    lowest = min(known, key=lambda bar: bar.estimate.value, default=None)
    if lowest is None or lowest in top or lowest.estimate.value >= min(bar.estimate.high for bar in top):
        return None
    return lowest


def _digits(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", text)
