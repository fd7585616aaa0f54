"""The label as one HTML file that needs nothing else: no script, no font, no request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import isnan
from typing import TYPE_CHECKING, Any

from benchmark.report.label.build import Label
from benchmark.sentences import Bar, Sentence, Source

if TYPE_CHECKING:
    from markupsafe import Markup

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
CODE = re.compile(r"`([^`]*)`")
OPEN = "Not tested on this model:"


def reading(label: Label) -> tuple[str, str, str]:
    """How to read a label."""
    words = label.words
    return (
        "In brackets after a number: the range in which the true number lies with 95 % confidence, and how many"
        f" {words.samples} were tested. Where the data say which {words.samples} are of one person or thing, the range"
        " takes these together; where they do not say it, the truth is less certain than the range.",
        label.account.judged(words),
        "Every sentence carries the numbers of the records that it rests on; they stand at the end, with the digests by"
        " which they can be checked.",
    )


@dataclass(frozen=True)
class Row:
    """A row of the chart, ready to be drawn (in percent)."""

    name: str
    kind: str
    sources: Sequence[Source]
    at: str | None
    low: str
    high: str
    text: str
    words: str


@dataclass(frozen=True)
class Said:
    """A sentence as the template takes it; ``items`` where it is a list."""

    text: str
    sources: Sequence[Source]
    lead: str = ""
    items: Sequence[str] = ()


def row(label: Label, bar: Bar) -> Row:
    """A bar in numbers and words."""
    value, low, high = (100 * v for v in (bar.estimate.value, bar.estimate.low, bar.estimate.high))
    known, text = not isnan(value), label.account.shown(bar)
    words = label.account.aloud(bar)
    if known and isnan(low):
        words = f"{text} (no interval: {bar.estimate.why or 'too few'})"
    ends_at = [f"{min(max(value if isnan(v) else v, 0), 100):.4g}" for v in (low, high)]
    at = f"{min(max(value, 0), 100):.4g}" if known else None
    return Row(bar.name, bar.kind, bar.sources, at, ends_at[0], ends_at[1], text, words)


def said(sentence: Sentence) -> Said:
    """What was not tested reads as a list."""
    if sentence.text.startswith(OPEN):
        body = sentence.text.removeprefix(OPEN).strip().removesuffix(".")
        return Said(sentence.text, sentence.sources, OPEN, body.split("; "))
    return Said(sentence.text, sentence.sources)


def html(label: Label) -> str:
    """The page. Same label, same text."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["code"] = _code
    here = files("benchmark.report.label")
    sections: dict[str, Any] = {"first": []} | {key: [said(each) for each in label.at(key)] for key in label.titles()}
    return made.from_string((here / "label.html.j2").read_text("utf-8")).render(
        label=label,
        policy=POLICY,
        css=Markup((here / "label.css").read_text("utf-8")),
        rows=[row(label, bar) for bar in label.bars],
        sections=sections,
        reading=reading(label),
    )


def _code(text: str) -> Markup:
    """What stands between backticks as code, the rest escaped."""
    from markupsafe import Markup, escape

    parts = CODE.split(text.replace(" %", "\N{NO-BREAK SPACE}%"))
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts))
