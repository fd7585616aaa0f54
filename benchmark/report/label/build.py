"""The label of a model, put together from every results folder that has records of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any

from benchmark.errors import AssayError, NoRecordsError, UnknownNameError
from benchmark.report import stats
from benchmark.report.label import explained, reconstruction, robust, shapes, shortcuts
from benchmark.report.label.facts import (
    FEW,
    SMALL,
    Bar,
    Number,
    Says,
    Sentence,
    Source,
    Tested,
    listed,
    per_100,
    plural,
)
from benchmark.report.label.untested import checked as has_check
from benchmark.report.label.untested import untested
from benchmark.report.results import Results
from benchmark.spec.suite import show_eps
from benchmark.store.folder import Store

SECTIONS = {
    "first": "Read this first",
    "tested": "What it was tested on",
    "ordinary": "On ordinary images",
    "deliberate": "When somebody changes the image on purpose",
    "shapes": "Stickers, turned images, patterns",
    "explanations": "Are its explanations true?",
    "shortcuts": "Does it go by the right thing?",
    "untested": "What was not tested",
}
REBUILT = {
    "ordinary": "On ordinary measurements",
    "deliberate": "When the measurement carries noise",
    "shapes": "Details and lesions",
}
FLAGS = {
    "black-box-stronger": "an attack that cannot look inside the model beat those that can, so those were too weak here",
    "zero-gradient": "the attacks that look inside the model had nothing to follow",
    "randomised": "the model answers differently when it is asked twice",
    "softmax-output": "the model gives probabilities where the attacks expect raw scores",
    "more-steps-gain": "attacks that were given more time still found more",
    "unbounded-fails": "even attacks without any limit did not break every image, which says that they were stuck",
    "accuracy-gate": "it is worse on ordinary measurements than the method without learning, so nothing here can show"
    " that it is the more stable one",
}


@dataclass(frozen=True)
class Label:
    """Everything that the label says.

    Attributes:
        model: the entry.
        description, licence, author: from its entry.toml; empty where that is not here.
        verdict: the one line at the top.
        bars: the chart: right answers of 100, or the error in percent.
        error: the chart shows errors (less is better).
        sentences: all statements, in the order of the page.
        sources: the records behind them, in the order of their numbers.
        date: of the newest record.
        versions: of Assay, Python and libraries, as the records state them.
        digests: what the records are of: entry and data, by suite.
        fewest: the smallest number of samples that a suite judged.
        metrics: (suite, dataset, split, name, type, number, settings) for a model card.
    """

    model: str
    description: str
    licence: str
    author: str
    verdict: Sentence
    bars: tuple[Bar, ...]
    error: bool
    sentences: tuple[Sentence, ...]
    sources: tuple[Source, ...]
    date: str
    versions: tuple[tuple[str, str], ...]
    digests: tuple[tuple[str, str, str, str], ...]
    headline: tuple[Bar, ...]
    metrics: tuple[dict[str, Any], ...]

    def titles(self) -> dict[str, str]:
        """Section to its heading, those that say something."""
        titles = SECTIONS | (REBUILT if self.error else {})
        said = {sentence.section for sentence in self.sentences}
        return {key: title for key, title in titles.items() if key in said}

    def at(self, section: str) -> list[Sentence]:
        """Sentences of a section."""
        return [sentence for sentence in self.sentences if sentence.section == section]

    def mark(self, source: Source) -> int:
        """The number under which a source stands in the list of records."""
        return self.sources.index(source) + 1


def folders_of(model: str, out: Path, suites: Sequence[str] = ()) -> list[Path]:
    """Results folders whose plan has the model.

    Raises:
        UnknownNameError: no plan (and no entry) has a model of that name, or a named suite has no results.
        NoRecordsError: the model is known, but there are no results of it.
    """
    plans = {file.parent: json.loads(file.read_text("utf-8")) for file in sorted(out.glob("*/plan.json"))}
    for name in suites:
        if name not in {folder.name for folder in plans}:
            raise UnknownNameError("results folder", name, [folder.name for folder in plans], str(out))
    chosen = {folder: plan for folder, plan in plans.items() if not suites or folder.name in suites}
    found = [folder for folder, plan in chosen.items() if model in plan["entries"]]
    if found:
        return found
    known = _entries() | {name for plan in plans.values() for name in plan["entries"]}
    if model not in known:
        raise UnknownNameError("model", model, known, f"baselines/ and {out}/")
    where = ", ".join(suites) if suites else str(out)
    raise NoRecordsError(f"no records of {model} in {where}; run a suite that has it first: assay run SUITE")


def _entries() -> set[str]:
    from benchmark.models.entries import find_entries

    return set(find_entries())


def label(model: str, out: Path, suites: Sequence[str] = ()) -> Label:
    """Make the label of a model. Same records, same label.

    Args:
        model: entry.
        out: folder of results folders.
        suites: names of results folders; empty: every one that has the model.

    Raises:
        UnknownNameError, NoRecordsError: see :func:`folders_of`; also where no cell of the model has a finished record.
    """
    every = []
    for folder in folders_of(model, out, suites):
        try:
            results = Results(Store(folder))
        except NoRecordsError:
            continue
        tested = (Tested if results.task.verdicts else reconstruction.Rebuilt)(results, model)
        if tested.done(tested.cells):
            every.append(tested)
    if not every:
        raise NoRecordsError(f"no finished record of {model} in {out}; run a suite that has it first: assay run SUITE")
    kind = every[0].task.verdicts
    return _assemble(model, [tested for tested in every if tested.task.verdicts == kind])


def _assemble(model: str, every: list[Tested]) -> Label:
    first = headline(every)
    charts = list(_bars(first, every))
    sentences = [*_first(every), *_what(every)]
    sentences += _all_said(every)
    sentences += untested(every)
    order = list(SECTIONS)
    sentences = _merged(sorted(sentences, key=lambda sentence: order.index(sentence.section)))
    verdict = _verdict(first, charts, sentences)
    used = [*verdict.sources, *(bar.source for bar in charts), *(s for sent in sentences for s in sent.sources)]
    description, licence, author = _about(model)
    return Label(
        model=model,
        description=description,
        licence=licence,
        author=author,
        verdict=verdict,
        bars=tuple(charts),
        error=not first.task.verdicts,
        sentences=tuple(sentences),
        sources=tuple(dict.fromkeys(used)),
        date=max(tested.date for tested in every),
        versions=_versions(every),
        digests=tuple(
            (t.name, t.suite.dataset.label, t.results.plan["entries"][model], t.results.plan["dataset"]["digest"])
            for t in every
        ),
        headline=tuple(_headline_bars(first, charts)),
        metrics=tuple(metric for tested in every for metric in _metrics(tested)),
    )


def _merged(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Sentences that say the same as one, with the records of all."""
    found: dict[tuple[str, str], Sentence] = {}
    for sentence in sentences:
        known = found.get((sentence.section, sentence.text))
        if known is not None:
            sentence = replace(known, sources=tuple(dict.fromkeys(known.sources + sentence.sources)))
        found[sentence.section, sentence.text] = sentence
    return list(found.values())


