"""What a plugin tells a report, and what a report hands a plugin: columns, tables, pictures, results as protocols.

Below attacks, explainers, metrics, tasks and the report, which all speak in these; it imports none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import AssayError
from benchmark.spec.budget import Budget

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and denominator.

    ``missing`` samples have no valid verdict: the value is then NaN and (low, high) are the two bounds that they leave
    open, all of them bad and all of them good. ``why`` says why there is no interval, or no number.
    """

    value: float
    low: float
    high: float
    n: int
    missing: int = 0
    why: str = ""


EMPTY = Estimate(nan, nan, nan, 0)


@dataclass(frozen=True)
class Words:
    """How a task is spoken of; the defaults fit any.

    Attributes:
        sample: what a model is asked with, one of many; ``samples`` of them.
        element: the part of a sample that a perturbation changes and an attribution weighs; ``elements`` of them.
        attribution: what an explanation looks like to a reader.
        filling: what an element that is taken away is replaced by.
        titles: section of a label to its heading, where that is the task's own.
        card: type and name of the task on a model card.
        rounding: what a sample is stored as, in a clause; empty where there is no such form.
        flags: what a flag means, in the label's words, where that is the task's own.
        norms: in which a sample can be changed at all: tokens are replaced or not, so l0 alone.
    """

    sample: str = "sample"
    element: str = "element"
    attribution: str = "attribution"
    filling: str = "value"
    titles: Mapping[str, str] = field(default_factory=dict)
    card: tuple[str, str] = ("other", "Other")
    rounding: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    norms: tuple[str, ...] = ("linf", "l2", "l1", "l0")

    @property
    def samples(self) -> str:
        """Several of them."""
        return f"{self.sample}s"

    @property
    def elements(self) -> str:
        """Several of them."""
        return f"{self.element}s"

    def count(self, n: int) -> str:
        """``1 sample``, ``2,000 samples``."""
        return f"{n:,} {self.sample if n == 1 else self.samples}"

    def size(self, norm: str, eps: Budget) -> tuple[str, tuple[str, ...]]:
        """A budget in plain words, and the numbers that stand in them."""
        shown = eps.words
        words = {
            "linf": f"no {self.element} changed by more than {shown}",
            "l2": f"a total change of at most {shown} (the root of the summed squares of all changes)",
            "l1": f"all changes together at most {shown}",
        }
        return words.get(norm, f"at most {shown} {self.elements} changed"), (shown,)

    def short_size(self, norm: str, eps: Budget) -> str:
        """A budget in a few words."""
        each = f"each {self.element} by at most {eps.words}"
        return each if norm == "linf" else f"{norm} size at most {eps.words}"

    def grid(self, height: int, width: int) -> str:
        """A sentence on the size that every sample is brought to."""
        return f"Each was first brought to {height} times {width} {self.elements}."


@dataclass(frozen=True)
class Column:
    """A summary column that the report computes from a model's rows.

    Attributes:
        name: CSV column, such as ``"clean_acc"``; an attack's get its probe's name and budget behind it.
        statistic: ``"rate"`` (values 0 and 1, Wilson interval), ``"mean"`` or ``"median"`` (bootstrap, over groups
            where known; over samples where a sample has several rows).
        values: rows to one value a row, float64 (N,), NaN where the row is outside the denominator. Clean rows have
            the columns ``sample``, ``label``, ``pred_clean``, ``correct`` …; attack rows have also ``pred``,
            ``status``, ``success``, norms, ``margin``, ``param_*``; rows of fitting and generating cells likewise.
        higher_is_better: direction.
        kind: which rows of the attack: ``"attack"``, ``"fit"`` (training samples, where the attack judges them),
            ``"generate"``, or the model's ``"clean"`` ones.
        shown: False for a column that stands in the CSV file alone.
        glance: in words what it counts, where it is what the attack is about: a suite without a headline threat model
            shows it at a glance. Empty elsewhere.
        of_successes: the mean or median is over successes alone; of too few the report leaves it blank.
        words, at: what it measures and of what, for people; empty: its name says it.
        table: heading of a table of its own on a page, such as ``"Per class"``; empty: it stands with the others.
        label: of a share that the label of a model says behind the attack's success: a clause with ``{}`` for the
            percentage, and what its words mean.
    """

    name: str
    statistic: Literal["rate", "mean", "median"]
    values: Callable[[pd.DataFrame], NDArray[np.float64]]
    higher_is_better: bool = True
    kind: Literal["attack", "fit", "generate", "clean"] = "attack"
    shown: bool = True
    glance: str = ""
    of_successes: bool = False
    words: str = ""
    at: str = ""
    table: str = ""
    label: tuple[str, str] | None = None


