"""The label in Markdown, with a footnote for each set of records; fit for the README of a model."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmark.report.label.build import Label
from benchmark.report.label.html import reading, row, said
from benchmark.sentences import Sentence, Source

SPECIAL = re.compile(r"([\\*_\[\]<>|#~$])")
CODE = re.compile(r"(`[^`]*`)")


def escaped(text: str) -> str:
    """Text that Markdown shows as it is; what stands between backticks stays code."""
    parts = CODE.split(text)
    said = "".join(p if i % 2 else SPECIAL.sub(r"\\\1", p.replace("&", "&amp;")) for i, p in enumerate(parts))
    return said.replace("\n", " ")


def markdown(label: Label) -> str:
    """The page. Same label, same text."""
    lines = [f"# Warning label: {escaped(label.model)}", ""]
    if label.description:
        by = f" By {escaped(label.author)}." if label.author else ""
        licence = f" Licence: {escaped(label.licence)}." if label.licence else ""
        lines += [f"Its makers say: {escaped(label.description)}.{by}{licence}", ""]
    titles = label.titles()
    lines += _section(label, "first", titles.pop("first", ""))
    lines += [f"**{escaped(label.verdict.text)}**{_marks(label, label.verdict.sources)}", ""]
    lines += _chart(label)
    for key, title in titles.items():
        lines += _section(label, key, title)
    lines += ["## How to read this", "", *[f"{line}\n" for line in reading(label)]]
    lines += ["## Where the numbers come from", "", f"- Newest record: {label.date}"]
    lines += [f"- {escaped(name)}: {escaped(version)}" for name, version in label.versions]
    lines += [f"- `{suite}`: model `{entry}`, data `{data}` `{digest}`" for suite, data, entry, digest in label.digests]
    lines += ["", *[_footnote(i, source) for i, source in enumerate(label.sources, 1)]]
    return "\n".join(lines) + "\n"


def _section(label: Label, key: str, title: str) -> list[str]:
    said = label.at(key)
    return [f"## {title}", "", *(_item(label, sentence) for sentence in said), ""] if said else []


def _chart(label: Label) -> list[str]:
    if not label.bars:
        return []
    lines = [f"| | {label.account.chart[0]} | 95 % interval |", "|---|---|---|"]
    for bar in label.bars:
        drawn = row(label, bar)
        mark = _marks(label, bar.sources)
        lines.append(f"| {escaped(drawn.name)}{mark} | {escaped(drawn.text)} | {label.account.interval(bar)} |")
    return [*lines, ""]


def _item(label: Label, sentence: Sentence) -> str:
    drawn = said(sentence)
    marks = _marks(label, sentence.sources)
    if drawn.items:
        return "\n".join([f"- {drawn.lead}{marks}", *[f"  - {escaped(item)}" for item in drawn.items]])
    return f"- {escaped(sentence.text)}{marks}"


def _marks(label: Label, sources: Sequence[Source]) -> str:
    return "".join(f"[^{label.mark(source)}]" for source in sources)


def _footnote(i: int, source: Source) -> str:
    parts = [f"`{source.suite}`"]
    parts += [escaped(source.probe)] if source.probe else []
    parts += [f"n = {source.n}"] if source.n else []
    parts += [source.date[:10]] if source.date else []
    cells = [f"`{cell}`" + (f" (content `{rows}`)" if rows else "") for cell, rows in source.cells]
    columns = f"; columns {', '.join(f'`{name}`' for name in source.columns)}" if source.columns else ""
    return f"[^{i}]: {', '.join(parts)}, digest `{source.digest}`: {', '.join(cells)}{columns}."
