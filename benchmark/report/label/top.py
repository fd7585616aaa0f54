"""The top of a label: what makes it doubtful, and what it was tested on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.report.label.tested import Tested
from benchmark.sentences import SMALL, Number, Sentence, listed

FLAGS = {
    "black-box-stronger": "an attack that cannot look inside the model beat those that can: those were too weak",
    "zero-gradient": "the attacks that look inside the model had nothing to follow",
    "randomised": "the model answers differently when it is asked twice",
    "softmax-output": "the model gives probabilities where the attacks expect raw scores",
    "more-steps-gain": "attacks that were given more time still found more",
    "unbounded-fails": "even attacks without any limit did not break every sample, which says that they were stuck",
}


def first(every: Sequence[Tested]) -> Iterator[Sentence]:
    """What makes the numbers doubtful: flags, few samples."""
    found: dict[str, tuple[str, list[Tested]]] = {}
    for tested in every:
        for flag in tested.flags:
            words = {**FLAGS, **tested.words.flags}.get(flag.name, flag.words)
            found.setdefault(flag.name, (words, []))[1].append(tested)
    for name, (words, of) in found.items():
        lead = "" if name in of[0].words.flags else "the test itself is in doubt: "
        text = f"In {listed([f'`{tested.name}`' for tested in of])} {lead}{words}."
        sources = tuple(tested.source(f"flag {name}", 0, tested.done(tested.cells)) for tested in of)
        yield Sentence("first", text, sources)
    few = [tested for tested in every if tested.results.planned(tested.model) < SMALL]
    if few:
        counts = [tested.results.planned(tested.model) for tested in few]
        said = listed([f"`{tested.name}` ({tested.words.count(n)})" for tested, n in zip(few, counts, strict=True)])
        numbers = tuple(Number(f"{n:,}", n, "n") for n in counts)
        text = f"Few {few[0].words.samples} were tested: take the numbers as rough. They are of {said}."
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
            parts.append(f"{tested.words.count(n)} in `{tested.name}`")
        samples = of[0].words.samples.capitalize()
        text = f"{samples} of the data set `{data}` (its part `{split}`, as given to Assay): {', '.join(parts)}."
        size = of[0].suite.dataset.size
        if size is not None:
            height, width = size
            numbers += [Number(str(v), v, "(the plan's size)") for v in (height, width)]
            text += f" {of[0].words.grid(height, width)}"
        classes = of[0].classes
        if classes:
            numbers.append(Number(str(len(classes)), len(classes), "(the data set's classes)"))
            names = f": {', '.join(classes)}" if len(classes) <= 10 else ""
            text += f" It chooses one of {len(classes)} answers{names}."
        numbers += [Number(name, float(name), "(class)") for name in classes if name.isdigit() and len(classes) <= 10]
        yield Sentence("tested", text, tuple(t.plan_source("what the plan asks for") for t in of), tuple(numbers))
