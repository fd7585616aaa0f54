"""What a label is made of: numbers from records, and sentences that carry their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan
from typing import TYPE_CHECKING, Any, Protocol

from benchmark.registry import digest
from benchmark.reported import Estimate, ProbeResults, Words
from benchmark.spec.budget import Budget

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmark.spec.suite import AttackProbe, SuiteSpec

HALF = 0.5
FEW = 30  # below so many, "9 of 10" says more than a share of 100
SMALL = 100  # below so many samples the label says that its numbers are rough
EDGES = (0.0, 50.0, 100.0)  # what is not rounded to unless it is exactly so: none, half, all
MOST_DIGITS = 4


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


class ModelRecords(Protocol):
    """One model in one suite, as a report hands it to those who write of it: estimates, and the records behind them.

    Attributes:
        name: of the results folder.
        model: the entry.
        suite: the resolved suite.
        classes: class names of the dataset.
        words: how the task is spoken of.
        views: attack probes whose plugin is known here, by name, in the suite's order.
        clean: clean rates by column.
        means: every clean column's mean (or rate), by column.
        own: what attacks declare of their own, by column.
        scores: scores of a task without verdicts, by column with the budget.
        labels: (N,) true labels of the clean rows.
        samples: ids of all planned samples.
        planned: how many samples the plan asks of the model.
        reference: (entry, clean column) that others are held against; empty strings without one.
        gate: (passed, own mean, the reference's) of the accuracy gate; None without one.
        budgets: budgets of the headline threat model, smallest first.
    """

    name: str
    model: str
    suite: SuiteSpec
    classes: list[str]

    @property
    def words(self) -> Words: ...
    @property
    def views(self) -> Mapping[str, ProbeResults]: ...
    @property
    def clean(self) -> Mapping[str, Estimate]: ...
    @property
    def means(self) -> Mapping[str, Estimate]: ...
    @property
    def own(self) -> Mapping[str, Estimate]: ...
    @property
    def scores(self) -> Mapping[str, Estimate]: ...
    @property
    def labels(self) -> NDArray[Any]: ...
    @property
    def samples(self) -> Sequence[str]: ...
    @property
    def planned(self) -> int: ...
    @property
    def reference(self) -> tuple[str, str]: ...
    @property
    def gate(self) -> tuple[bool, float, float] | None: ...
    @property
    def budgets(self) -> Sequence[Budget]: ...

    def threat(self, probe: str) -> Mapping[str, Any]:
        """Threat model of a probe, as the plan holds it."""

    def ran(self, probe: str) -> bool:
        """Whether any record of a probe on this model is there."""

    def breaking(self, norm: str, *, control: bool = False) -> list[AttackProbe]:
        """Probes of a norm that ran and search each sample's own change; or the controls of that norm."""

    def robust(self, probe: str, eps: Budget | None = None) -> tuple[str, Estimate]:
        """Column and rate of the samples that are right and stay so."""

    def broken(self, probe: str, eps: Budget | None = None, success: str = "success") -> tuple[str, Estimate]:
        """Column and rate of the right samples that are made wrong."""

    def paired(self, one: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
        """(difference, p) of two outcomes (N,), 1, 0 or NaN a planned sample: ``one`` minus ``other``."""

    def clean_cells(self, model: str = "") -> list[str]:
        """Cells with the clean predictions of the model, or of another one of the suite."""

    def attack_cells(self, probe: str, eps: Budget | None = None, *, kinds: Sequence[str] = ("attack",)) -> list[str]:
        """Finished cells of a probe, of one budget (None: all)."""

    def headline_cells(self, eps: Budget) -> list[str]:
        """Clean cells, and those of every probe of the headline threat model's norm at a budget."""

    def source(self, probe: str, n: int, cells: Sequence[str], columns: Sequence[str] = ()) -> Source:
        """The records of these cells as a source."""

    def plan_source(self, words: str) -> Source:
        """The plan itself, where a sentence speaks of what was (not) asked for."""


@dataclass
class Draft:
    """Builds one sentence, and remembers each number that it was given."""

    model: ModelRecords
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
            return f"between {first} and {last} of 100 ({lost} of the {self.model.words.samples} have no valid verdict)"
        if estimate.n < FEW:
            k = self.number(str(round(value * estimate.n)), value, column, turned=turned)
            return f"{k} of {self.number(str(estimate.n), estimate.n, '(samples)')}"
        return f"{self.number(per_100(value), value, column, turned=turned)} of 100"

    def interval(self, column: str, estimate: Estimate, *, turned: bool = False, unit: str = "") -> str:
        """``(95 % interval 57.2 to 70.1; 188 images)``; empty where the bounds are said already."""
        if isnan(estimate.value):
            return ""
        unit = unit or self.model.words.samples
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

    def rate(self, column: str, estimate: Estimate, *, turned: bool = False, noun: str = "", unit: str = "") -> str:
        """Share, noun and interval together."""
        of = f" {noun}" if noun else ""
        said = self.share(column, estimate, turned=turned)
        return said + of + self.interval(column, estimate, turned=turned, unit=unit)

    def size(self, norm: str, eps: Budget) -> str:
        """A budget in plain words."""
        text, shown = self.model.words.size(norm, eps)
        for each in shown:
            self.number(each, eps.value, "(the plan's budget)")
        return text

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
        source = self.model.source(self.probe, self.n, cells, columns)
        return Sentence(section, text, (source, *more), tuple(self.numbers), short, 0.0 if isnan(harm) else harm)


def budgets(view: ProbeResults) -> list[Budget]:
    """Budgets that a probe ran at, smallest first."""
    return sorted(eps for eps in view.budgets if eps is not None)


def plural(n: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def listed(names: Sequence[Any]) -> str:
    """``a, b and c``."""
    texts = [str(name) for name in names]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else ""


def per_100(value: float) -> str:
    """A share as a count of 100: whole where it is, else one decimal, more where one would reach none, half or all."""
    hundredths = 100 * min(max(value, 0.0), 1.0)
    if abs(hundredths - round(hundredths)) < 1e-9:
        return str(round(hundredths))
    for digits in range(1, MOST_DIGITS + 1):
        text = f"{hundredths + 1e-9:.{digits}f}"
        if float(text) not in EDGES:
            return text
    return "almost 100" if hundredths > 99 else "just above 0" if hundredths < 1 else "about 50"
