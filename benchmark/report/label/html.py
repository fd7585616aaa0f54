"""The label as one HTML file that needs nothing else: no script, no font, no request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import isnan
from typing import TYPE_CHECKING, Any

from benchmark.report.label.build import Label
from benchmark.report.label.facts import FEW, Bar, Sentence, Source
from benchmark.report.text import per_100

if TYPE_CHECKING:
    from markupsafe import Markup

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
CODE = re.compile(r"`([^`]*)`")
OPEN = "Not tested on this model:"
READING = (
    "In brackets after a number: the range in which the true number lies with 95 % confidence, and how many images"
    " were tested. Where the data say which images are of one person or thing, the range takes these together; where"
    " they do not say it, the truth is less certain than the range.",
    "“Right answers” are those that the model gives on the images as they are. “Wrong” is decided by predicting the"
    " changed image again, never by the attack itself.",
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


def row(bar: Bar, *, error: bool) -> Row:
    """A bar in numbers and words."""
    value, low, high = (100 * v for v in (bar.estimate.value, bar.estimate.low, bar.estimate.high))
    known = not isnan(value)
    text = shown(bar, error=error)
    if error:
        words = f"{text} (95 % interval {interval(bar, error=error)} %)" if known else text
    else:
        ends = interval(bar, error=error)
        words = f"{text} of 100 (95 % interval {ends})" if known else f"{ends} of 100: some images have no verdict"
    if known and isnan(low):
        words = f"{text} (no interval: {bar.estimate.why or 'too few'})"
    ends_at = [f"{min(max(100 * bar.estimate.value if isnan(v) else v, 0), 100):.4g}" for v in (low, high)]
    at = f"{min(max(value, 0), 100):.4g}" if known else None
    return Row(bar.name, bar.kind, bar.sources, at, ends_at[0], ends_at[1], text, words)


def interval(bar: Bar, *, error: bool) -> str:
    """A bar's bounds as they are written, ``–`` where it has none."""
    ends = (bar.estimate.low, bar.estimate.high)
    if any(isnan(end) for end in ends):
        return "–"
    return " to ".join(f"{100 * end:.1f}" if error else per_100(end) for end in ends)


def shown(bar: Bar, *, error: bool) -> str:
    """A bar's number as it is written beside it."""
    value = bar.estimate.value
    if isnan(value):
        return interval(bar, error=error)
    if error:
        return f"{100 * value:.1f} %"
    if bar.estimate.n < FEW:
        return f"{round(value * bar.estimate.n)} of {bar.estimate.n}"
    return per_100(value)


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
        rows=[row(bar, error=label.error) for bar in label.bars],
        sections=sections,
        reading=READING,
    )


def _code(text: str) -> Markup:
    """What stands between backticks as code, the rest escaped."""
    from markupsafe import Markup, escape

    parts = CODE.split(text.replace(" %", "\N{NO-BREAK SPACE}%"))
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts))
