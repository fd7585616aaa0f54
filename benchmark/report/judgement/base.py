"""What a report asks of a judgement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from benchmark.spec.budget import Budget

if TYPE_CHECKING:
    from benchmark.report.comparisons import Comparison
    from benchmark.report.doubts import Flag
    from benchmark.report.events import Events
    from benchmark.results.base import Results
    from benchmark.results.heads import Head, Row
    from benchmark.results.probes import ProbeView
    from benchmark.spec.suite import SuiteSpec
    from benchmark.stats import Pair
    from benchmark.tasks.base import Task


@dataclass(frozen=True)
class Claim:
    """A column of a suite's leaderboard that stands in a table over several suites.

    Attributes:
        name: there.
        column: in the suite's own table.
        better: direction, None without one.
        unit: as in :class:`benchmark.results.heads.Head`.
        axis: whether models are compared in it.
    """

    name: str
    column: str
    better: bool | None
    unit: str = ""
    axis: bool = True


@dataclass(frozen=True)
class Glance:
    """The headline of every model at a glance.

    Attributes:
        columns: of the leaderboard, the one that ranks last.
        words: what each is, for people.
        board: the leaderboard, over the samples that these columns share.
    """

    columns: Sequence[str]
    words: Sequence[str]
    board: pd.DataFrame


class Judgement(ABC):
    """Headline, rows, ranks, flags, comparisons, curves and samples of one way to judge.

    Class attributes:
        smallest_first: whether the smallest headline stands at the top among equal ranks.
        curve_norms: norms in which there are curves of the rate against the budget.
        breaks: whether a sample can be broken: pages then count the broken ones and show pictures of them.
        order: how the samples behind a cell of the matrix are sorted, for people.
        share: what a cell of the matrix says, for people.
    """

    smallest_first: ClassVar[bool]
    curve_norms: ClassVar[tuple[str, ...]] = ()
    breaks: ClassVar[bool] = False
    order: ClassVar[str]
    share: ClassVar[str]

    # -- the leaderboard ----------------------------------------------------------------------------------------

    @abstractmethod
    def headline(self, suite: SuiteSpec, task: Task, classes: Sequence[str]) -> str:
        """The column that ranks."""

    @abstractmethod
    def fill(self, results: Results, model: str, row: Row) -> None:
        """Columns of a model, but those that attacks declare."""

    def across(self, results: Results, table: pd.DataFrame, headline: str) -> Mapping[str, list[float]]:
        """Columns that compare rows, to stand beside the flags."""
        return {}

    @abstractmethod
    def pairs(self, results: Results) -> tuple[list[str], list[Pair]]:
        """Models that have a rank, and every pair of them on the headline, corrected by Holm."""

    @abstractmethod
    def pair_words(self, results: Results) -> list[str]:
        """What the data decide between models, a line each."""

    def barred(self, results: Results) -> set[str]:
        """Models that have no rank although every sample has a verdict."""
        return set()

    def nothing_ranks(self, results: Results) -> bool:
        """Whether no model can have a rank in this suite."""
        return False

    @abstractmethod
    def flags(self, results: Results) -> tuple[Flag, ...]:
        """What makes a claim about a model doubtful, model by model."""

    @abstractmethod
    def comparisons(self, results: Results, a: str, b: str) -> list[Comparison]:
        """Every quantity of two models, paired."""

    @abstractmethod
    def shown(
        self, results: Results, board: pd.DataFrame, heads: Mapping[str, Head], hidden: frozenset[str]
    ) -> list[str]:
        """Columns that fit a page, but the counts."""

    @abstractmethod
    def claims(self, suite: SuiteSpec, task: Task, classes: Sequence[str]) -> list[Claim]:
        """Columns that stand in a table over several suites."""

    # -- the page -------------------------------------------------------------------------------------------------

    @abstractmethod
    def glance(self, results: Results, board: pd.DataFrame) -> Glance:
        """The headline at a glance."""

    @abstractmethod
    def ordinary(self, results: Results) -> str:
        """What the first clean column is, for people."""

    def remains(self, results: Results, view: ProbeView, eps: Budget | None) -> tuple[str, str] | None:
        """The column that says what an attack leaves, and what it is; None without one."""
        return None

    @abstractmethod
    def events(
        self, results: Results, model: str, view: ProbeView, eps: Budget | None, norm: str, rows: pd.DataFrame
    ) -> Events | None:
        """What an attack did to a model's samples; None where it did nothing to them."""

    @abstractmethod
    def darkest(self, shares: Sequence[float]) -> float:
        """The share that is the darkest colour of the matrix."""


def directed(words: str, higher_is_better: Any) -> str:
    """``Accuracy (higher is better)``."""
    return f"{words} ({'higher' if higher_is_better else 'lower'} is better)"


def titled(words: str, higher_is_better: Any) -> str:
    """:func:`directed`, with a capital."""
    return directed(f"{words[:1].upper()}{words[1:]}", higher_is_better)
