"""How the label speaks of a task with verdicts: right answers of 100, as they are and under attack."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isnan
from typing import Any, ClassVar

from benchmark.accounts import Account, Hazard
from benchmark.inputs import IMAGE
from benchmark.report.label import robust
from benchmark.report.label.tested import Tested
from benchmark.reported import Estimate, Words
from benchmark.results.base import NORMS
from benchmark.sentences import FEW, Bar, Draft, Number, Sentence, per_100

WHITE, ASKING, BLIND = ("white-box",), ("score", "decision"), ("none",)


def _by(threat: Any, norms: Sequence[str], knowledge: Sequence[str]) -> bool:
    """Whether a threat model searches each sample's own change, in one of these norms and with this knowledge."""
    own = (
        threat.get("breaks", True)
        and not threat.get("fits")
        and threat.get("domain", IMAGE) in (IMAGE, threat.get("inputs"))
    )
    return bool(own and threat.get("norm") in norms and threat.get("knowledge") in knowledge)


class Answers(Account):
    """Right answers of 100: on ordinary samples, under each size of a change made on purpose.

    Args:
        words: how the task is spoken of.
    """

    chart: ClassVar[tuple[str, str, str]] = (
        "right of 100",
        "Right answers of 100",
        "Right answers of 100; more is better.",
    )

    def __init__(self, words: Words) -> None:
        self.words = words

    def hazards(self) -> tuple[Hazard, ...]:
        """Bounded changes, by who makes them, and random noise."""
        if "linf" not in self.words.norms:  # elements are replaced, not moved by a little
            few, asked = f"changes of a few {self.words.elements}", (*WHITE, *ASKING)
            norms = self.words.norms
            return (
                Hazard("sparse", few, lambda t: _by(t, norms, asked)),
                Hazard("noise", f"random changes of a few {self.words.elements}", lambda t: _by(t, norms, BLIND)),
            )
        return (
            Hazard("linf", f"small changes of every {self.words.element}", lambda t: _by(t, ("linf",), WHITE)),
            Hazard("l2", "changes of a limited total size", lambda t: _by(t, ("l2",), WHITE)),
            Hazard("sparse", f"changes of a few {self.words.elements} only", lambda t: _by(t, ("l0", "l1"), WHITE)),
            Hazard("queries", "attackers who can only ask it", lambda t: _by(t, ("linf", "l2"), ASKING)),
            Hazard("noise", "random noise", lambda t: _by(t, ("linf", "l2"), BLIND)),
        )

    def judged(self, words: Words) -> str:
        """Right and wrong."""
        return (
            f"“Right answers” are those that the model gives on the {words.samples} as they are. “Wrong” is decided by"
            f" predicting the changed {words.sample} again, never by the attack itself."
        )

    def standing(self, model: Tested) -> tuple[int, float]:
        """Attacked samples, and the rate (the most that it can be where verdicts lack)."""
        threat = model.suite.threat
        if threat is None or not model.breaking(threat.norm):
            return 0, 1.0
        _, rate, speaker = model.worst(threat.norm, threat.eps)
        own = rate if speaker is model else model.results.rate(model.model, model.joined(threat.norm, threat.eps))
        value = own.high if isnan(own.value) else own.value
        return own.n, 1.0 if isnan(value) else value

    def sentences(self, model: Tested, first: Tested) -> Iterator[Sentence]:
        """``first`` speaks of ordinary samples, and of norms for all that are joined."""
        if model is first:
            yield from robust.ordinary(model)
        for norm in NORMS:
            if model is first or not (model in first.group or first.breaking(norm)):
                yield from robust.deliberate(model, norm, doubted=model.doubted)

    def bars(self, first: Tested) -> Iterator[Bar]:
        """See :func:`benchmark.report.label.robust.bars`."""
        threat = first.suite.threat
        yield from robust.bars(first, threat.norm if threat is not None else "")

    def headline(self, first: Tested, bars: Sequence[Bar]) -> list[Bar]:
        """Ordinary, and the worst case of the headline threat model; a pair is of the same samples."""
        ordinary = [bar for bar in bars if bar.kind == "ordinary"][:1]
        worst = [bar for bar in bars if bar.headline][:1]
        if ordinary and worst and worst[0].estimate.n != ordinary[0].estimate.n:
            ordinary = [_on_the_same(first, ordinary[0], worst[0])]
        return ordinary + worst

    def verdict(self, first: Tested, bars: Sequence[Bar], sentences: Sequence[Sentence]) -> Sentence:
        """Average against worst case, in one line; without a worst case the finding that harms most."""
        top, draft, samples = self.headline(first, bars), Draft(first), self.words.samples
        if not top:
            source = first.plan_source("what the plan asks for")
            return Sentence("verdict", f"No valid answer on ordinary {samples} is on record.", (source,))
        text = f"Right on {_share(draft, top[0])} ordinary {samples}"
        sources = [source for bar in top for source in bar.sources]
        threat = first.suite.threat
        if len(top) > 1 and threat is not None:
            worst = _share(draft, top[1])
            n = draft.number(f"{top[1].estimate.n:,}", top[1].estimate.n, "(samples)")
            text += (
                f"; on {'at most ' if first.doubted else ''}{worst} ({n} {samples}) once somebody changes them on"
                f" purpose, with {draft.size(threat.norm, threat.eps)}"
            )
        lowest = _lowest(bars, top)
        harm = max(sentences, key=lambda sentence: sentence.harm)
        if len(top) == 1 and lowest is None and harm.harm > 0:
            text += f"; {harm.short}"
            draft.numbers += harm.numbers
            sources += harm.sources
        if lowest is not None:
            draft.numbers += [Number(t, float(t), "(in the name of the test)") for t in _digits(lowest.name)]
            text += f"; on {_share(draft, lowest)} in the hardest test in the chart ({lowest.name.lower()})"
            sources.append(lowest.source)
        return Sentence("verdict", text + ".", tuple(dict.fromkeys(sources)), tuple(draft.numbers))

    def metrics(self, model: Tested) -> Iterator[tuple[str, str, Estimate, str, dict[str, Any]]]:
        """Clean accuracy, and the worst case of the headline threat model."""
        accuracy = model.clean_rate
        if accuracy is not None and not isnan(accuracy.value):
            yield f"Accuracy (suite {model.name})", "accuracy", accuracy, model.clean_column, {}
        threat = model.suite.threat
        if threat is None or not model.breaking(threat.norm):
            return
        column, estimate = model.own_worst(threat.norm, threat.eps)
        if estimate.n and not isnan(estimate.value):
            names = [p.name for p in model.breaking(threat.norm) if threat.eps in p.budgets or not p.budgets]
            settings: dict[str, Any] = {"norm": threat.norm, "eps": threat.eps.text, "attacks": names}
            if model.flags:
                settings["in_doubt"] = sorted({flag.name for flag in model.flags})
            title = f"Adversarial accuracy (suite {model.name}, {threat.norm}, eps = {threat.eps.words})"
            yield title, "adversarial_accuracy", estimate, column, settings

    def shown(self, bar: Bar) -> str:
        """``64``; of a handful ``9 of 10``."""
        value, n = bar.estimate.value, bar.estimate.n
        if isnan(value):
            return self.interval(bar)
        return f"{round(value * n)} of {n}" if n < FEW else per_100(value)

    def interval(self, bar: Bar) -> str:
        """``57.2 to 70.1``."""
        ends = (bar.estimate.low, bar.estimate.high)
        return "–" if any(isnan(end) for end in ends) else " to ".join(per_100(end) for end in ends)

    def aloud(self, bar: Bar) -> str:
        """``64 of 100 (95 % interval 57.2 to 70.1)``."""
        ends = self.interval(bar)
        if isnan(bar.estimate.value):
            return f"{ends} of 100: some {self.words.samples} have no verdict"
        return f"{self.shown(bar)} of 100 (95 % interval {ends})"

    def tone(self, bars: Sequence[Bar]) -> float | None:
        """The worst case; None where there is none, or it is not known."""
        value = bars[1].estimate.value if len(bars) > 1 else float("nan")
        return None if isnan(value) else value

    def badge(self, bars: Sequence[Bar], verdict: str) -> str:
        """``94 → 76 of 100 right once changed on purpose (each pixel by at most 4/255)``."""
        numbers = [self.shown(bar) for bar in bars]
        total = bars[0].estimate.n if " of " in numbers[0] else 100
        numbers = [number.partition(" of ")[0] for number in numbers]
        if len(bars) > 1:
            size = bars[1].name.partition(", ")[2]
            most = "at most " if "at most" in verdict.partition(" once ")[0] else ""
            return f"{numbers[0]} → {most}{numbers[1]} of {total} right once changed on purpose ({size})"
        _, _, more = verdict.removesuffix(".").partition("; ")
        return f"{numbers[0]} of {total} right" + (f"; {more}" if more else "; attacks not tested")


