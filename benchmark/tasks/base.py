"""What a task is: what is asked of a model, and what counts as breaking it. Plan, store and report know only this."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.accounts import Account
from benchmark.errors import AttackError
from benchmark.inputs import IMAGE
from benchmark.registry import Plugin, Registry
from benchmark.reported import Column, Extras, TaskResults, Words
from benchmark.sentences import ModelRecords, Sentence
from benchmark.spec.budget import Budget

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn

    from benchmark.attacks.base import Attack, Perturbed
    from benchmark.data.base import Batch, Grid
    from benchmark.models.kinds import Networks
    from benchmark.models.wrap import Model
    from benchmark.seeds import Draws
    from benchmark.spec.entry import EntrySpec

Rows = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Score:
    """A number by which a task without verdicts judges attacks in the headline threat model, at each budget.

    Attributes:
        name: column of the leaderboard, before the budget: ``amp_worst`` gives ``amp_worst_0.05``.
        column: the column of attack rows.
        of: ``"attack"``: per sample the worst over all attacks that are no controls; ``"control"``: the mean over the
            controls' rows.
        within: what was found at smaller budgets counts too, so that the number never falls with the budget.
        over: a column by whose mean the score is divided: the mean over all rows of the sample at that budget, of
            attacks and controls, so that every attack is held against the same number.
        higher_is_better: direction; the worst is at its other end.
    """

    name: str
    column: str
    over: str = ""
    of: Literal["attack", "control"] = "attack"
    within: bool = False
    higher_is_better: bool = False


class Task(Plugin):
    """Base of all tasks.

    Class attributes:
        needs_classes: True where labels are class indices.
        robust_name: prefix of the robust rate's columns.
        inputs: the kind of what a model is asked with (:mod:`benchmark.inputs`): datasets of that kind fit, and
            attacks, explainers and metrics that accept it.
        verdicts: False where no sample is right or broken: the task judges by numbers (:meth:`scores`).
        headline: where there are no verdicts, the score that ranks, at the headline budget.
        outputs: what ``output`` in entry.toml may say; the first is the default of a module in memory.
        needs_size: a suite must say the size of its grid (:meth:`check_grid`).
        versions: of code that all networks of the task are built from, by name: they enter every entry's digest.
        measured: columns of attack rows that a page shows of each sample, where there are no verdicts, and how they
            are headed; the first is how far an attack came, where no score says it.
        words: how it is spoken of.
    """

    needs_classes: ClassVar[bool] = True
    robust_name: ClassVar[str] = "robust_acc"
    inputs: ClassVar[str] = IMAGE
    verdicts: ClassVar[bool] = True
    headline: ClassVar[str] = ""
    outputs: ClassVar[tuple[str, ...]] = ("logits", "logit1")
    needs_size: ClassVar[bool] = False
    versions: ClassVar[dict[str, int]] = {}
    measured: ClassVar[Mapping[str, str]] = {}
    words: ClassVar[Words] = Words()

    @classmethod
    def networks(cls) -> Networks:
        """What is known of the task's networks: how they are tried, drafted and judged. Loads torch."""
        from benchmark.models.kinds import Networks

        return Networks()

    @classmethod
    def wrap(cls, network: nn.Module, spec: EntrySpec) -> Model:
        """A network as attacks, explainers and metrics see it: of an entry, and of a module in memory."""
        return cls.networks().wrap(network, spec)

    @classmethod
    def facts(cls, spec: EntrySpec) -> dict[str, str | int | float]:  # noqa: ARG003
        """What tables must say of an entry, read from its spec; stands before what the entry says of itself."""
        return {}

    def present(self, batch: Batch) -> Batch:
        """What a model is asked with and what it should answer, from a dataset's samples on the suite's grid."""
        return batch

    def check_grid(self, grid: Grid) -> None:
        """Refuse a suite's grid that the task cannot work on.

        Raises:
            SpecError: saying which is needed.
        """

    def valid(self, inputs: torch.Tensor) -> NDArray[np.bool_]:
        """(N,) True where a model may be asked with an input (N, ...) at all, perturbed or not; here: in [0, 1]."""
        from benchmark.attacks.verify import in_range

        return in_range(inputs)

    def judged(
        self, attack: Attack, inputs: torch.Tensor, perturbed: Perturbed, eps: float | None
    ) -> tuple[NDArray[np.str_], dict[str, NDArray[np.float64]]]:
        """Status and norms of perturbed inputs, as :func:`benchmark.attacks.verify.judge`; :meth:`verify` begins so."""
        from benchmark.attacks.verify import judge

        return judge(attack, inputs, perturbed, eps, self.valid)

    def side_information(self, model: Model, attack: Attack | None, eps: float | None) -> AbstractContextManager[None]:
        """Inside the block the model knows what it may know of the attack (an oracle: the noise level)."""
        return nullcontext()

    def keeps(self, model: Model, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, NDArray[Any]]:
        """What is kept beside kept inputs, so that pictures can be drawn without the model: named arrays (N, ...)."""
        return {}

    def scores(self) -> tuple[Score, ...]:
        """How attacks are judged where there are no verdicts."""
        return ()

    def reference(self) -> tuple[str, str]:
        """(entry, clean column): the row that others are held against, and the column in which a row must be no worse
        for its robustness to count (the accuracy gate); empty strings: none."""
        return "", ""

    def account(self) -> Account | None:
        """How the label of a model speaks of it; None: as the label speaks of any such task."""
        return None

    def asides(self, model: ModelRecords, probe: str = "", eps: Budget | None = None) -> Iterator[Sentence]:
        """What it adds on a label to the accuracy on samples as they are, or to that under a probe at a budget."""
        return iter(())

    def doubts(self, clean: pd.DataFrame, enough: int) -> Iterator[tuple[str, str]]:
        """(flag, words) of what in a model's clean rows makes a robustness claim doubtful, where so many say so."""
        return iter(())

    def extras(self, results: TaskResults) -> Extras:
        """Tables and pictures of its own beside the leaderboard."""
        return Extras()

    @abstractmethod
    def clean(self, model: Model, batch: Batch, spec: EntrySpec | None = None) -> dict[str, NDArray[Any]]:
        """Predict clean inputs.

        Args:
            model: in eval mode, parameters frozen, on its device.
            batch: N samples on the suite's grid.
            spec: the entry's spec, to check the output's shape against.

        Returns:
            Columns (N,): ``label``, ``pred_clean``, ``correct`` (bool) and the task's own.

        Raises:
            EntryError: output of the wrong shape or not finite, or labels that the network does not know.
        """

    @abstractmethod
    def targets(self, clean_rows: Rows) -> NDArray[np.int64]:
        """(N,) output that explainers explain by default: the clean prediction."""

    @abstractmethod
    def verify(
        self,
        model: Model,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        perturbed: Perturbed,
        attack: Attack,
        *,
        eps: float | None,
        clean: Rows,
        generator: Draws | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Judge perturbed inputs, whatever the attack thinks of them.

        Args:
            model: in eval mode, parameters frozen.
            inputs: clean inputs (N, ...), of the task's kind.
            labels: (N,) true labels.
            perturbed: what the attack returned for these samples.
            attack: says the threat model.
            eps: the budget, None where there is none.
            clean: clean columns of the same samples.
            generator: N per-sample random streams of the judge's own.

        Returns:
            Columns (N,): ``label``, ``pred_clean``, ``pred``, ``status`` (ok, out_of_budget, nan), ``success`` (bool),
            ``norm_l0``, ``norm_l1``, ``norm_l2``, ``norm_linf`` (float64) and ``margin`` (below 0: broken).
        """

    def verify_generated(
        self, model: Model, targets: torch.Tensor, perturbed: Perturbed, attack: Attack
    ) -> dict[str, NDArray[Any]]:
        """Judge inputs that an attack made from nothing, one a target.

        Args:
            model: in eval mode, parameters frozen.
            targets: (M,) the output that each input was made for.
            perturbed: the inputs.
            attack: made them.

        Returns:
            Columns (M,): ``label`` (the target), ``pred``, ``status`` (ok, out_of_budget, nan), ``success`` (the target
            is predicted), ``confidence`` (of the target).

        Raises:
            AttackError: the task has no such notion.
        """
        raise AttackError(f"attack {attack.name!r} makes inputs for classes; task {self.name!r} has none")

    @abstractmethod
    def columns(self, classes: Sequence[str]) -> tuple[Column, ...]:
        """Summary columns of clean predictions; the first is the headline."""

    def attack_columns(self, classes: Sequence[str]) -> tuple[Column, ...]:
        """Columns that the task wants of every attack, computed from its rows with the clean columns beside them."""
        return ()

    @abstractmethod
    def check_output(self, output: torch.Tensor, spec: EntrySpec | None, n: int) -> None:
        """Check a model's output for ``n`` samples.

        Raises:
            EntryError: wrong shape (expected and got are named), or values that are not finite.
        """


tasks: Registry[Task] = Registry("task", "benchmark.tasks")