def headline(every: Sequence[Tested]) -> Tested:
    """The suite that speaks at the top: most attacks in its headline threat model, then most samples, then its name."""

    def weight(tested: Tested) -> tuple[int, int, int, str]:
        threat = tested.suite.threat
        attacks = len(tested.breaking(threat.norm)) if threat is not None else 0
        return (-min(attacks, 1), -attacks, -tested.results.planned(tested.model), tested.name)

    return min(every, key=weight)


def _data(tested: Tested) -> str:
    return str(tested.results.plan["dataset"]["digest"])


def _said(tested: Tested, first: Tested, *, checked: bool) -> Iterator[Sentence]:
    """Everything that one suite says; ``first`` speaks of ordinary images and of norms for all suites on its data."""
    if isinstance(tested, reconstruction.Rebuilt):
        if tested is first:
            yield from reconstruction.ordinary(tested)
            yield from reconstruction.deliberate(tested)
        yield from reconstruction.details(tested)
        return
    if tested is first:
        yield from robust.ordinary(tested)
    for norm in robust.NORMS:
        if tested is first or not first.breaking(norm):
            yield from robust.deliberate(tested, norm, doubted=bool(tested.flags))
    yield from shapes.structural(tested)
    yield from shapes.stickers(tested)
    yield from shapes.universal(tested)
    yield from shapes.nothing(tested)
    yield from explained.explained(tested, elsewhere=checked)
    yield from explained.bent(tested)
    yield from shortcuts.regions(tested)
    yield from shortcuts.watermark(tested)
    yield from shortcuts.structure(tested)


def _all_said(every: Sequence[Tested]) -> Iterator[Sentence]:
    """What every suite says; where there are several data sets, each sentence names its own."""
    checked = any(has_check(tested) for tested in every)
    names = {tested.suite.dataset.label for tested in every}
    for tested in every:
        first = headline([other for other in every if _data(other) == _data(tested)])
        for sentence in _said(tested, first, checked=checked):
            note = f" (Data set `{tested.suite.dataset.label}`.)" if len(names) > 1 else ""
            yield replace(sentence, text=sentence.text + note)


def _first(every: Sequence[Tested]) -> Iterator[Sentence]:
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


def _what(every: Sequence[Tested]) -> Iterator[Sentence]:
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


def _bars(first: Tested, every: Sequence[Tested]) -> Iterator[Bar]:
    if isinstance(first, reconstruction.Rebuilt):
        yield from reconstruction.bars(first)
        return
    threat = first.suite.threat
    yield from robust.bars(first, threat.norm if threat is not None else "")
    for tested in every:
        if tested.results.plan["dataset"]["digest"] == first.results.plan["dataset"]["digest"]:
            yield from shapes.structural_bars(tested)


