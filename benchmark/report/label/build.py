"""The label of a model, put together from every results folder that has records of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any

from benchmark.accounts import Account
from benchmark.errors import AssayError, NoRecordsError, UnknownNameError
from benchmark.report.label import explained, top
from benchmark.report.label.account import account_of
from benchmark.report.label.tested import Tested
from benchmark.report.label.untested import checked as has_check
from benchmark.report.label.untested import untested
from benchmark.reported import Words
from benchmark.results.base import Results
from benchmark.sentences import Bar, Sentence, Source
from benchmark.store.folder import Store

SECTIONS = ("first", "tested", "ordinary", "deliberate", "shapes", "explanations", "shortcuts", "untested")


def section_titles(words: Words) -> dict[str, str]:
    """Section to its heading, in the order of the page."""
    titles = {
        "first": "Read this first",
        "tested": "What it was tested on",
        "ordinary": f"On ordinary {words.samples}",
        "deliberate": f"When somebody changes the {words.sample} on purpose",
        "shapes": "Other changes",
        "explanations": "Are its explanations true?",
        "shortcuts": "Does it go by the right thing?",
        "untested": "What was not tested",
    }
    return titles | dict(words.titles)


@dataclass(frozen=True)
class Label:
    """Everything that the label says.

    Attributes:
        model: the entry.
        description, licence, author: from its entry.toml; empty where that is not here.
        verdict: the one line at the top.
        bars: the chart.
        account: how the task is spoken of: how the chart's numbers are written, and what they count.
        words: of the task.
        sentences: all statements, in the order of the page.
        sources: the records behind them, in the order of their numbers.
        date: of the newest record.
        versions: of Assay, Python and libraries, and devices, as the records state them.
        digests: (suite, data set, digest of the entry, digest of the data) of each suite.
        headline: the chart's rows that the badge shows: ordinary, and the worst case where there is one.
        metrics: suite, dataset, split, name, type, value and args of each result for a model card.
    """

    model: str
    description: str
    licence: str
    author: str
    verdict: Sentence
    bars: tuple[Bar, ...]
    account: Account
    words: Words
    sentences: tuple[Sentence, ...]
    sources: tuple[Source, ...]
    date: str
    versions: tuple[tuple[str, str], ...]
    digests: tuple[tuple[str, str, str, str], ...]
    headline: tuple[Bar, ...]
    metrics: tuple[dict[str, Any], ...]

    def titles(self) -> dict[str, str]:
        """Section to its heading, those that say something."""
        said = {sentence.section for sentence in self.sentences}
        return {key: title for key, title in section_titles(self.words).items() if key in said}

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
    return _assemble(model, labelled(model, out, suites))


def labelled(model: str, out: Path, suites: Sequence[str] = ()) -> list[Tested]:
    """The model in every suite that has a finished record of it, those of one kind of task.

    Args, Raises: see :func:`label`.
    """
    every = []
    for folder in folders_of(model, out, suites):
        try:
            results = Results(Store(folder))
        except NoRecordsError:
            continue
        tested = Tested(results, model)
        if tested.done(tested.cells):
            every.append(tested)
    if not every:
        raise NoRecordsError(f"no finished record of {model} in {out}; run a suite that has it first: assay run SUITE")
    kept = [tested for tested in every if type(tested.task) is type(every[0].task)]
    for tested in kept:
        tested.joined_with = tuple(other for other in kept if other is not tested and tested.alike(other))
    return kept


def _assemble(model: str, every: list[Tested]) -> Label:
    first = headline(every)
    account = account_of(first.task)
    charts = [*account.bars(first)]
    for tested in every:
        if tested.data == first.data:
            charts += [bar for chapter, views in tested.chapters.items() for bar in chapter.bars(tested, views)]
    sentences = [*top.first(every), *top.what(every), *_all_said(every), *untested(every)]
    sentences = _merged(sorted(sentences, key=lambda sentence: SECTIONS.index(sentence.section)))
    verdict = account.verdict(first, charts, sentences)
    every_source = [verdict.sources, *(bar.sources for bar in charts), *(sentence.sources for sentence in sentences)]
    used = [source for sources in every_source for source in sources]
    description, licence, author = _about(model)
    return Label(
        model=model,
        description=description,
        licence=licence,
        author=author,
        verdict=verdict,
        bars=tuple(charts),
        account=account,
        words=first.words,
        sentences=tuple(sentences),
        sources=tuple(dict.fromkeys(used)),
        date=max(tested.date for tested in every),
        versions=_versions(every),
        digests=tuple(
            (t.name, t.suite.dataset.label, t.results.plan["entries"][model], t.results.plan["dataset"]["digest"])
            for t in every
        ),
        headline=tuple(account.headline(first, charts)),
        metrics=tuple(metric for tested in every for metric in _card_metrics(tested)),
    )


def _merged(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Sentences that say the same as one, with the records of all."""
    found: dict[tuple[str, str], Sentence] = {}
    for sentence in sentences:
        known = found.get((sentence.section, sentence.text))
        sources = sentence.sources if known is None else (*known.sources, *sentence.sources)
        found[sentence.section, sentence.text] = replace(sentence, sources=tuple(dict.fromkeys(sources)))
    return list(found.values())


def headline(every: Sequence[Tested]) -> Tested:
    """The suite that speaks at the top: the worst known in a headline threat model, of those with enough samples.

    Suites on the same data are joined per sample before. One with less than half as many attacked samples as another
    never speaks before it; then the lowest rate does, then the most samples.
    """

    def weight(tested: Tested) -> tuple[bool, bool, float, int, str]:
        n, value = attacked[tested]
        return (not n, 2 * n < most, value, -max(n, tested.planned), tested.name)

    attacked = {tested: account_of(tested.task).standing(tested) for tested in every}
    most = max(n for n, _ in attacked.values())
    return min(every, key=weight)


def _said(tested: Tested, first: Tested, *, checked: bool) -> Iterator[Sentence]:
    """Everything that one suite says: its task, its explanations, its families of attacks."""
    yield from account_of(tested.task).sentences(tested, first)
    yield from explained.explained(tested, elsewhere=checked)
    for chapter, views in tested.chapters.items():
        yield from chapter.sentences(tested, views)


def _all_said(every: Sequence[Tested]) -> Iterator[Sentence]:
    """What every suite says; where there are several data sets, each sentence names its own."""
    checked = any(has_check(tested) for tested in every)
    names = {tested.suite.dataset.label for tested in every}
    for tested in every:
        first = headline([other for other in every if other.data == tested.data])
        for sentence in _said(tested, first, checked=checked):
            note = f" (Data set `{tested.suite.dataset.label}`.)" if len(names) > 1 else ""
            yield replace(sentence, text=sentence.text + note)


def _card_metrics(tested: Tested) -> Iterator[dict[str, Any]]:
    """Rates (or errors) for a model card."""
    data = {"suite": tested.name, "dataset": tested.suite.dataset.label, "split": tested.suite.dataset.split}
    for name, kind, estimate, column, settings in account_of(tested.task).metrics(tested):
        bounds = {"low": estimate.low, "high": estimate.high}
        interval = {side: float(f"{end:.6g}") for side, end in bounds.items() if not isnan(end)} | {"n": estimate.n}
        args = {"suite": tested.name, "column": column, **settings, **interval}
        yield data | {"name": name, "type": kind, "value": float(f"{estimate.value:.6g}"), "args": args}


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
