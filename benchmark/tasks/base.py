"""What a task is: what is asked of a model, and what counts as breaking it. Plan, store and report know only this."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmark.attacks.base import Column
from benchmark.errors import AttackError
from benchmark.registry import Plugin, Registry

if TYPE_CHECKING:
    import torch

    from benchmark.attacks.base import Attack, Perturbed
    from benchmark.data.base import Batch
    from benchmark.models.wrap import Model
    from benchmark.spec.entry import EntrySpec

__all__ = ["Column", "Rows", "Task", "tasks"]

Rows = Mapping[str, NDArray[Any]]


class Task(Plugin):
    """Base of all tasks.

    Class attributes:
        needs_classes: True where labels are class indices.
        robust_name: prefix of the robust rate's columns.
    """

    needs_classes: ClassVar[bool] = True
    robust_name: ClassVar[str] = "robust_acc"

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
    ) -> dict[str, NDArray[Any]]:
        """Judge perturbed inputs, whatever the attack thinks of them.

        Args:
            model: in eval mode, parameters frozen.
            inputs: clean inputs, float32 (N, C, H, W) in [0, 1].
            labels: (N,) true labels.
            perturbed: what the attack returned for these samples.
            attack: says the threat model.
            eps: the budget, None where there is none.
            clean: clean columns of the same samples.

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