@dataclass(frozen=True)
class Values:
    """The values of a :class:`Column` that stand in a column of the rows as they are."""

    column: str

    def __call__(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """(N,) float64.

        Raises:
            AssayError: the rows have no such column: nothing has recorded it.
        """
        if self.column not in rows:
            there = ", ".join(sorted(map(str, rows)))
            raise AssayError(
                f"no row has the column {self.column!r} that a column of the report reads; there are {there}."
                " What a report shows must be recorded: by the task's `clean` or `verify`, or as an attack's `params`"
            )
        found: NDArray[np.float64] = rows[self.column].to_numpy(dtype=np.float64)
        return found


@dataclass(frozen=True)
class Summary:
    """A column of the leaderboard over several probes of one class of attacks.

    Attributes:
        name: CSV column.
        values: model to the samples' names and one value each, NaN where it is not known; their mean is the column's
            value, its interval over samples. A model without is left blank.
        higher_is_better, words: as of a :class:`Column`.
    """

    name: str
    values: Mapping[str, tuple[Sequence[str], NDArray[np.float64]]]
    higher_is_better: bool = True
    words: str = ""


@dataclass
class Extras:
    """What an attack adds to a report: tables and pictures, by file stem.

    Attributes:
        tables: written as ``<stem>.csv`` and shown in leaderboard.md.
        captions: stem to a sentence that says what the table or picture shows.
        figures: written as ``figures/<stem>.png``; a callable, so that nothing is drawn before it is needed.
        shown: stem to a shorter form of a table, for people; the CSV file holds the whole.
        faults: what could not be made, and why.
        notes: stem to a digest of what a picture shows; a file that bears it is left as it is.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Callable[[], Figure]] = field(default_factory=dict)
    shown: dict[str, pd.DataFrame] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)


class ProbeResults(Protocol):
    """What a report hands an attack of its own results in one probe."""

    @property
    def name(self) -> str:
        """The probe's label."""

    @property
    def attack(self) -> Any:
        """The attack with its parameters."""

    @property
    def budgets(self) -> Sequence[Budget | None]:
        """Budgets that it ran at; ``None`` for an attack that has none."""

    @property
    def models(self) -> Sequence[str]:
        """Entries with a row."""

    @property
    def classes(self) -> Sequence[str]:
        """Class names."""

    @property
    def fit_samples(self) -> int | None:
        """How many training samples a fit saw; None: all."""

    @property
    def reference(self) -> str:
        """The entry that the task holds others against; empty where it has none."""

    def facts(self, model: str) -> Mapping[str, Any]:
        """What the entry says of itself (``[facts]``), and the facts of the data."""

    def rows(
        self, model: str, eps: Budget | None = None, *, kind: str = "attack", source: str | None = None
    ) -> pd.DataFrame:
        """Rows of a model at a budget, its clean columns beside them; ``source``: fitted on that entry (default: as
        the suite says). Empty where nothing was computed."""

    def heads(self, model: str, eps: Budget | None = None, *, kind: str = "attack") -> Sequence[Mapping[str, Any]]:
        """What the records of a model at a budget say of their cells (:class:`benchmark.store.record.Record`): seconds,
        and the attack as it ran, with its version. In the plan's order."""

    def clean(self, model: str) -> pd.DataFrame:
        """Clean rows of a model."""

    def own(self, name: str, model: str, eps: Budget | None = None) -> tuple[float, float, float]:
        """A column that the attack declares: value and 95 % interval."""

    def robust(self, model: str, eps: Budget | None = None) -> tuple[float, float, float]:
        """Robust rate under this probe, and its 95 % interval."""

    def sources(self) -> Sequence[str]:
        """Entries whose fit was judged on others (a probe with ``transfer``), else empty."""

    def minus(self, name: str, other: ProbeResults, model: str) -> tuple[float, float, float]:
        """A rate that both attacks declare, this probe's minus another's on the samples that both have: the paired
        difference and its 95 % interval (Newcombe). Both without a budget."""

    def summary(self, name: str, model: str) -> tuple[float, float, float]:
        """A column that the task declares of clean rows (``clean_acc``): value and 95 % interval; NaN without one."""

    def scores(self, model: str) -> pd.DataFrame:
        """Rows of all metrics of a model's explanations: ``explainer``, ``metric``, ``sample``, ``value``, ``label``,
        ``pred_clean`` and the metrics' own columns (``own_*``). Empty where nothing was explained."""

    def artefact(
        self, model: str, eps: Budget | None = None, *, kind: str = "attack", name: str = ""
    ) -> Mapping[str, NDArray[Any]] | None:
        """Arrays that a cell left (``perturbed``, ``fitted`` or ``generated``), None where they are not at hand."""


class TaskResults(Protocol):
    """What a report hands a task of a suite's results, for tables and pictures of its own."""

    @property
    def models(self) -> Sequence[str]:
        """Entries with a row."""

    @property
    def probes(self) -> Sequence[ProbeResults]:
        """The suite's attack probes."""

    def clean(self, model: str) -> pd.DataFrame:
        """Clean rows of a model."""

    def kept(self, model: str) -> Mapping[str, NDArray[Any]] | None:
        """What :meth:`Task.keeps` left of the clean samples, with their ``samples``; None where it is not at hand."""

    def facts(self, model: str) -> Mapping[str, Any]:
        """Facts of an entry."""

    def score(self, name: str, model: str, eps: Budget) -> tuple[float, float, float]:
        """A :class:`Score` of a model at a budget: mean and 95 % interval."""

    def budgets(self) -> Sequence[Budget]:
        """Budgets of the headline threat model, smallest first."""

    @property
    def eps(self) -> Budget | None:
        """The headline's budget; None where the suite has no headline threat model."""

    @property
    def size(self) -> tuple[int, int] | None:
        """The suite's grid (height, width)."""

    def headline(self, *, control: bool = False) -> Sequence[ProbeResults]:
        """The probes in the headline threat model: its attacks, or its controls."""

    def summary(self, name: str, model: str) -> tuple[float, float, float]:
        """A clean column of a model: mean and 95 % interval."""

    def gate(self, model: str) -> bool | None:
        """Whether a model passes the accuracy gate; None where there is none."""


class ExplainedResults(Protocol):
    """What a report hands a metric of its own results with one explainer."""

    @property
    def name(self) -> str:
        """The metric's label in the suite."""

    @property
    def metric(self) -> Any:
        """The metric with its parameters."""

    @property
    def explainer(self) -> str:
        """The explainer's label in the suite."""

    @property
    def models(self) -> Sequence[str]:
        """Entries with a row."""

    @property
    def classes(self) -> Sequence[str]:
        """Class names."""

    def rows(self, model: str) -> pd.DataFrame:
        """Rows of the metric: ``sample``, ``value``, ``status``, its own columns (``own_*``), and the model's clean
        columns. Empty where nothing was computed."""

    def attributions(self, model: str) -> tuple[Sequence[str], NDArray[Any], NDArray[Any]] | None:
        """Sample ids, explained classes (N,) and attributions (N, ...); None where they are not at hand."""

    def inputs(self, samples: Sequence[str]) -> NDArray[Any] | None:
        """Inputs (N, ...) of samples as models are asked with them, None where the data are not at hand."""
