"""What is known of the networks of a task: how they are wrapped, tried, drafted, and judged after training.

A task names its own (:meth:`benchmark.tasks.base.Task.networks`); entries, ``assay check``, ``assay new``, ``assay
train`` and ``benchmark.evaluate`` ask it and know no task. Importing it loads no torch: a task may name its own beside
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from benchmark.data.base import Batch
from benchmark.errors import EntryError
from benchmark.models.entries import Entry, task_of
from benchmark.spec.entry import EntrySpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.models.recipe import TrainingData
    from benchmark.models.wrap import Model

Status = Literal["ok", "note", "fail", "skip"]


@dataclass(frozen=True)
class Result:
    """One line of the check.

    Attributes:
        name: what was looked at.
        status: ``"ok"``, ``"note"`` (worth a look), ``"fail"``, or ``"skip"`` (could not be looked at).
        finding: what was found.
        todo: what to do, where something is to be done.
    """

    name: str
    status: Status
    finding: str
    todo: str = ""


Question = tuple[str, Callable[[], Result]]


@dataclass(frozen=True)
class Trial:
    """What a network was tried on.

    Attributes:
        entry: the entry.
        model: its model.
        inputs: N inputs on the model's device.
        raw: what the bare network returned for them.
        batch: the samples behind the inputs, with labels; None: random inputs.
        classes: names of the data's classes; empty: not known.
        chance: accuracy of always naming the commonest class; None: as the batch says.
    """

    entry: Entry
    model: Model
    inputs: torch.Tensor
    raw: torch.Tensor
    batch: Batch | None
    classes: Sequence[str] = ()
    chance: float | None = None


class Judgement(Protocol):
    """How a trained model does on a split."""

    def agrees(self, other: Any) -> bool:
        """Close enough to the other's for weights stored at half precision to take its place."""

    def lines(self) -> list[str]:
        """What ``assay train`` prints."""


@dataclass(frozen=True)
class Draft:
    """An entry to be written.

    Attributes:
        name: the entry's name.
        factory: importable ``"module:callable"``; empty: a model.py with a small network.
        kwargs: of the factory.
        classes: number of classes.
        input_shape: (C, H, W) of the network.
        dataset: label of the dataset.
        task: name of the task.
    """

    name: str
    factory: str
    kwargs: Mapping[str, Any]
    classes: int
    input_shape: Sequence[int]
    dataset: str
    task: str = "classification"


class Networks:
    """Networks of a task; a task without words of its own on them has these.

    Class attributes:
        preprocessed: mean, std, one logit and the layer of activation maps can be said of them.
        differentiable: there is a gradient at the input; False where inputs are no real numbers (tokens, codes).
        dataset, suite: what a drafted entry is made for.
        shape, factory_shape: (C, H, W) of a drafted entry with the small network, and with a factory.
    """

    preprocessed: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    dataset: ClassVar[str] = ""
    suite: ClassVar[str] = ""
    shape: ClassVar[tuple[int, ...]] = ()
    factory_shape: ClassVar[tuple[int, ...]] = ()

    def wrap(self, network: nn.Module, spec: EntrySpec) -> Model:
        """The network as attacks, explainers and metrics see it."""
        from benchmark.models.wrap import Model

        return Model(network, one_logit=spec.output == "logit1")

    def example(self, spec: EntrySpec, count: int) -> torch.Tensor:
        """Seeded inputs of the kind that the entry takes, for a look at its network without data.

        Raises:
            EntryError: the task has none.
        """
        raise EntryError(f"entry {spec.name!r}: task {spec.task!r} has no inputs of its own: name data with --suite")

    def call(self, model: Model, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The model's output, and what the bare network returned."""
        output: torch.Tensor = model(inputs)
        return output, output

    def check_rank(self, output: torch.Tensor, name: str) -> int:
        """Number of classes that a module in memory tells apart by its output; 0 where the task has none.

        Raises:
            EntryError: no such output.
        """
        return 0

    def misshapen(self, spec: EntrySpec, got: tuple[int, ...], count: int) -> tuple[str, str] | None:
        """(expected shape, what to do) where the output for ``count`` samples has another shape than it must."""
        return None

    def first_questions(self, trial: Trial) -> list[Question]:
        """What ``assay check`` asks of the output before anything else."""
        return []

    def last_questions(self, trial: Trial) -> list[Question]:
        """What ``assay check`` asks with the samples' labels."""
        return []

    def judge(self, entry: Entry, model: Model, data: TrainingData, device: str) -> Judgement:
        """The trained model on the recipe's test split.

        Raises:
            EntryError: the task or the recipe says no way to judge.
        """
        raise EntryError(f"entry {entry.name!r}: task {entry.spec.task!r} has no way to judge what was trained")

    def write(self, draft: Draft, kwargs: Mapping[str, Any], folder: Path) -> None:
        """The files of a drafted entry.

        Raises:
            EntryError: the task drafts none.
        """
        raise EntryError(f"task {draft.task!r} drafts no entries: copy one of {draft.task!r} and edit it")

    def trials(self, draft: Draft) -> list[dict[str, Any]]:
        """Arguments of the factory to try, one after the other."""
        return [dict(draft.kwargs)]

    def unfit(self, draft: Draft, output: object) -> str:
        """Why the drafted network's output for two samples does not fit; empty where it does."""
        return ""


def networks_of(task: str) -> Networks:
    """What is known of the networks of a task."""
    known: Networks = task_of(task).networks()
    return known
