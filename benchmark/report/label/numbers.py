"""How the label speaks of a task that judges by numbers and has no words of its own: means, clean and under attack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from typing import Any, ClassVar

from benchmark.accounts import Account, Hazard
from benchmark.report.label.tested import Tested
from benchmark.reported import Estimate, Words
from benchmark.results.scores import headline_name
from benchmark.sentences import Bar, Draft, Sentence


class Numbers(Account):
    """The first clean column, and the score that ranks.

    Args:
        words: how the task is spoken of.
    """

    chart: ClassVar[tuple[str, str, str]] = ("mean", "Means", "Means over samples.")
    explained: ClassVar[bool] = False

    def __init__(self, words: Words) -> None:
        self.words = words

    def hazards(self) -> tuple[Hazard, ...]:
        """None: attacks name theirs."""
        return ()

    def standing(self, model: Tested) -> tuple[int, float]:
        """The suite with most attacks in its headline threat model speaks."""
        threat = model.suite.threat
        attacks = model.breaking(threat.norm) if threat is not None else []
        return (model.planned, -float(len(attacks))) if attacks else (0, 1.0)

    def sentences(self, model: Tested, first: Tested) -> Iterator[Sentence]:
        """A sentence a bar, of the suite that speaks."""
        for bar in self.bars(first) if model is first else ():
            draft = Draft(model, bar.source.probe)
            value = draft.number(self.shown(bar), bar.estimate.value, bar.column)
            n = draft.number(str(bar.estimate.n), bar.estimate.n, "(samples)")
            section = "ordinary" if bar.kind == "ordinary" else "deliberate"
            text = f"{bar.name}, its mean `{bar.column}` is {value} ({n} {self.words.samples})."
            yield Sentence(section, text, bar.sources, tuple(draft.numbers))

    def bars(self, first: Tested) -> Iterator[Bar]:
        """What is measured first on samples as they are, and the score that ranks."""
        for name, estimate in list(first.means.items())[:1]:
            source = first.source("", estimate.n, first.clean_cells(), [name])
            yield Bar(f"{self.words.samples.capitalize()} as they are", estimate, source, name, "ordinary")
        name, threat = headline_name(first.results), first.suite.threat
        if threat is not None and name in first.scores and not isnan(first.scores[name].value):
            estimate = first.scores[name]
            source = first.source(f"{threat.norm} {threat.eps}", estimate.n, first.headline_cells(threat.eps), [name])
            yield Bar(f"Changed on purpose, {threat.norm} {threat.eps}", estimate, source, name, headline=True)

    def headline(self, first: Tested, bars: Sequence[Bar]) -> list[Bar]:
        """Ordinary, and the score that ranks."""
        return [bar for bar in bars if bar.kind == "ordinary"][:1] + [bar for bar in bars if bar.headline][:1]

    def verdict(self, first: Tested, bars: Sequence[Bar], sentences: Sequence[Sentence]) -> Sentence:
        """Both numbers in one line."""
        top, draft = self.headline(first, bars), Draft(first)
        if not top:
            source = first.plan_source("what the plan asks for")
            return Sentence("verdict", f"No valid answer on ordinary {self.words.samples} is on record.", (source,))
        parts = [f"`{bar.column}` {draft.number(self.shown(bar), bar.estimate.value, bar.column)}" for bar in top]
        return Sentence("verdict", "; ".join(parts) + ".", tuple(bar.source for bar in top), tuple(draft.numbers))

    def metrics(self, model: Tested) -> Iterator[tuple[str, str, Estimate, str, dict[str, Any]]]:
        """Every bar of the chart."""
        for bar in self.bars(model):
            yield f"{bar.column} ({bar.name.lower()})", bar.column, bar.estimate, bar.column, {}

    def shown(self, bar: Bar) -> str:
        """Four significant digits."""
        return "–" if isnan(bar.estimate.value) else f"{bar.estimate.value:.4g}"

    def interval(self, bar: Bar) -> str:
        """``0.1 to 0.3``."""
        ends = (bar.estimate.low, bar.estimate.high)
        return "–" if any(isnan(end) for end in ends) else " to ".join(f"{end:.4g}" for end in ends)

    def aloud(self, bar: Bar) -> str:
        """``0.2 (95 % interval 0.1 to 0.3)``."""
        return f"{self.shown(bar)} (95 % interval {self.interval(bar)})"

    def badge(self, bars: Sequence[Bar], verdict: str) -> str:
        """``rmse 0.2 → 0.4``."""
        return f"{bars[0].column} {' → '.join(self.shown(bar) for bar in bars)}"