def _share(draft: Draft, bar: Bar) -> str:
    value, n = bar.estimate.value, bar.estimate.n
    if isnan(value):
        ends = ((bar.estimate.low, "_low"), (bar.estimate.high, "_high"))
        low, high = (draft.number(per_100(end), end, bar.column + side) for end, side in ends)
        return f"between {low} and {high} of 100"
    if n < FEW:
        k = draft.number(str(round(value * n)), value, bar.column)
        return f"{k} of {draft.number(str(n), n, '(samples)')}"
    return f"{draft.number(per_100(value), value, bar.column)} of 100"


def _on_the_same(first: Tested, ordinary: Bar, worst: Bar) -> Bar:
    """Ordinary samples, those alone that the worst case is of: a pair compares the same."""
    threat = first.suite.threat
    assert threat is not None
    speaker = first.speaker(threat.norm, threat.eps)
    right = speaker.results.correct(speaker.model).reindex(speaker.joined(threat.norm, threat.eps).index)
    rate = speaker.results.rate(speaker.model, right)
    source = speaker.source(f"the attacked {first.words.samples} as they are", worst.estimate.n, speaker.clean_cells())
    return replace(ordinary, estimate=rate, source=source, column=f"(clean, the attacked {first.words.samples})")


def _lowest(charts: Sequence[Bar], top: Sequence[Bar]) -> Bar | None:
    known = [bar for bar in charts if not isnan(bar.estimate.value)]
    lowest = min(known, key=lambda bar: bar.estimate.value, default=None)
    if lowest is None or lowest in top or lowest.estimate.value >= min(bar.estimate.high for bar in top):
        return None
    return lowest


def _digits(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", text)