def _headline_bars(first: Tested, charts: Sequence[Bar]) -> list[Bar]:
    """Ordinary, and the worst case of the headline threat model; of a suite without one, the lowest that is there."""
    threat = first.suite.threat
    name = f"rel_err_worst_{show_eps(threat.eps)}" if not first.task.verdicts and threat is not None else ""
    worst = name or f"{first.task.robust_name}_worst"
    return [b for b in charts if b.kind == "ordinary"][:1] + [b for b in charts if b.column == worst][:1]


def _verdict(first: Tested, charts: Sequence[Bar], sentences: Sequence[Sentence]) -> Sentence:
    """Average against worst case, in one line."""
    top, numbers = _headline_bars(first, charts), list[Number]()
    if not top:
        source = first.plan_source("what the plan asks for")
        return Sentence("verdict", "No valid answer on ordinary images is on record.", (source,))

    def share(bar: Bar) -> str:
        value = bar.estimate.value
        if isnan(value):
            low, high = (round(100 * v) for v in (bar.estimate.low, bar.estimate.high))
            numbers.extend(Number(str(v), v / 100, bar.column + end) for v, end in ((low, "_low"), (high, "_high")))
            return f"between {low} and {high}" + (" of 100" if first.task.verdicts else "")
        text = per_100(value) if first.task.verdicts else f"{100 * value:.1f}"
        total = 100
        if first.task.verdicts and bar.estimate.n < FEW:
            text, total = str(round(value * bar.estimate.n)), bar.estimate.n
            numbers.append(Number(str(total), total, "(samples)"))
        numbers.append(Number(text, value, bar.column))
        return f"{text} of {total}" if first.task.verdicts else text

    doubt = "at most " if first.flags and first.task.verdicts else ""
    if not first.task.verdicts:
        text = f"Its images are off by {share(top[0])} % of the true image's strength on ordinary measurements"
        if len(top) > 1:
            eps = first.suite.threat.eps if first.suite.threat is not None else 0
            at = f"{100 * float(eps):.3g}"
            numbers.append(Number(at, float(eps), "(the plan's budget)"))
            text += f"; by {share(top[1])} % under the worst noise that was found, {at} % as strong as the measurement"
        return Sentence("verdict", text + ".", tuple(bar.source for bar in top), tuple(numbers))
    text = f"Right on {share(top[0])} ordinary images"
    sources = [bar.source for bar in top]
    if len(top) > 1 and first.suite.threat is not None:
        says = Says(first)
        text += (
            f"; on {doubt}{share(top[1])} once somebody changes them on purpose, with"
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
    import re

    return re.findall(r"\d+(?:\.\d+)?", text)


def _about(model: str) -> tuple[str, str, str]:
    """Description, licence and author of an entry; empty where it is not here."""
    from benchmark.models.entries import load_entry

    try:
        spec = load_entry(model).spec
    except AssayError:
        return "", "", ""
    return spec.description, spec.licence, spec.author


def _versions(every: Sequence[Tested]) -> tuple[tuple[str, str], ...]:
    """Versions and devices that the model's records state."""
    found: dict[str, dict[str, None]] = {}
    for tested in every:
        for cell in tested.done(tested.cells):
            for name, version in tested.results.heads[cell].get("provenance", {}).items():
                if name != "date":
                    found.setdefault(str(name), {})[str(version)] = None
    return tuple((name, ", ".join(sorted(versions))) for name, versions in sorted(found.items()))


def _metrics(tested: Tested) -> Iterator[dict[str, Any]]:
    """Rates (or errors) for a model card."""
    data = {"suite": tested.name, "dataset": tested.suite.dataset.label, "split": tested.suite.dataset.split}

    def metric(name: str, kind: str, estimate: stats.Estimate, column: str, **settings: Any) -> dict[str, Any]:
        interval = {"low": float(f"{estimate.low:.6g}"), "high": float(f"{estimate.high:.6g}"), "n": estimate.n}
        args = {"suite": tested.name, "column": column, **settings, **interval}
        return data | {"name": name, "type": kind, "value": float(f"{estimate.value:.6g}"), "args": args}

    if isinstance(tested, reconstruction.Rebuilt):
        for bar in reconstruction.bars(tested):
            yield metric(f"Relative error ({bar.name.lower()})", "relative_error", bar.estimate, bar.column)
        return
    accuracy = tested.clean.get("clean_acc")
    if accuracy is not None and not isnan(accuracy.value):
        yield metric("Accuracy", "accuracy", accuracy, "clean_acc")
    threat = tested.suite.threat
    if threat is None or not tested.breaking(threat.norm):
        return
    column, estimate = tested.worst(threat.norm, threat.eps)
    if estimate.n and not isnan(estimate.value):
        names = [p.name for p in tested.breaking(threat.norm) if threat.eps in p.budgets or not p.budgets]
        settings = {"norm": threat.norm, "eps": str(threat.eps), "attacks": names}
        if tested.flags:
            settings["in_doubt"] = sorted({flag.name for flag in tested.flags})
        title = f"Adversarial accuracy ({threat.norm}, eps = {threat.eps})"
        yield metric(title, "adversarial_accuracy", estimate, column, **settings)
