"""What a label is made of: numbers from records, and sentences that carry their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import isnan
from typing import TYPE_CHECKING, Any

from benchmark.registry import digest
from benchmark.report.text import per_100
from benchmark.reported import Estimate

if TYPE_CHECKING:
    from benchmark.report.label.tested import Tested

FEW = 30  # below so many, "9 of 10" says more than a share of 100
SMALL = 100  # below so many samples the label says that its numbers are rough


@dataclass(frozen=True)
class Number:
    """A number as it stands in a sentence.

    Attributes:
        text: how it is written, such as ``"64"``.
        value: what it is, unrounded.
        column: the column of the suite's leaderboard.csv that holds it; for a point of a curve, a plan's setting or a
            count of records, what it is in words, in brackets.
        turned: the text shows 1 - value.
    """

    text: str
    value: float
    column: str
    turned: bool = False


@dataclass(frozen=True)
class Source:
    """The records behind a sentence.

    Attributes:
        suite: the results folder.
        probe: the probe (or what was measured) and its budget, as tables write it; empty for clean predictions.
        n: samples in the denominator; 0 where there is none.
        cells: (cell hash, sha256 of its rows) of every record; empty where the plan alone says it.
        columns: columns of leaderboard.csv that are quoted.
        date: of the newest of these records.
    """

    suite: str
    probe: str
    n: int
    cells: tuple[tuple[str, str], ...]
    columns: tuple[str, ...] = ()
    date: str = ""

    @cached_property
    def digest(self) -> str:
        """One digest of all these records."""
        return digest([list(cell) for cell in self.cells])


@dataclass(frozen=True)
class Sentence:
    """One statement of the label; ``sources`` is never empty.

    ``short`` is the same in a few words, for the top of the page, of a finding that ``harm`` (0 to 1) of the answers
    are hurt by.
    """

    section: str
    text: str
    sources: tuple[Source, ...]
    numbers: tuple[Number, ...] = ()
    short: str = ""
    harm: float = 0.0


@dataclass(frozen=True)
class Bar:
    """One row of the label's chart: a share of 100, with its interval."""

    name: str
    estimate: Estimate
    source: Source
    column: str
    kind: str = "worst"  # or "ordinary", "control"
    more: tuple[Source, ...] = ()
    headline: bool = False

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every record behind it."""
        return (self.source, *self.more)


def steps(eps: Fraction) -> str:
    """A change of every pixel, in the 255 steps of an image file."""
    return f"{float(eps * 255):.3g}"


@dataclass
class Says:
    """Builds one sentence, and remembers each number that it was given."""

    tested: Tested
    probe: str = ""
    numbers: list[Number] = field(default_factory=list)
    n: int = 0

    def number(self, text: str, value: float, column: str, *, turned: bool = False) -> str:
        """A number of another kind."""
        self.numbers.append(Number(text, value, column, turned))
        return text

    def share(self, column: str, estimate: Estimate, *, turned: bool = False) -> str:
        """``64 of 100``; where samples lack a verdict ``between 60 and 70 of 100``; of a handful ``9 of 10``."""
        value, low, high = estimate.value, estimate.low, estimate.high
        self.n = max(self.n, estimate.n)
        if turned:
            value, low, high = 1 - value, 1 - high, 1 - low
        ends = ("_high", "_low") if turned else ("_low", "_high")
        if isnan(value):
            first = self.number(per_100(low), low, column + ends[0], turned=turned)
            last = self.number(per_100(high), high, column + ends[1], turned=turned)
            lost = self.number(str(estimate.missing), estimate.missing, "(samples without a verdict)")
            return f"between {first} and {last} of 100 ({lost} of the images have no valid verdict)"
        if estimate.n < FEW:
            k = self.number(str(round(value * estimate.n)), value, column, turned=turned)
            return f"{k} of {self.number(str(estimate.n), estimate.n, '(samples)')}"
        return f"{self.number(per_100(value), value, column, turned=turned)} of 100"

    def interval(self, column: str, estimate: Estimate, *, turned: bool = False, unit: str = "images") -> str:
        """``(95 % interval 57.2 to 70.1; 188 images)``; empty where the bounds are said already."""
        if isnan(estimate.value):
            return ""
        if isnan(estimate.low):
            n = self.number(f"{estimate.n:,}", estimate.n, "(samples)")
            return f" (no interval: {estimate.why or 'too few'}; {n} {unit})"
        low, high = (1 - estimate.high, 1 - estimate.low) if turned else (estimate.low, estimate.high)
        ends = ("_high", "_low") if turned else ("_low", "_high")
        first = self.number(per_100(low), low, column + ends[0], turned=turned)
        last = self.number(per_100(high), high, column + ends[1], turned=turned)
        n = self.number(f"{estimate.n:,}", estimate.n, "(samples)")
        of = "" if estimate.n >= FEW else " of 100"
        return f" (95 % interval {first} to {last}{of}; {n} {unit})"

    def rate(
        self, column: str, estimate: Estimate, *, turned: bool = False, noun: str = "", unit: str = "images"
    ) -> str:
        """Share, noun and interval together."""
        of = f" {noun}" if noun else ""
        said = self.share(column, estimate, turned=turned)
        return said + of + self.interval(column, estimate, turned=turned, unit=unit)

    def done(
        self,
        section: str,
        text: str,
        cells: Sequence[str],
        short: str = "",
        harm: float = 0.0,
        more: Sequence[Source] = (),
    ) -> Sentence:
        """The sentence, with the records of these cells, and more of other suites."""
        columns = tuple(dict.fromkeys(n.column for n in self.numbers if not n.column.startswith("(")))
        source = self.tested.source(self.probe, self.n, cells, columns)
        return Sentence(section, text, (source, *more), tuple(self.numbers), short, 0.0 if isnan(harm) else harm)


def plural(n: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def listed(names: Sequence[Any]) -> str:
    """``a, b and c``."""
    texts = [str(name) for name in names]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else ""
