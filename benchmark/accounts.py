"""Who writes a label: a family of attacks a :class:`Chapter`, a task an :class:`Account`; the label lays them out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from benchmark.reported import Estimate, ProbeResults, Words
from benchmark.sentences import Bar, ModelRecords, Sentence

Writer = Callable[[ModelRecords, Sequence[ProbeResults]], Iterator[Sentence]]


@dataclass(frozen=True)
class Hazard:
    """What a model may meet and be tested for.

    Attributes:
        key: one word a hazard.
        words: as it stands in the list of what was not tested.
        of: whether an attack of this threat model tests it (the plan's threat; ``fits`` where one change is fitted to
            many samples); None: attacks name it (:meth:`benchmark.attacks.base.Attack.hazards`).
    """

    key: str
    words: str
    of: Callable[[Mapping[str, Any]], bool] | None = None


def no_sentences(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Sentence]:  # noqa: ARG001
    """Of a family that says nothing."""
    return iter(())


def no_bars(model: ModelRecords, views: Sequence[ProbeResults]) -> Iterator[Bar]:  # noqa: ARG001
    """Of a family that adds nothing to the chart."""
    return iter(())


@dataclass(frozen=True)
class Chapter:
    """What a family of attacks says of a model.

    Attributes:
        order: where it stands among the others.
        hazards: what its attacks test.
        sentences: from one model in one suite, and those of its probes whose attack has this chapter and that ran.
        bars: rows of the chart, likewise.
    """

    order: int
    hazards: tuple[Hazard, ...]
    sentences: Writer = no_sentences
    bars: Callable[[ModelRecords, Sequence[ProbeResults]], Iterator[Bar]] = no_bars


class Account(ABC):
    """How a label speaks of a model under one task: what the chart counts, the sentences, the line at the top.

    Class attributes:
        chart: head of the chart's numbers, its name, and the note below it.
        explained: whether explanations are asked for under such a task.
    """

    chart: ClassVar[tuple[str, str, str]] = ("", "", "")
    explained: ClassVar[bool] = True

    @abstractmethod
    def hazards(self) -> tuple[Hazard, ...]:
        """What the task itself asks to be tested, whatever the attack."""

    @abstractmethod
    def standing(self, model: Any) -> tuple[int, float]:
        """Samples behind a suite's headline and a number by which the worst suite comes first; (0, 1) without one."""

    @abstractmethod
    def sentences(self, model: Any, first: Any) -> Iterator[Sentence]:
        """What one suite says; ``first`` is the suite that speaks at the top of those on its data."""

    @abstractmethod
    def bars(self, first: Any) -> Iterator[Bar]:
        """The chart of the suite that speaks at the top."""

    @abstractmethod
    def headline(self, first: Any, bars: Sequence[Bar]) -> list[Bar]:
        """The chart's rows that the badge shows: ordinary, and the worst case where there is one."""

    @abstractmethod
    def verdict(self, first: Any, bars: Sequence[Bar], sentences: Sequence[Sentence]) -> Sentence:
        """Average against worst case, in one line."""

    @abstractmethod
    def metrics(self, model: Any) -> Iterator[tuple[str, str, Estimate, str, dict[str, Any]]]:
        """Name, type, estimate, column and settings of each result for a model card."""

    @abstractmethod
    def shown(self, bar: Bar) -> str:
        """A bar's number as it is written beside it."""

    @abstractmethod
    def interval(self, bar: Bar) -> str:
        """A bar's bounds as they are written, ``–`` where it has none."""

    @abstractmethod
    def aloud(self, bar: Bar) -> str:
        """A bar in words, for those who do not see it."""

    def judged(self, words: Words) -> str:
        """How it is judged, for those who read a label."""
        return (
            f"What a change does is found by asking the model again with the changed {words.sample}, never by the"
            " attack itself."
        )

    def tone(self, bars: Sequence[Bar]) -> float | None:
        """A share of right answers that colours the badge; None: grey."""
        return None

    @abstractmethod
    def badge(self, bars: Sequence[Bar], verdict: str) -> str:
        """What the badge says, of the bars that it shows."""
